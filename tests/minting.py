"""Tokens that are good until a test says otherwise."""

from __future__ import annotations

import json
from functools import cache
from types import ModuleType
from typing import Any

from doorward import Refused
from doorward.testing.keys import SigningKey, base64url

ISSUER = "https://as.example.com"
AUDIENCE = "https://mcp.example.com/mcp"
NOW = 1_800_000_000.0
ABSENT = object()


@cache
def signing_key(algorithm: str = "ES256", kid: str = "key-1") -> SigningKey:
    """One key for each pair of arguments, made once."""
    return SigningKey.generate(algorithm, kid=kid)


def jwks(*keys: SigningKey) -> dict[str, Any]:
    """The published set of some keys; of the usual one without any."""
    return {"keys": [key.public_jwk() for key in keys or (signing_key(),)]}


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims with changes; `ABSENT` leaves one out."""
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "client_id": "agent-1", "exp": NOW + 600, "iat": NOW - 10}
    return {name: value for name, value in (good | changes).items() if value is not ABSENT}


def mint(payload: Any = None, *, key: SigningKey | None = None, header: dict[str, Any] | None = None) -> str:
    """A signed token; ``header`` changes members of the usual one, bytes are signed as they are."""
    key = key or signing_key()
    members = {"alg": key.algorithm, "typ": "at+jwt", "kid": key.kid} | (header or {})
    return sign(encoded({name: value for name, value in members.items() if value is not ABSENT}), payload, key)


def sign(header: str, payload: Any, key: SigningKey) -> str:
    """A token with a header that is encoded already."""
    signed = f"{header}.{encoded(claims() if payload is None else payload)}"
    return f"{signed}.{base64url(key.sign(signed.encode()))}"


def encoded(part: Any) -> str:
    """The base64url of some bytes, or of the JSON of anything else."""
    return base64url(part if isinstance(part, bytes) else json.dumps(part).encode())


def verifier(core: ModuleType, keys: dict[str, Any] | None = None, **settings: Any) -> Any:
    """A verifier of the usual key, issuer and audience."""
    usual = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["ES256"], "leeway": 0}
    return core.Verifier(core.KeySet.from_json(keys or jwks()), **(usual | settings))


def verdict(verify: Any, token: str | bytes, **options: Any) -> str:
    """``accepted``, or the slug of the refusal."""
    try:
        verify.verify(token, **({"now": NOW} | options))
    except Refused as refused:
        return refused.code
    return "accepted"
