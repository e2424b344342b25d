"""JWK Sets (RFC 7517): bytes in, keys ready to verify out, parsed once.

A set is what an issuer publishes to all its clients, so it may hold keys we cannot use; those are skipped with a reason
and never spoil the set. A key that has no business in a published set (a shared or a private one) is as unusable as one
we do not understand.
"""

from __future__ import annotations

import base64
import hashlib
import json as standard_json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from doorward._pure import crypto, json
from doorward._pure.crypto import BadKeyError, VerificationKey
from doorward.errors import Refused, refusal

__all__ = ["MAX_DOCUMENT_BYTES", "MAX_KEYS", "MAX_KEY_ID_BYTES", "KeySet", "PreparedKey", "base64url"]

MAX_DOCUMENT_BYTES: Final = 512 * 1024
"""The largest published sets are below 50 KiB."""

MAX_KEYS: Final = 256
"""Issuers publish two to ten keys; each costs a parsed key."""

MAX_KEY_ID_BYTES: Final = 1024
"""A `kid` is a thumbprint, a date or a short name; what is longer only fills logs."""


@dataclass(frozen=True, slots=True)
class PreparedKey:
    """A key of a set, prepared for one algorithm."""

    fingerprint: bytes
    """SHA-256 of the `kid`, the algorithm and the public key: equal in two sets as long as the issuer publishes the
    same key under the same name. For a shared secret it does not depend on the secret."""
    key: VerificationKey

    @classmethod
    def of(cls, key_id: str | None, material: bytes, key: VerificationKey) -> PreparedKey:
        parts = [key.algorithm.encode(), material, *([] if key_id is None else [key_id.encode()])]
        # The length first, so that no two lists of parts are the same bytes.
        joined = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return cls(hashlib.sha256(joined).digest(), key)


@dataclass(frozen=True, slots=True)
class _Key:
    id: str | None
    material: bytes
    """What the key is made of: equal for two members that repeat one key."""
    prepared: tuple[PreparedKey, ...]
    """One for each algorithm the key may be used with."""

    def fits_as(self, other: _Key) -> bool:
        if self.id is None or self.id != other.id:
            return False
        mine, theirs = ({prepared.key.algorithm for prepared in one.prepared} for one in (self, other))
        return not mine.isdisjoint(theirs)


@final
@dataclass(frozen=True, slots=True, repr=False, eq=False)
class KeySet:
    """The keys of one issuer, or one shared secret."""

    _keys: tuple[_Key, ...]
    skipped: tuple[str, ...]
    secret_algorithm: str | None

    @staticmethod
    def from_json(document: bytes | str | Mapping[str, Any]) -> KeySet:
        """Parse a JWK Set; raises `Malformed` for anything that is not one."""
        data = _bytes(document)
        if len(data) > MAX_DOCUMENT_BYTES:
            raise _malformed("the document is larger than 512 KiB")
        try:
            parsed = json.parse(data)
        except json.JsonError as error:
            raise _malformed(str(error)) from None
        members = parsed.get("keys") if isinstance(parsed, dict) else None
        if not isinstance(members, list):
            raise _malformed("there is no array named keys")
        if len(members) > MAX_KEYS:
            raise _malformed("there are more than 256 keys")
        read = _refuse_ambiguous([_read(member) for member in members])
        return KeySet(
            tuple(key for key in read if isinstance(key, _Key)),
            tuple(f"keys[{position}]: {key}" for position, key in enumerate(read) if isinstance(key, BadKeyError)),
            None,
        )

    @staticmethod
    def from_secret(secret: bytes, *, algorithm: str) -> KeySet:
        """A shared secret: the only way to HMAC."""
        known = crypto.algorithm(algorithm)
        if known is None:
            raise ValueError("an unknown algorithm")
        try:
            prepared = PreparedKey.of(None, b"", crypto.secret_key(known, secret))
            return KeySet((_Key(None, b"", (prepared,)),), (), known)
        except BadKeyError as error:
            raise ValueError(str(error)) from None

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The `kid` of every usable key that has one."""
        return tuple(key.id for key in self._keys if key.id is not None)

    @property
    def fingerprints(self) -> tuple[bytes, ...]:
        """The fingerprint of every usable key for each of its algorithms, in the order of the document."""
        return tuple(prepared.fingerprint for key in self._keys for prepared in key.prepared)

    def __len__(self) -> int:
        return len(self._keys)

    def select(self, key_id: str | None, algorithm: str) -> PreparedKey:
        """The one key for a header. A `kid` names it or nothing does; without one the key must be the only one that
        fits, because trying several would let the token choose. A shared secret has no name."""
        fitting = list(self._fitting(key_id, algorithm))
        if len(fitting) == 1:
            return fitting[0]
        raise refusal("unknown_key", self._why_not(key_id, fits_several=bool(fitting)))

    def _why_not(self, key_id: str | None, *, fits_several: bool) -> str:
        if fits_several:
            return "no kid, and several keys fit"
        if key_id is None:
            return "no kid, and no key is for its alg"
        if any(self._is_meant(key, key_id) for key in self._keys):
            return "the key that kid names is not for its alg"
        return "kid names no key that can be used"

    def _is_meant(self, key: _Key, key_id: str | None) -> bool:
        return key_id is None or self.secret_algorithm is not None or key.id == key_id

    def _fitting(self, key_id: str | None, algorithm: str) -> Iterator[PreparedKey]:
        for key in self._keys:
            if self._is_meant(key, key_id):
                yield from (prepared for prepared in key.prepared if prepared.key.algorithm == algorithm)


def base64url(text: bytes) -> bytes | None:
    """Strict base64url (RFC 7515 section 2): no padding, no space, and one text only for the same bytes."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        return None
    data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    # Only the last character can carry bits that stand for nothing (RFC 4648 section 3.5).
    return data if base64.urlsafe_b64encode(data).rstrip(b"=") == text else None


