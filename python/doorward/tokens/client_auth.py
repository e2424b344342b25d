"""How this server shows itself to an issuer's endpoint: a secret (RFC 6749 section 2.3.1) or a key (RFC 7523).

One that stands in a file is read again when the file changes: that is how a mounted secret rotates.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote_plus

from doorward.extras import install
from doorward.settings import Introspection, Secret
from doorward.tokens.watched import Watched

__all__ = [
    "ASSERTION_SECONDS",
    "ClientAuthentication",
    "FromFile",
    "PrivateKeyJwt",
    "SecretBasic",
    "client_authentication",
]

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


def client_authentication(
    introspection: Introspection, *, alarm: Callable[[str], None] | None = None
) -> ClientAuthentication:
    """The method that is configured; ``alarm`` is told ``secret_file_unreadable`` when its file goes bad. Raises
    `ValueError` for a key that cannot sign, and `ModuleNotFoundError` where the library that signs is not installed."""
    secret = introspection.private_key or introspection.secret
    if secret is None:
        raise ValueError("introspection needs a secret or a private_key")

    def made(secret: Secret) -> ClientAuthentication:
        if introspection.private_key is None:
            return SecretBasic(introspection.client_id, secret.value)
        return PrivateKeyJwt(introspection.client_id, secret.value, key_id=secret.id, audience=introspection.url)

    return FromFile(secret, made, alarm=alarm) if secret.file else made(secret)


class FromFile:
    """Another method, whose secret stands in a file. What cannot be a secret never replaces one."""

    def __init__(
        self,
        secret: Secret,
        made: Callable[[Secret], ClientAuthentication],
        *,
        alarm: Callable[[str], None] | None = None,
    ) -> None:
        def read(data: bytes) -> tuple[Secret, ClientAuthentication]:
            # Held beside what is made of it: a secret is known, so that no log shows it, for as long as it lives.
            found = Secret(data.strip(), secret.id, secret.file)
            return found, made(found)

        # Whoever could write another secret there lets nobody in: the issuer would refuse it.
        self._file = Watched(secret.file, read, alarm=alarm, slug="secret_file_unreadable", lets_in=False)

    def headers(self) -> Mapping[str, str]:
        """Those of the method."""
        return self._file.value[1].headers()

    def form(self, *, now: float) -> Mapping[str, str]:
        """What the method adds; asked for first, since only this knows the time."""
        self._file.look(now)
        return self._file.value[1].form(now=now)


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
                f"introspection with a private_key signs with PyJWT and cryptography: {install('pure')}",
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
