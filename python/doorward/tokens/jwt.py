"""Access tokens that are JWTs: the issuer named in the token chooses the keys, and keys are never mixed."""

from __future__ import annotations

from collections.abc import Mapping

from doorward._core import Claims
from doorward.errors import Unauthenticated, refusal
from doorward.principal import Principal
from doorward.tokens.keys import Keys
from doorward.tokens.shapes import foreign_issuer
from doorward.tokens.verified import Verified, organization_of

__all__ = ["AccessTokens", "principal_of"]


class AccessTokens:
    """The JWT access tokens of several issuers, for one resource."""

    def __init__(self, keys: Mapping[str, Keys], *, organization_claim: str | None) -> None:
        """``keys``: those of each issuer, by its URL."""
        self._keys = dict(keys)
        self._organization_claim = organization_claim

    async def verify(self, token: str, issuer: str, *, now: float, certificate_sha256: bytes | None) -> Verified:
        """What the token means, by the keys of the ``issuer`` it names. Never caches. Raises `Unauthenticated`, and
        `Unavailable` where its issuer's keys cannot be had."""
        keys = self._keys.get(issuer)
        if keys is None:
            raise refusal("invalid_issuer", foreign_issuer(issuer, self._keys))
        # Read before the keys are used: a change in between makes the result look older than it is, never newer.
        generation = keys.generation
        claims = await self._claims(token, keys, now, certificate_sha256)
        return Verified(
            principal=principal_of(claims, self._organization_claim),
            voucher=keys,
            generation=generation,
            not_before=claims.not_before,
            fresh_until=keys.fresh_until,
            certificate_sha256=claims.certificate_sha256,
        )

    async def _claims(self, token: str, keys: Keys, now: float, certificate_sha256: bytes | None) -> Claims:
        verifier = await keys.verifier(now=now)
        try:
            return verifier.verify(token, now=now, certificate_sha256=certificate_sha256)
        except Unauthenticated as refused:
            if refused.code != "unknown_key" or not await keys.renewed(now=now):
                raise
        verifier = await keys.verifier(now=now)
        return verifier.verify(token, now=now, certificate_sha256=certificate_sha256)


def principal_of(claims: Claims, organization_claim: str | None) -> Principal:
    """Who a verified token names. Raises `Unauthenticated` for an organisation that is not a string."""
    raw = claims.raw
    return Principal(
        issuer=claims.issuer,
        subject=claims.subject,
        client_id=claims.client_id,
        organization=organization_of(raw, organization_claim),
        scopes=claims.scopes,
        token_id=claims.token_id,
        expires_at=claims.expires_at,
        claims=raw,
    )