_BASE64URL: Final = re.compile(rb"[A-Za-z0-9_-]*")
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1, RFC 8037 section 2."""


def _bytes(document: bytes | str | Mapping[str, Any]) -> bytes:
    if isinstance(document, bytes):
        return document
    if not isinstance(document, (str, Mapping)):
        raise TypeError("expected str or bytes")
    try:
        if isinstance(document, Mapping):
            document = standard_json.dumps(dict(document.items()), allow_nan=False)
        return document.encode("utf-8")
    except UnicodeEncodeError:
        raise _malformed("the text has lone surrogates") from None
    except Exception:
        # A mapping came out of a configuration; what JSON has no word for makes it malformed.
        raise _malformed("the mapping is not JSON") from None


def _malformed(detail: str) -> Refused:
    return refusal("malformed_key_set", detail)


def _read(member: Any) -> _Key | BadKeyError:
    try:
        return _read_key(member)
    except BadKeyError as error:
        return error


def _read_key(member: Any) -> _Key:
    if not isinstance(member, dict):
        raise BadKeyError("not an object")
    kind = _text(member, "kty")
    if kind is None:  # RFC 7517 section 4.1
        raise BadKeyError("kty is missing")
    if kind == "oct":
        raise BadKeyError("a shared secret in a published set")
    if not _PRIVATE_MEMBERS.isdisjoint(member):
        raise BadKeyError("a private key in a published set")
    _check_purpose(member)
    key_id = _text(member, "kid")
    if key_id is not None and len(key_id.encode()) > MAX_KEY_ID_BYTES:
        raise BadKeyError("kid is too long")
    read = _READERS.get(kind)
    if read is None:
        raise BadKeyError("an unsupported kty")
    material, keys = read(member)
    return _Key(key_id, material, tuple(PreparedKey.of(key_id, material, key) for key in keys))


def _refuse_ambiguous(read: list[_Key | BadKeyError]) -> list[_Key | BadKeyError]:
    """One `kid`, two keys, one algorithm: which of them signed cannot be told, so neither is used. Repeating one and
    the same key is harmless."""
    return [_ambiguity(read, position, key) or key for position, key in enumerate(read)]


def _ambiguity(read: list[_Key | BadKeyError], position: int, key: _Key | BadKeyError) -> BadKeyError | None:
    if isinstance(key, BadKeyError):
        return None
    repeats = False
    for other_position, other in enumerate(read):
        if other_position == position or isinstance(other, BadKeyError) or not key.fits_as(other):
            continue
        if key.material != other.material:
            return BadKeyError("another key has the same kid")
        repeats = repeats or other_position < position
    return BadKeyError("repeats an earlier key") if repeats else None


def _check_purpose(member: dict[str, Any]) -> None:
    """RFC 7517 sections 4.2 and 4.3."""
    if _text(member, "use") not in (None, "sig"):
        raise BadKeyError("use is not sig")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list):
        raise BadKeyError("key_ops is not an array")
    if "verify" not in operations:
        raise BadKeyError("key_ops lacks verify")


def _read_rsa(member: dict[str, Any]) -> tuple[bytes, tuple[VerificationKey, ...]]:
    modulus, exponent = _octets(member, "n"), _octets(member, "e")
    declared = _declared_algorithm(member)
    algorithms = (declared,) if declared else crypto.RSA
    return modulus + exponent, tuple(crypto.rsa_key(one, modulus, exponent) for one in algorithms)


def _read_elliptic(member: dict[str, Any]) -> tuple[bytes, tuple[VerificationKey, ...]]:
    # RFC 7518 section 3.4: the algorithm is bound to its curve.
    algorithm = {"P-256": "ES256", "P-384": "ES384"}.get(_curve(member))
    if algorithm is None:
        raise BadKeyError("an unsupported crv")
    _require_algorithm(member, algorithm)
    x, y = _octets(member, "x"), _octets(member, "y")
    return x + y, (crypto.elliptic_key(algorithm, x, y),)


def _read_edwards(member: dict[str, Any]) -> tuple[bytes, tuple[VerificationKey, ...]]:
    if _curve(member) != "Ed25519":
        raise BadKeyError("an unsupported crv")
    _require_algorithm(member, "EdDSA")
    x = _octets(member, "x")
    return x, (crypto.edwards_key(x),)


_READERS: Final = {"RSA": _read_rsa, "EC": _read_elliptic, "OKP": _read_edwards}


def _curve(member: dict[str, Any]) -> str:
    curve = _text(member, "crv")
    if curve is None:
        raise BadKeyError("crv is missing")
    return curve


def _declared_algorithm(member: dict[str, Any]) -> str | None:
    name = _text(member, "alg")
    if name is None:
        return None
    algorithm = crypto.algorithm(name)
    if algorithm is None:
        raise BadKeyError("an unsupported alg")
    return algorithm


def _require_algorithm(member: dict[str, Any], algorithm: str) -> None:
    if _declared_algorithm(member) not in (None, algorithm):
        raise BadKeyError("alg does not fit crv")


def _text(member: dict[str, Any], name: str) -> str | None:
    if name not in member:
        return None
    value = member[name]
    if not isinstance(value, str):
        raise BadKeyError(f"{name} is not a string")
    return value


def _octets(member: dict[str, Any], name: str) -> bytes:
    text = _text(member, name)
    if text is None:
        raise BadKeyError(f"{name} is missing")
    data = base64url(text.encode())
    if data is None:
        raise BadKeyError(f"{name} is not base64url")
    return data
