"""What an access token says (RFC 7519, RFC 9068), read once into types: whoever holds a `Claims` need not ask again
whether `exp` is a number."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, final

from doorward._pure import json, jwk, kind
from doorward._pure.jws import DEFAULT_MAX_TOKEN_BYTES, Header, malformed, token_bytes, too_large
from doorward._pure.subject import subject_by
from doorward.errors import Refused, refusal

__all__ = ["MAX_TIME", "Claims", "issuer", "parse", "read", "thumbprint_bytes", "token_issuer", "token_kind"]

_T = TypeVar("_T")

MAX_TIME: Final = 253_402_300_799.0
"""The last second of the year 9999: no honest time lies beyond, and every one before is exact in a double."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """The claims of an access token whose signature was verified."""

    issuer: str
    subject: str
    client_id: str | None
    audience: tuple[str, ...]
    scopes: tuple[str, ...]
    issued_at: float | None
    expires_at: float
    not_before: float
    certificate_sha256: bytes | None
    token_id: str | None
    key_fingerprint: bytes
    _payload: bytes = field(repr=False)

    @property
    def raw(self) -> dict[str, Any]:
        """All claims; a new dict each time."""
        return parse(self._payload)


def parse(payload: bytes) -> dict[str, Any]:
    """The payload as one JSON object (RFC 7519 section 7.2 step 10)."""
    try:
        value = json.parse(payload)
    except json.JsonError as error:
        raise malformed(str(error)) from None
    if not isinstance(value, dict):
        raise malformed("the payload is not an object")
    return value


def read(payload: bytes, *, declared: bool, leeway: float, rule: str, key_fingerprint: bytes) -> Claims:
    """Read the claims out of a payload. ``declared`` says that the header's `typ` already names an access token;
    otherwise the claims have to show it. ``leeway`` is the verifier's, in seconds, and ``rule`` that of its subject;
    ``key_fingerprint`` tells which key verified the signature."""
    value = parse(payload)
    if not declared:
        _check_kind(value)
    # In the order of the native core, so that both name the same fault first.
    issuer = _required("iss", _text(value, "iss"))
    audience = _required("aud", _texts(value, "aud"))
    expires_at = _required("exp", _time(value, "exp"))
    starts = (_time(value, "nbf"), _time(value, "iat"))
    sub, client_id = _text(value, "sub"), _client_id(value)
    subject = subject_by(rule, sub, _username(value), client_id)
    token_id = _text(value, "jti")
    scopes = _scopes(value)
    certificate = _confirmation(value)
    return Claims(
        issuer,
        subject,
        client_id,
        audience,
        scopes,
        starts[1],
        expires_at,
        max((start for start in starts if start is not None), default=-math.inf) - leeway,
        certificate,
        token_id,
        key_fingerprint,
        payload,
    )


def issuer(value: dict[str, Any]) -> str:
    """The `iss` that chooses among several issuers."""
    return _required("iss", _text(value, "iss"))


def token_issuer(token: str | bytes) -> str | None:
    """The `iss` that a JWT claims, nothing of it verified; empty where it names none, and None for what is not a JWT by
    its form. What has the form and cannot be read is refused, so that it never passes for an opaque token."""
    data = token_bytes(token)
    if len(data) > DEFAULT_MAX_TOKEN_BYTES:
        raise too_large()
    parts = data.split(b".", 3)
    if len(parts) != 3:
        return None
    header = jwk.base64url(parts[0])
    if header is None or not _opens_an_object(header):
        return None
    Header.parse(header)
    payload = jwk.base64url(parts[1])
    if payload is None:
        raise malformed("a part is not strict base64url")
    return _text(parse(payload), "iss") or ""


def token_kind(claims: bytes) -> kind.Kind:
    """What a set of claims, in JSON, shows of the kind of its token."""
    return kind.kind(parse(claims))


def thumbprint_bytes(text: str) -> bytes | None:
    """The 32 bytes of an `x5t#S256`."""
    data = jwk.base64url(text.encode("utf-8", "replace"))
    return data if data is not None and len(data) == 32 else None


def _opens_an_object(data: bytes) -> bool:
    """By its first byte alone: a broken object is a broken JWT, not something else."""
    return data.lstrip(b" \t\n\r\f").startswith(b"{")


def _check_kind(value: dict[str, Any]) -> None:
    """One kind of token must not pass for another (see `kind`)."""
    found = kind.kind(value)
    if found == "unknown":
        raise refusal(
            "invalid_type",
            "nothing shows an access token: have the issuer set typ to at+jwt, or write scope and client_id into it",
        )
    if found == "other":
        raise refusal("invalid_type", "the claims are those of another kind of token")


def _required(name: str, claim: _T | None) -> _T:
    if claim is None:
        raise refusal("missing_claim", f"{name} is missing (RFC 9068 section 2.2)")
    return claim


def _invalid(detail: str) -> Refused:
    return refusal("invalid_claim", detail)


def _text(value: dict[str, Any], name: str) -> str | None:
    """A claim that must be a string, and not an empty one, where it is there."""
    claim = value.get(name)  # several issuers write null for one that they leave out, here and below
    if claim is None:
        return None
    if not isinstance(claim, str) or not claim:
        raise _invalid(f"{name} is not a string, or empty")
    return claim


def _texts(value: dict[str, Any], name: str) -> tuple[str, ...] | None:
    """RFC 7519 section 4.1.3: a string or an array of strings."""
    claim = value.get(name)
    if claim is None:
        return None
    items = [claim] if isinstance(claim, str) else claim
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise _invalid(f"{name} is not a string or an array of strings")
    return tuple(items)


def _time(value: dict[str, Any], name: str) -> float | None:
    """RFC 7519 section 2: a NumericDate is a number, not necessarily an integer."""
    claim = value.get(name)
    if claim is None:
        return None
    if isinstance(claim, bool) or not isinstance(claim, (int, float)) or not -MAX_TIME <= claim <= MAX_TIME:
        raise _invalid(f"{name} is not a number of seconds before the year 10000")
    return float(claim) + 0.0  # which makes -0.0 the 0.0 it is


def _client_id(value: dict[str, Any]) -> str | None:
    authorized_party = _text(value, "azp")
    return _text(value, "client_id") or authorized_party


def _username(value: dict[str, Any]) -> str | None:
    """The `username`, which only some issuers fill: what is no name is none."""
    username = value.get("username")
    return username if isinstance(username, str) and username else None


def _scopes(value: dict[str, Any]) -> tuple[str, ...]:
    """`scope` is a string (RFC 8693 section 4.2); `scp`, which some issuers send instead, a string or an array."""
    if value.get("scope") is not None:
        if not isinstance(value["scope"], str):
            raise _invalid("scope is not a string")
        sent: tuple[str, ...] = (value["scope"],)
    else:
        sent = _texts(value, "scp") or ()
    return tuple(dict.fromkeys(scope for text in sent for scope in text.split(" ") if scope))


def _confirmation(value: dict[str, Any]) -> bytes | None:
    """RFC 7800 section 3.1, RFC 8705 section 3.1: the one binding we can check. Any other one makes the token worthless
    without a proof we cannot ask for, so it is no bearer token."""
    confirmation = value.get("cnf")
    if confirmation is None:
        return None
    if not isinstance(confirmation, dict) or not confirmation:
        raise _invalid("cnf is not an object with a member")
    if list(confirmation) != ["x5t#S256"]:
        raise refusal("proof_required", "cnf binds the token to a proof other than a certificate")
    thumbprint = confirmation["x5t#S256"]
    certificate = thumbprint_bytes(thumbprint) if isinstance(thumbprint, str) else None
    if certificate is None:
        raise _invalid("x5t#S256 is not a SHA-256")
    return certificate
