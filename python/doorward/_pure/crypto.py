"""The signature algorithms, and which keys are fit for them. `cryptography` (the extra ``pure``) does the mathematics
and is imported with the first verifier that needs it."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from doorward.extras import ensure_cryptography

__all__ = [
    "MAX_RSA_BITS",
    "MAX_RSA_EXPONENT_BYTES",
    "MIN_RSA_BITS",
    "RSA",
    "BadKeyError",
    "VerificationKey",
    "algorithm",
    "edwards_key",
    "elliptic_key",
    "ensure_available",
    "hmac_bytes",
    "rsa_key",
    "secret_key",
]

MIN_RSA_BITS: Final = 2048
"""RFC 7518 sections 3.3 and 3.5 ask for no less."""

MAX_RSA_BITS: Final = 8192
"""What the native core verifies; twice the bits cost four times as long."""

MAX_RSA_EXPONENT_BYTES: Final = 4
"""Every exponent in use is 3 or 65537; a long one makes each verification slow."""

RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
"""The algorithms that verify with an RSA key."""

_HMAC_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_NAMES: Final = {name: name for name in (*RSA, "ES256", "ES384", "EdDSA", *_HMAC_BYTES)} | {"Ed25519": "EdDSA"}


class BadKeyError(Exception):
    """What is wrong with a key: fixed words."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key that was found fit, prepared for its one algorithm (RFC 8725 section 3.1)."""

    algorithm: str
    verifies: Callable[[bytes, bytes], bool]
    """Whether the signature (second) is this key's for the message (first)."""


def algorithm(name: str) -> str | None:
    """The algorithm of a registered name, compared exactly. ``EdDSA`` and ``Ed25519`` (RFC 9864) are one, since we take
    no other Edwards curve."""
    return _NAMES.get(name)


def hmac_bytes(algorithm: str) -> int | None:
    """The length of an HMAC's hash, which is the least its secret may have (RFC 7518 section 3.2); None for an
    algorithm with public keys."""
    return _HMAC_BYTES.get(algorithm)


def ensure_available() -> None:
    """Raises `ImportError` that names the extra, where `cryptography` is missing or broken: when a server starts, not
    for each token."""
    ensure_cryptography("the pure-Python core verifies signatures with it")


def rsa_key(algorithm: str, modulus: bytes, exponent: bytes) -> VerificationKey:
    """An RSA key of a big-endian modulus and exponent."""
    ensure_available()
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    if algorithm not in RSA:
        raise BadKeyError("the algorithm is not for RSA")
    _check_modulus(modulus)
    _check_exponent(exponent)
    key = rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
    digest = _digest(algorithm)
    scheme: Any = padding.PKCS1v15()
    if algorithm.startswith("PS"):  # RFC 7518 section 3.5: the salt is as long as the hash
        scheme = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
    return VerificationKey(
        algorithm, _verdict(lambda message, signature: key.verify(signature, message, scheme, digest))
    )


def elliptic_key(algorithm: str, x: bytes, y: bytes) -> VerificationKey:
    """A point on the curve of ``ES256`` or ``ES384``."""
    ensure_available()
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    if algorithm not in ("ES256", "ES384"):
        raise BadKeyError("the algorithm is not for elliptic curves")
    size, curve = (32, ec.SECP256R1()) if algorithm == "ES256" else (48, ec.SECP384R1())
    if len(x) != size or len(y) != size:  # RFC 7518 section 6.2.1.2: the full size of a coordinate
        raise BadKeyError("a coordinate has the wrong length")
    try:
        key = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()
    except ValueError:
        raise BadKeyError("the point is not on the curve") from None
    hashed = ec.ECDSA(_digest(algorithm))

    def check(message: bytes, signature: bytes) -> None:
        if len(signature) != 2 * size:  # RFC 7518 section 3.4
            raise ValueError
        r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        key.verify(utils.encode_dss_signature(r, s), message, hashed)

    return VerificationKey(algorithm, _verdict(check))


def edwards_key(x: bytes) -> VerificationKey:
    """An Ed25519 key (RFC 8037)."""
    ensure_available()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(x) != 32:
        raise BadKeyError("a key has the wrong length")
    _check_order(x)
    key = Ed25519PublicKey.from_public_bytes(x)
    return VerificationKey("EdDSA", _verdict(lambda message, signature: key.verify(signature, message)))


def secret_key(algorithm: str, secret: bytes) -> VerificationKey:
    """A shared secret."""
    least = hmac_bytes(algorithm)
    if least is None:
        raise BadKeyError("a shared secret is for HS256, HS384 or HS512 (the only algorithms with one)")
    if len(secret) < least:
        raise BadKeyError("the secret is shorter than the hash (RFC 7518 section 3.2)")
    hash_name = f"sha{least * 8}"

    def verifies(message: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(secret, message, hash_name), signature)

    return VerificationKey(algorithm, verifies)


def _verdict(check: Callable[[bytes, bytes], None]) -> Callable[[bytes, bytes], bool]:
    from cryptography.exceptions import InvalidSignature

    def verifies(message: bytes, signature: bytes) -> bool:
        try:
            check(message, signature)
        except (InvalidSignature, ValueError):
            return False
        return True

    return verifies


def _digest(algorithm: str) -> Any:
    from cryptography.hazmat.primitives import hashes

    return {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[algorithm[2:]]


def _check_modulus(modulus: bytes) -> None:
    number = int.from_bytes(modulus, "big")
    if not modulus:
        raise BadKeyError("the modulus is empty")
    if modulus[0] == 0:  # RFC 7518 section 6.3.1.1 forbids the zero octet that some libraries put first
        raise BadKeyError("the modulus begins with a zero octet")
    if len(modulus) * 8 > MAX_RSA_BITS:
        raise BadKeyError("the modulus has more than 8192 bits")
    if number.bit_length() < MIN_RSA_BITS:
        raise BadKeyError("the modulus has less than 2048 bits")
    if number % 2 == 0:
        raise BadKeyError("the modulus is even")
    if _is_roca(number):
        raise BadKeyError("the modulus was made by a broken generator (CVE-2017-15361)")


def _check_exponent(exponent: bytes) -> None:
    if not exponent or exponent[0] == 0:
        raise BadKeyError("the exponent is not a plain number")
    if exponent == b"\x01":
        raise BadKeyError("the exponent is 1: anybody could sign")
    if len(exponent) > MAX_RSA_EXPONENT_BYTES:
        raise BadKeyError("the exponent is too long")
    if exponent[-1] % 2 == 0:
        raise BadKeyError("the exponent is even")


# The primes of the published fingerprint of CVE-2017-15361: a modulus of that generator is a power of 65537 for each of
# them, another one is for all of them at once about once in 2**27.
_ROCA_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA_POWERS: Final = tuple({pow(65537, power, prime) for power in range(prime)} for prime in _ROCA_PRIMES)


def _is_roca(modulus: int) -> bool:
    return all(modulus % prime in powers for prime, powers in zip(_ROCA_PRIMES, _ROCA_POWERS, strict=True))


# The y of each point of small order. A key that is one of these verifies some signatures of any message.
_FIELD: Final = 2**255 - 19
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
        int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
    }
)


def _check_order(encoded: bytes) -> None:
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    if y >= _FIELD:  # RFC 8032 section 5.1.3 step 1, so that a point has one encoding
        raise BadKeyError("the point is not encoded canonically")
    if y in _SMALL_ORDER:
        raise BadKeyError("the point has a small order: anybody could sign")
