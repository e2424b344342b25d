"""How this server shows itself to an issuer's endpoint: a secret (RFC 6749 section 2.3.1) or a key (RFC 7523)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote_plus

from toolgate.settings import Introspection

__all__ = ["ASSERTION_SECONDS", "ClientAuthentication", "PrivateKeyJwt", "SecretBasic", "client_authentication"]

ASSERTION_SECONDS: Final = 60
"""How long an assertion lives: it is made for one request that takes 5 seconds at most, the rest is for clocks."""

_MIN_RSA_BITS: Final = 2048
"""RFC 7518 section 3.3."""

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class ClientAuthentication(Protocol):
    """What a request carries to show who asks."""

    def headers(self) -> Mapping[str, str]:
        """Header fields to send."""

    def form(self, *, now: float) -> Mapping[str, str]:
        """Members to add to the form."""


def client_authentication(introspection: Introspection) -> ClientAuthentication:
    """The method that is configured. Raises `ValueError` for a key that cannot sign, and `ModuleNotFoundError` where
    the library that signs is not installed."""
    if introspection.private_key is not None:
        key = introspection.private_key
        return PrivateKeyJwt(introspection.client_id, key.value, key_id=key.id, audience=introspection.url)
    if introspection.secret is None:
        raise ValueError("introspection needs a secret or a private_key")
    return SecretBasic(introspection.client_id, introspection.secret.value)


class SecretBasic:
    """``client_secret_basic``."""

    def __init__(self, client_id: str, secret: bytes) -> None:
        # Form-encoded before Basic (RFC 6749 appendix B), or a colon in the id would move the border between the two.
        pair = f"{quote_plus(client_id, safe='')}:{quote_plus(secret, safe='')}"
        self._authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"

    def headers(self) -> Mapping[str, str]:
        """The id and the secret."""
        return {"authorization": self._authorization}

    def form(self, *, now: float) -> Mapping[str, str]:
        """Nothing."""
        return {}


class PrivateKeyJwt:
    """``private_key_jwt``: a new assertion for each request, since none may be used twice."""

    def __init__(self, client_id: str, pem: bytes, *, key_id: str, audience: str) -> None:
        try:
            import jwt
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "introspection with a private_key signs with PyJWT and cryptography: pip install 'toolgate[pure]'",
                name=error.name,
            ) from error
        try:
            self._key: Any = load_pem_private_key(pem, password=None)
        except Exception:  # of many classes, some with words of the key
            raise ValueError("private_key is not a private key in PEM, without a passphrase") from None
        self._algorithm = _algorithm_of(self._key)
        self._sign = jwt.encode
        self._header = {"kid": key_id} if key_id else {}
        self._client_id = client_id
        self._audience = audience

    def headers(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def form(self, *, now: float) -> Mapping[str, str]:
        """The assertion (RFC 7523 section 2.2)."""
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._audience,
            "jti": secrets.token_urlsafe(16),
            "iat": int(now),
            "exp": int(now) + ASSERTION_SECONDS,
        }
        return {
            "client_id": self._client_id,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": self._sign(claims, self._key, algorithm=self._algorithm, headers=self._header),
        }


def _algorithm_of(key: Any) -> str:
    """The one algorithm that every server takes for a key of this kind (RFC 7518 section 3.1, RFC 8037)."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _MIN_RSA_BITS:
        return "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "EdDSA"
    raise ValueError("private_key must be of RSA with 2048 bits or more, P-256, P-384 or Ed25519")


_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384"}
