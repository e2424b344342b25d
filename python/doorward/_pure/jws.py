"""Compact JWS (RFC 7515): three parts, a header, one key, one signature. What the payload says is not looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from doorward._pure import crypto, json, jwk
from doorward._pure.crypto import VerificationKey
from doorward._pure.jwk import MAX_KEY_ID_BYTES, KeySet, PreparedKey
from doorward.errors import Refused, refusal

__all__ = [
    "DEFAULT_MAX_TOKEN_BYTES",
    "Header",
    "Parts",
    "malformed",
    "read_algorithms",
    "token_bytes",
    "too_large",
    "verify_jws",
]

_STRINGS: Final = (
    *("alg", "typ", "cty", "kid", "jku", "x5u", "x5t", "x5t#S256"),
    *("enc", "zip", "apu", "apv", "iv", "tag", "p2s", "iss", "nonce", "url"),
)
"""Header parameters that are strings: RFC 7515 section 4.1, RFC 7516 section 4.1.2, RFC 7518 sections 4.6.1, 4.7.1 and
4.8.1, RFC 7519 section 5.3, RFC 8555 section 6."""

_OBJECTS: Final = ("jwk", "epk")
"""Header parameters that are objects: RFC 7515 section 4.1.3, RFC 7518 section 4.6.1.1."""

_LISTS: Final = ("x5c", "trust_chain")
"""Header parameters that are arrays of strings: RFC 7515 section 4.1.6, OpenID Federation 1.0 section 4.3."""

DEFAULT_MAX_TOKEN_BYTES: Final = 16_384
"""What fits into the headers of every common server; a token is sent with every request."""


def verify_jws(token: str | bytes, keys: KeySet, algorithms: Sequence[str]) -> bytes:
    """The payload of a compact JWS after its signature verifies: the signature layer alone, for test vectors."""
    allowed = read_algorithms(algorithms)
    parts = Parts.split(token_bytes(token), DEFAULT_MAX_TOKEN_BYTES)
    parts.verify(Header.parse(parts.decode_header()).key(keys, allowed).key)
    return parts.payload


@dataclass(frozen=True, slots=True)
class Parts:
    """The three parts of a token, all but the header decoded."""

    header: bytes
    """As it was sent."""
    payload: bytes
    signed: bytes
    signature: bytes

    @classmethod
    def split(cls, token: bytes, max_bytes: int) -> Parts:
        """RFC 7515 section 5.2 step 1: exactly three parts, each strict base64url."""
        if len(token) > max_bytes:
            raise too_large()
        encoded = token.split(b".", 2)  # a fourth part would keep its dot, which is no base64url
        if len(encoded) != 3:
            raise malformed("not three parts")
        header, payload, signature = encoded
        return cls(header, _decode(payload), token[: len(header) + 1 + len(payload)], _decode(signature))

    def decode_header(self) -> bytes:
        """The bytes of the header."""
        return _decode(self.header)

    def verify(self, key: VerificationKey) -> None:
        """One key, one signature."""
        if not key.verifies(self.signed, self.signature):
            raise refusal("bad_signature", "the signature does not verify")


@dataclass(frozen=True, slots=True)
class Header:
    """A JOSE header: an object that asks for no extension."""

    parameters: dict[str, Any]

    @classmethod
    def parse(cls, data: bytes) -> Header:
        try:
            parameters = json.parse(data)
        except json.JsonError as error:
            raise malformed(str(error)) from None
        if not isinstance(parameters, dict):
            raise malformed("the header is not an object")
        # RFC 7515 section 4.1.11, RFC 7797 section 7: we understand no extension, not even b64.
        if "crit" in parameters or "b64" in parameters:
            raise refusal("unsupported_critical", "no extension is understood")
        return cls(parameters)

    def text(self, name: str) -> str | None:
        """A parameter that must be a string where it is there."""
        if name not in self.parameters:
            return None
        value = self.parameters[name]
        if not isinstance(value, str):
            raise malformed(f"{name} is not a string")
        return value

    def check_types(self) -> None:
        """Every registered parameter that is there must have its JSON type, also where it is not used: two readers of
        one header could otherwise differ about what it says."""
        for name in _STRINGS:
            self.text(name)
        for name in _OBJECTS:
            if name in self.parameters and not isinstance(self.parameters[name], dict):
                raise malformed(f"{name} is not an object")
        for name in _LISTS:
            if name in self.parameters and not _is_list_of_strings(self.parameters[name]):
                raise malformed(f"{name} is not an array of strings")

    def key(self, keys: KeySet, allowed: tuple[str, ...]) -> PreparedKey:
        """One allowed algorithm, and the one key for it."""
        algorithm = self.algorithm(allowed)
        return keys.select(self.key_id(), algorithm)

    def algorithm(self, allowed: tuple[str, ...]) -> str:
        """RFC 8725 section 3.1: the allow list decides, the token only chooses from it."""
        algorithm = crypto.algorithm(self.text("alg") or "")
        if algorithm is None or algorithm not in allowed:
            raise refusal("unsupported_algorithm", "alg is not on the allow list")
        return algorithm

    def key_id(self) -> str | None:
        key_id = self.text("kid")
        if key_id is not None and len(key_id.encode()) > MAX_KEY_ID_BYTES:
            raise malformed("kid is too long")
        return key_id


def read_algorithms(names: Sequence[str]) -> tuple[str, ...]:
    """The algorithms of their names; `ValueError` for a configuration that cannot be right."""
    if isinstance(names, str):
        raise TypeError("algorithms is a str, not a sequence of them")
    if not names:
        raise ValueError("algorithms is empty")
    return tuple(_read_algorithm(name) for name in names)


def too_large() -> Refused:
    """Refused before anything of it is read."""
    return refusal("token_too_large", "longer than the configured bound")


def malformed(detail: str) -> Refused:
    """Not a token at all."""
    return refusal("malformed_token", detail)


def token_bytes(token: str | bytes) -> bytes:
    """The bytes of a token, in UTF-8 where it is a str."""
    if isinstance(token, bytes):
        return token
    if not isinstance(token, str):
        raise TypeError("expected str or bytes")
    try:
        return token.encode("utf-8")
    except UnicodeEncodeError:
        raise malformed("the text has lone surrogates") from None


def _is_list_of_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _decode(part: bytes) -> bytes:
    data = jwk.base64url(part)
    if data is None:
        raise malformed("a part is not strict base64url")
    return data


def _read_algorithm(name: str) -> str:
    if name == "ES512":
        raise ValueError("ES512 is not offered: jsonwebtoken has no P-521")
    if name.lower() == "none":
        raise ValueError("none is not an algorithm")
    algorithm = crypto.algorithm(name)
    if algorithm is None:
        raise ValueError("algorithms names one that is not offered")
    return algorithm
