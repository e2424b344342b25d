"""What the caller sees: one refusal becomes a status, headers and a body, or a JSON-RPC error alone.

RFC 6750 section 3 and RFC 9728 section 5.1 for the challenge. Every body is a JSON-RPC error, because that is the only
body that the official clients show; it has the request's id where that is known, and null before the body is read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple

from doorward.errors import CODES, Forbidden, Limited, Refused, Unauthenticated, Unavailable

__all__ = ["Challenge", "Response", "error_of", "render"]

_encode = json.JSONEncoder(separators=(",", ":")).encode

_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")

_INVISIBLE = re.compile(r"[^ -~]")

_REALM = "mcp"
_UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RPC_CODES = {"invalid_json": -32700, "unknown_method": -32601}
"""What JSON-RPC has a code for has that code; who may not, or not now, is told the HTTP number, which lies outside the
range the specification reserves."""
_INVALID_REQUEST = -32600

_NOTHING_PRESENTED = frozenset({"missing_credentials", "unsupported_scheme"})
"""No credentials, or of a kind not known here: the challenge then names no error (RFC 6750 section 3.1)."""


_, _INVALID_TOKEN = CODES["bad_signature"]
"""The description that all slugs share which do not concern the caller."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a refused caller is told about how to come back."""

    metadata_url: str | None
    """Of the document that names the authorization servers (RFC 9728 section 5.1); None where there are none, so that
    no client begins a login that nobody answers."""
    scopes: Sequence[str]


class Response(NamedTuple):
    """An answer of the gate's own."""

    status: int
    raw_headers: Sequence[tuple[bytes, bytes]]
    """As ASGI has them."""
    body: bytes

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The same as texts."""
        return [(name.decode(), value.decode("latin-1")) for name, value in self.raw_headers]


def render(refusal: Refused, *, request_id: str, rpc_id: str | int | None, challenge: Challenge) -> Response:
    """The HTTP answer to a refused request."""
    if isinstance(refusal, Limited) and refusal.retry_after is not None:
        return _over_limit(refusal, refusal.retry_after, request_id, rpc_id)
    error = error_of(refusal, request_id=request_id)
    body = _encode({"jsonrpc": "2.0", "id": rpc_id, "error": error}).encode()
    return Response(refusal.status, [*_always(body, request_id), *_own(refusal, challenge)], body)


def error_of(refusal: Refused, *, request_id: str) -> dict[str, Any]:
    """The JSON-RPC error object of a refusal."""
    data: dict[str, Any] = {"reason": _public_code(refusal), "retryable": refusal.retryable, "requestId": request_id}
    if isinstance(refusal, Limited):
        if refusal.retry_after is not None:
            data["retryAfterMs"] = math.ceil(refusal.retry_after * 1000)
        data |= {"budget": refusal.budget, "limit": refusal.limit}
        data |= {"budgetScope": refusal.scope or None, "window": refusal.window or None}
        data["remaining"] = refusal.remaining
    elif isinstance(refusal, Unavailable):
        data["retryAfterMs"] = math.ceil(refusal.retry_after * 1000)
    elif isinstance(refusal, Forbidden) and refusal.required_scopes:
        data["requiredScopes"] = list(refusal.required_scopes)
    return {"code": _rpc_code(refusal), "message": _message(refusal), "data": data}


def _over_limit(refusal: Limited, wait: float, request_id: str, rpc_id: str | int | None) -> Response:
    """Floods are answered with these, so that they are put together from what all answers over one limit share:
    `error_of`, ``Retry-After``, and the fields of draft-ietf-httpapi-ratelimit-headers-10 for the violated budget."""
    words = _words(refusal.code, refusal.budget, refusal.limit, refusal.scope)
    seconds = _whole_seconds(wait)
    spelt_id = str(rpc_id) if type(rpc_id) is int else _encode(rpc_id)  # nearly all are, and an encoder takes longer
    body = (
        f'{{"jsonrpc":"2.0","id":{spelt_id},"error":{{"code":429,'
        f'"message":"{words.over_as_json}: retry in {seconds} s",'
        f'"data":{{"reason":"{refusal.code}","retryable":true,"requestId":"{request_id}",'
        f'"retryAfterMs":{math.ceil(wait * 1000)},{words.members},"remaining":{refusal.remaining}}}}}}}'
    ).encode()
    headers = [*_always(body, request_id), (b"retry-after", b"%d" % seconds)]
    if words.policy:
        headers += words.policy, (b"ratelimit", b"%b;r=%d;t=%d" % (words.name, refusal.remaining, seconds))
    return Response(429, headers, body)


def _always(body: bytes, request_id: str) -> tuple[tuple[bytes, bytes], ...]:
    return _JSON, (b"content-length", b"%d" % len(body)), _NO_STORE, (b"x-request-id", request_id.encode())


def _own(refusal: Refused, challenge: Challenge) -> list[tuple[bytes, bytes]]:
    if isinstance(refusal, Unauthenticated):
        if refusal.code in _NOTHING_PRESENTED:
            return [_www_authenticate(challenge, scopes=challenge.scopes)]
        return [_www_authenticate(challenge, error="invalid_token", description=refusal.description)]
    if isinstance(refusal, Forbidden) and refusal.required_scopes:
        said, scopes = refusal.description, refusal.required_scopes
        return [_www_authenticate(challenge, error="insufficient_scope", description=said, scopes=scopes)]
    if isinstance(refusal, Unavailable):
        return [(b"retry-after", b"%d" % _whole_seconds(refusal.retry_after))]
    if refusal.code == "method_not_allowed":
        return [(b"allow", b"GET, HEAD, POST, DELETE, OPTIONS")]
    return []


def _www_authenticate(
    challenge: Challenge, *, error: str = "", description: str = "", scopes: Sequence[str] = ()
) -> tuple[bytes, bytes]:
    parts = [f'realm="{_REALM}"']
    if error:
        parts += [f'error="{error}"', f'error_description="{description}"']
    if scopes:
        parts.append(f'scope="{" ".join(scopes)}"')
    if challenge.metadata_url is not None:
        parts.append(f'resource_metadata="{challenge.metadata_url}"')
    return b"www-authenticate", f"Bearer {', '.join(parts)}".encode("latin-1")


class _Words(NamedTuple):
    """What all answers share that are over one limit. Limits are the configuration's, so they are few."""

    over: str
    over_as_json: str
    """Without its quotes."""
    members: str
    """Of the JSON-RPC error's data."""
    name: bytes
    policy: tuple[bytes, bytes] | None
    """``RateLimit-Policy``; None where the fields have no words for the limit."""


