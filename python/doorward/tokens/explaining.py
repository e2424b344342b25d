"""Why one token is refused, for the operator who has it: every check that fails, the keys, and what would change it.

The checks are those that a server makes, by the same code. After one that fails, the token is checked again as if that
one had passed, so that the next fault is found as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from doorward._core import Claims, KeySet, token_issuer
from doorward.errors import Refused, Unauthenticated, refusal
from doorward.principal import Principal
from doorward.settings import Issuer
from doorward.tokens.fitting import Fit, fits_of
from doorward.tokens.jwt import principal_of
from doorward.tokens.revocation import Revocations
from doorward.tokens.shapes import foreign_issuer, with_shape
from doorward.tokens.unverified import claims_of, header_of

__all__ = ["Explained", "Keyed", "explain_jwt", "issuer_named"]

MAX_FAULTS: Final = 8
"""Checks that one token can fail: each is made to pass once."""


@dataclass(frozen=True)
class Keyed:
    """An issuer with the JWK Set that it publishes."""

    issuer: Issuer
    """As configured."""
    document: bytes
    """The JWK Set."""


@dataclass
class Explained:
    """What was found about a token."""

    faults: list[Refused] = field(default_factory=list)
    """The checks that fail; the first is what a server refuses with."""
    keys: Sequence[Fit] = ()
    """Each key of the issuer, and whether it fits."""
    principal: Principal | None = None
    """Who it names, once its signature has verified and its claims could be read."""


def issuer_named(token: str, issuers: Iterable[Issuer]) -> Issuer:
    """The configured issuer that a JWT names. Raises `Unauthenticated`."""
    named = token_issuer(token)
    known = {issuer.url: issuer for issuer in issuers}
    if named is None:
        raise refusal("malformed_token", "the token is not a JWT")
    if named not in known:
        raise refusal("invalid_issuer", foreign_issuer(named, known))
    return known[named]


def explain_jwt(
    token: str,
    keyed: Keyed,
    *,
    audiences: Sequence[str],
    organization_claim: str | None,
    revocations: Revocations,
    now: float,
) -> Explained:
    """Every check of a JWT of that issuer. ``now``: seconds since the epoch. Raises `Malformed` where the document of
    the issuer is no JWK Set."""
    found = Explained(keys=fits_of(token, keyed.document))
    claims = _checked(token, keyed, audiences, now, found.faults)
    if claims is None:
        return found
    try:
        found.principal = principal_of(claims, organization_claim)
    except Unauthenticated as refused:
        found.faults.append(refused)
        return found
    if revocations.cover(found.principal, now=now):
        found.faults.append(refusal("token_revoked", "the revocation file names the token or its holder"))
    return found


@dataclass
class _Allowances:
    """What a token is checked by: the configuration, and then what would let it pass the checks that failed."""

    issuer: Issuer
    audiences: list[str]
    now: float
    certificate: str | None = None


def _checked(token: str, keyed: Keyed, audiences: Sequence[str], now: float, faults: list[Refused]) -> Claims | None:
    """The claims, where no fault keeps them from being read."""
    keys = KeySet.from_json(keyed.document)
    allowed = _Allowances(keyed.issuer, list(audiences), now)
    for _ in range(MAX_FAULTS):
        try:
            verifier = allowed.issuer.verifier(keys, allowed.audiences)
            return verifier.verify(token, now=allowed.now, certificate_sha256=allowed.certificate)
        except Unauthenticated as refused:
            shaped = with_shape(refused, token, keyed.issuer, audiences)
            if any(shaped.code == fault.code for fault in faults):
                return None
            faults.append(shaped)
            if not _allow(allowed, refused, token):
                return None
    return None


def _allow(allowed: _Allowances, refused: Refused, token: str) -> bool:
    """Let the check that failed pass, where that is possible and shows more."""
    header, claims = header_of(token), claims_of(token)
    try:
        if refused.code == "unsupported_algorithm":
            allowed.issuer = replace(allowed.issuer, algorithms=(*allowed.issuer.algorithms, header["alg"]))
        elif refused.code == "invalid_type" and allowed.issuer.types is None and "typ" in header:
            allowed.issuer = replace(allowed.issuer, types=(header["typ"],))
        elif refused.code == "invalid_audience":
            audience = claims["aud"]
            allowed.audiences += [audience] if isinstance(audience, str) else audience
        elif refused.code == "token_expired":
            allowed.now = claims["exp"] - 1
        elif refused.code == "token_not_yet_valid":
            allowed.now = max(claims[name] for name in ("nbf", "iat") if claims.get(name) is not None)
        elif refused.code == "token_lifetime_too_long":
            allowed.issuer = replace(allowed.issuer, max_token_lifetime=None)
        elif refused.code == "proof_required":
            allowed.certificate = claims["cnf"]["x5t#S256"]
        else:
            return False
    except (KeyError, TypeError, ValueError):  # the token has nothing that could be allowed
        return False
    return True
