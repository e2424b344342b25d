"""Signing keys made on the spot, one shape for each family of algorithms (RFC 7518 section 3.1, RFC 8037, RFC 9864)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from doorward.extras import install

__all__ = ["ALGORITHMS", "SigningKey", "base64url"]

_RSA_BITS: Final = 2048  # the least that RFC 7518 section 3.3 allows: anything more is only slower to make
_RSA_EXPONENT: Final = 65_537


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that signs with one algorithm; its repr shows nothing of the key."""

    kid: str
    algorithm: str
    sign: Callable[[bytes], bytes] = field(repr=False)
    """The raw signature over a message, in the form JWS wants it."""
    _public_members: Mapping[str, str] = field(repr=False)

    @classmethod
    def generate(cls, algorithm: str, *, kid: str) -> SigningKey:
        """A new key. Raises `ValueError` for an algorithm that doorward does not take."""
        if algorithm not in _MAKERS:
            raise ValueError(f"algorithm {algorithm!r} is not one of {', '.join(_MAKERS)}")
        try:
            sign, public_members = _MAKERS[algorithm](algorithm)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"doorward.testing makes its keys with cryptography: {install('pure')}", name=error.name
            ) from error
        return cls(kid, algorithm, sign, public_members)

    def public_jwk(self) -> dict[str, Any]:
        """The public half as a JWK."""
        return {**self._public_members, "use": "sig", "alg": self.algorithm, "kid": self.kid}


def base64url(octets: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


_Made = tuple[Callable[[bytes], bytes], dict[str, str]]


def _rsa(algorithm: str) -> _Made:
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    digest = _digest(algorithm)
    # RFC 7518 section 3.5: the salt of PSS is as long as the hash.
    pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
    scheme = pss if algorithm.startswith("PS") else padding.PKCS1v15()
    key = rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS)
    numbers = key.public_key().public_numbers()
    return (
        lambda message: key.sign(message, scheme, digest),
        {"kty": "RSA", "n": base64url(_octets(numbers.n, _RSA_BITS // 8)), "e": base64url(_octets(numbers.e, 3))},
    )


def _elliptic(algorithm: str) -> _Made:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    name, curve = {"ES256": ("P-256", ec.SECP256R1()), "ES384": ("P-384", ec.SECP384R1())}[algorithm]
    size = curve.key_size // 8
    key = ec.generate_private_key(curve)
    numbers = key.public_key().public_numbers()

    def sign(message: bytes) -> bytes:
        # RFC 7518 section 3.4: both integers at their full width, not DER.
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(_digest(algorithm))))
        return _octets(r, size) + _octets(s, size)

    coordinates = {"x": base64url(_octets(numbers.x, size)), "y": base64url(_octets(numbers.y, size))}
    return sign, {"kty": "EC", "crv": name, **coordinates}


def _edwards(_algorithm: str) -> _Made:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    return key.sign, {"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_key().public_bytes_raw())}


def _digest(algorithm: str) -> Any:
    from cryptography.hazmat.primitives import hashes

    match algorithm[2:]:
        case "256":
            return hashes.SHA256()
        case "384":
            return hashes.SHA384()
    return hashes.SHA512()


def _octets(number: int, size: int) -> bytes:
    return number.to_bytes(size, "big")


_MAKERS: Final[Mapping[str, Callable[[str], _Made]]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), _rsa),
    **dict.fromkeys(("ES256", "ES384"), _elliptic),
    **dict.fromkeys(("EdDSA", "Ed25519"), _edwards),
}

ALGORITHMS: Final = tuple(_MAKERS)
"""Every algorithm doorward verifies with a public key."""