@lru_cache(256)
def _words(code: str, budget: str, limit: str, scope: str) -> _Words:
    over = f"over {limit} for {budget}" + (f" ({scope})" if scope not in ("", budget) else "")
    name, policy = "", ""
    quota, _, period = limit.partition("/")
    unit = period.partition(" ")[0]
    window = f'"{unit}"' if unit in _UNIT_SECONDS else "null"
    if code == "too_many_in_flight":
        name, policy = _structured(f"{budget}-concurrency"), f'q={limit.partition(" ")[0]};qu="concurrent-requests"'
    elif unit in _UNIT_SECONDS:
        name, policy = _structured(f"{budget}-{unit}"), f"q={quota};w={_UNIT_SECONDS[unit]}"
    return _Words(
        over,
        encode_basestring_ascii(over)[1:-1],
        f'"budget":{encode_basestring_ascii(budget)},"limit":{encode_basestring_ascii(limit)},'
        f'"budgetScope":{encode_basestring_ascii(scope) if scope else "null"},"window":{window}',
        name.encode(),
        (b"ratelimit-policy", f"{name};{policy}".encode()) if policy else None,
    )


def _structured(text: str) -> str:
    """A string of RFC 9651 section 3.3.3: visible ASCII and space alone; anything else becomes a question mark."""
    return json.dumps(_INVISIBLE.sub("?", text))


def _message(refusal: Refused) -> str:
    """Words an agent can act on."""
    if isinstance(refusal, Limited):
        over = _words(refusal.code, refusal.budget, refusal.limit, refusal.scope).over
        if refusal.retry_after is None:
            return f"{over}: the call costs more than this limit ever holds; do not retry"
        return f"{over}: retry in {_whole_seconds(refusal.retry_after)} s"
    if isinstance(refusal, Forbidden) and refusal.required_scopes:
        return f"{refusal.description}: {' '.join(refusal.required_scopes)}"
    return refusal.description


def _public_code(refusal: Refused) -> str:
    """The slug, where the description tells as much; a token that is not valid for another reason is an
    ``invalid_token`` (RFC 6750 section 3.1), and the record has the slug."""
    if isinstance(refusal, Unauthenticated) and refusal.description == _INVALID_TOKEN:
        return "invalid_token"
    return refusal.code


def _rpc_code(refusal: Refused) -> int:
    if refusal.status in (401, 403, 429, 503):
        return refusal.status
    return _RPC_CODES.get(refusal.code, _INVALID_REQUEST)


def _whole_seconds(seconds: float) -> int:
    return max(1, math.ceil(seconds))
