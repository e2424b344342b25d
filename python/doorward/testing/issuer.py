"""A throw-away authorization server without the server: fresh keys, their JWK Set, and tokens signed with them.

The tokens are those of RFC 9068. Never for production: the keys live in this process alone, and whatever it is
asked to sign, it signs.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from doorward.testing.keys import SigningKey, base64url

__all__ = ["Issuer"]


class Issuer:
    """An issuer of access tokens for tests and demonstrations.

    Two issuers made with the same ``url`` name their keys alike and share none: to whoever trusts one of them, a token
    of the other is a forgery.
    """

    def __init__(self, url: str, algorithm: str = "ES256") -> None:
        """``algorithm``: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA or Ed25519, else `ValueError`.

        Raises `ModuleNotFoundError` without the extra ``pure``, whose `cryptography` makes the keys.
        """
        self._url = url
        self._algorithm = algorithm
        self._keys: list[SigningKey] = []
        self.rotate()

    @property
    def url(self) -> str:
        """The `iss` of its tokens."""
        return self._url

    @property
    def algorithm(self) -> str:
        """What its tokens are signed with unless asked otherwise."""
        return self._algorithm

    def jwks(self) -> dict[str, Any]:
        """The JWK Set it would publish (RFC 7517): the public half of every key it ever had, the oldest first."""
        return {"keys": [key.public_jwk() for key in self._keys]}

    def rotate(self) -> str:
        """Sign with a new key from now on and return its `kid`; the old ones stay in the set."""
        return self._add_key(self._algorithm).kid

    def token(
        self,
        *,
        audience: str | Sequence[str],
        scopes: Sequence[str] = (),
        subject: str | None = "user-1",
        client_id: str | None = "agent-1",
        lifetime: float = 600,
        now: float | None = None,
        typ: str | None = "at+jwt",
        algorithm: str | None = None,
        kid: str | None = None,
        **claims: Any,
    ) -> str:
        """A signed access token for ``audience``.

        ``lifetime`` counts in seconds from ``now`` (seconds since the epoch; the clock's if None) and may be negative.
        ``algorithm``: another one than the issuer's; a key for it joins the set on first use. ``kid``: the key to sign
        with; one that is not in the set is written into the header all the same, over the signature of the newest key.
        ``claims`` add to the payload or replace what is there. A claim given as None is left out, and so is ``typ``.
        """
        issued_at = int(time.time() if now is None else now)
        payload = {
            "iss": self._url,
            "aud": audience if isinstance(audience, str) else list(audience),
            "sub": subject,
            "client_id": client_id,
            "scope": " ".join(scopes) or None,
            "iat": issued_at,
            "exp": issued_at + int(lifetime),
            "jti": uuid.uuid4().hex,
            **claims,
        }
        key = self._key_for(algorithm or self._algorithm, kid)
        header = {"typ": typ, "alg": key.algorithm, "kid": kid or key.kid}
        signed = f"{_encoded(header)}.{_encoded(payload)}"
        return f"{signed}.{base64url(key.sign(signed.encode()))}"

    def __repr__(self) -> str:
        return f"Issuer({self._url!r}, algorithm={self._algorithm!r})"

    def _key_for(self, algorithm: str, kid: str | None) -> SigningKey:
        newest_first = [key for key in reversed(self._keys) if key.algorithm == algorithm]
        named = [key for key in newest_first if key.kid == kid]
        candidates = named or newest_first
        return candidates[0] if candidates else self._add_key(algorithm)

    def _add_key(self, algorithm: str) -> SigningKey:
        key = SigningKey.generate(algorithm, kid=f"key-{len(self._keys) + 1}")
        self._keys.append(key)
        return key


def _encoded(members: dict[str, Any]) -> str:
    present = {name: value for name, value in members.items() if value is not None}
    return base64url(json.dumps(present, separators=(",", ":")).encode())
