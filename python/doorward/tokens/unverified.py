"""Whose a refused token was: only where its signature was good, or its hash known, and nothing but that."""

from __future__ import annotations

import base64
import json
from typing import Any, Final, NamedTuple

from doorward._core import token_issuer
from doorward.errors import Refused
from doorward.tokens.agent_tokens import AGENTS_ISSUER, id_of, is_agent_token

__all__ = ["Named", "algorithm_of", "audience_of", "claims_of", "header_of", "named"]

_AFTER_THE_SIGNATURE: Final = frozenset(
    {
        "invalid_audience",
        "proof_required",
        "token_expired",
        "token_lifetime_too_long",
        "token_not_yet_valid",
        "token_revoked",
    }
)
"""Refusals that no token meets before its signature was verified. What a forged one says of itself is said by whoever
forged it, and has no place in a record beside what is known."""


ALGORITHMS: Final = (
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("HS256", "HS384", "HS512", "none"),
)
"""Of RFC 7518 section 3.1, RFC 8037 and RFC 9864: names that may be repeated, whoever sent them."""


class Named(NamedTuple):
    """Who a token was issued to."""

    client_id: str | None
    subject: str | None
    issuer: str | None
    token_id: str | None


def named(token: str, refused: Refused) -> Named | None:
    """Who the token was issued to, as far as its refusal shows that this is known."""
    if refused.code not in _AFTER_THE_SIGNATURE:
        return None
    if is_agent_token(token):
        return Named(None, id_of(token), AGENTS_ISSUER, None)
    # Without an issuer no key has verified it, however much it looks like a JWT.
    if not token_issuer(token):
        return None
    claims = claims_of(token)
    texts = {name: value for name, value in claims.items() if isinstance(value, str)}
    return Named(texts.get("client_id") or texts.get("azp"), texts.get("sub"), texts.get("iss"), texts.get("jti"))


def audience_of(token: str) -> tuple[str, ...]:
    """The ``aud`` of a JWT that the core has read: none but for one whose signature is good may be shown."""
    audience = claims_of(token).get("aud")
    return tuple(audience) if isinstance(audience, list) else (str(audience),)


def algorithm_of(token: str) -> str | None:
    """The ``alg`` of a JWT that the core has read, where it is a name of `ALGORITHMS`."""
    algorithm = header_of(token).get("alg")
    return next((name for name in ALGORITHMS if name == algorithm), None)


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT that the core has read."""
    return _part(token, 1)


def header_of(token: str) -> dict[str, Any]:
    """The header of a JWT that the core has read."""
    return _part(token, 0)


def _part(token: str, position: int) -> dict[str, Any]:
    part = token.split(".")[position]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))
