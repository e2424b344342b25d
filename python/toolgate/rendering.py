"""What the caller sees: one refusal becomes a status, headers and a body, or a JSON-RPC error alone.

RFC 6750 section 3 and RFC 9728 section 5.1 for the challenge; the JSON-RPC error carries the request's id where it is
known, because that is the only body the official clients hand on to the agent.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple

from toolgate.errors import CODES, Forbidden, Limited, Refused, Unauthenticated, Unavailable

__all__ = ["Challenge", "Response", "error_of", "render"]

_encode = json.JSONEncoder(separators=(",", ":")).encode

_INVISIBLE = re.compile(r"[^ -~]")

_REALM = "mcp"
_UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RPC_CODES = {"invalid_json": -32700, "unknown_method": -32601}
"""What JSON-RPC has a code for has that code; who may not, or not now, is told the HTTP number, which lies outside the
range the specification reserves."""
_INVALID_REQUEST = -32600

_NOTHING_PRESENTED = frozenset({"missing_credentials", "unsupported_scheme"})
"""No credentials, or of a kind not known here: the challenge then names no error (RFC 6750 section 3.1)."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a refused caller is told about how to come back."""

    metadata_url: str
    scopes: Sequence[str]


class Response(NamedTuple):
    """An answer of the gate's own."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


def render(refusal: Refused, *, request_id: str, rpc_id: str | int | None, challenge: Challenge) -> Response:
    """The HTTP answer to a refused request."""
    if isinstance(refusal, Unauthenticated):
        body = _oauth_body(refusal.code)
    else:
        error = _error_text(refusal, request_id)
        body = f'{{"jsonrpc":"2.0","id":{_id_text(rpc_id)},"error":{error}}}'.encode()
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
        ("x-request-id", request_id),
        *_headers(refusal, challenge),
    ]
    return Response(refusal.status, headers, body)


def error_of(refusal: Refused, *, request_id: str) -> dict[str, Any]:
    """The JSON-RPC error object of a refusal."""
    data: dict[str, Any] = {"reason": refusal.code, "retryable": refusal.retryable, "requestId": request_id}
    if isinstance(refusal, Limited):
        if refusal.retry_after is not None:
            data["retryAfterMs"] = math.ceil(refusal.retry_after * 1000)
        data |= {"budget": refusal.budget, "limit": refusal.limit, "remaining": refusal.remaining}
    elif isinstance(refusal, Unavailable):
        data["retryAfterMs"] = math.ceil(refusal.retry_after * 1000)
    elif isinstance(refusal, Forbidden) and refusal.required_scopes:
        data["requiredScopes"] = list(refusal.required_scopes)
    return {"code": _rpc_code(refusal), "message": _message(refusal), "data": data}


def _id_text(rpc_id: str | int | None) -> str:
    if rpc_id is None:
        return "null"
    return encode_basestring_ascii(rpc_id) if isinstance(rpc_id, str) else str(rpc_id)


def _error_text(refusal: Refused, request_id: str) -> str:
    """`error_of` as JSON. Floods are answered with what is over a limit, so that one is put together from what all its
    answers share."""
    if not isinstance(refusal, Limited) or refusal.retry_after is None:
        return _encode(error_of(refusal, request_id=request_id))
    words = _words(refusal.code, refusal.budget, refusal.limit, refusal.shared_by)
    wait = _whole_seconds(refusal.retry_after)
    return (
        f'{{"code":{_rpc_code(refusal)},"message":"{words.over_as_json}: retry in {wait} s",'
        f'"data":{{"reason":"{refusal.code}","retryable":true,"requestId":"{request_id}",'
        f'"retryAfterMs":{math.ceil(refusal.retry_after * 1000)},{words.members},"remaining":{refusal.remaining}}}}}'
    )


def _headers(refusal: Refused, challenge: Challenge) -> list[tuple[str, str]]:
    if isinstance(refusal, Unauthenticated):
        if refusal.code in _NOTHING_PRESENTED:
            return [("www-authenticate", _bearer(challenge, scopes=challenge.scopes))]
        return [("www-authenticate", _bearer(challenge, error="invalid_token", description=refusal.description))]
    if isinstance(refusal, Forbidden) and refusal.required_scopes:
        return [
            (
                "www-authenticate",
                _bearer(
                    challenge,
                    error="insufficient_scope",
                    description=refusal.description,
                    scopes=refusal.required_scopes,
                ),
            )
        ]
    if isinstance(refusal, Limited):
        return _rate_limit(refusal)
    if isinstance(refusal, Unavailable):
        return [("retry-after", str(_whole_seconds(refusal.retry_after)))]
    if refusal.code == "method_not_allowed":
        return [("allow", "GET, HEAD, POST, DELETE, OPTIONS")]
    return []


def _bearer(challenge: Challenge, *, error: str = "", description: str = "", scopes: Sequence[str] = ()) -> str:
    parts = [f'realm="{_REALM}"']
    if error:
        parts += [f'error="{error}"', f'error_description="{description}"']
    if scopes:
        parts.append(f'scope="{" ".join(scopes)}"')
    parts.append(f'resource_metadata="{challenge.metadata_url}"')
    return f"Bearer {', '.join(parts)}"


def _rate_limit(refusal: Limited) -> list[tuple[str, str]]:
    """``Retry-After``, and the fields of draft-ietf-httpapi-ratelimit-headers-10 for the violated budget."""
    if refusal.retry_after is None:
        return []
    wait = _whole_seconds(refusal.retry_after)
    headers = [("retry-after", str(wait))]
    words = _words(refusal.code, refusal.budget, refusal.limit, refusal.shared_by)
    if words.policy:
        headers.append(("ratelimit-policy", f"{words.name};{words.policy}"))
        headers.append(("ratelimit", f"{words.name};r={refusal.remaining};t={wait}"))
    return headers


class _Words(NamedTuple):
    """What all answers share that are over one limit. Limits are the configuration's, so they are few."""

    over: str
    over_as_json: str
    """Without its quotes."""
    members: str
    """Of the JSON-RPC error's data."""
    name: str
    """Of its policy, and of its state."""
    policy: str
    """Empty where the fields have no words for it."""


@lru_cache(256)
def _words(code: str, budget: str, limit: str, shared_by: str) -> _Words:
    over = f"over {limit} for {budget}" + (f" ({shared_by})" if shared_by else "")
    name, policy = budget, ""
    quota, _, period = limit.partition("/")
    unit = period.partition(" ")[0]
    if code == "too_many_in_flight":
        name, policy = f"{budget}-concurrency", f'q={limit.partition(" ")[0]};qu="concurrent-requests"'
    elif unit in _UNIT_SECONDS:
        name, policy = f"{budget}-{unit}", f"q={quota};w={_UNIT_SECONDS[unit]}"
    return _Words(
        over,
        encode_basestring_ascii(over)[1:-1],
        f'"budget":{encode_basestring_ascii(budget)},"limit":{encode_basestring_ascii(limit)}',
        _structured(name),
        policy,
    )


def _structured(text: str) -> str:
    """A string of RFC 9651 section 3.3.3: visible ASCII and space alone; anything else becomes a question mark."""
    return json.dumps(_INVISIBLE.sub("?", text))


def _message(refusal: Refused) -> str:
    """Words an agent can act on."""
    if isinstance(refusal, Limited):
        over = _words(refusal.code, refusal.budget, refusal.limit, refusal.shared_by).over
        if refusal.retry_after is None:
            return f"{over}: the call costs more than this limit ever holds; do not retry"
        return f"{over}: retry in {_whole_seconds(refusal.retry_after)} s"
    if isinstance(refusal, Forbidden) and refusal.required_scopes:
        return f"{refusal.description}: {' '.join(refusal.required_scopes)}"
    return refusal.description


@cache
def _oauth_body(code: str) -> bytes:
    # RFC 6750 section 3.1: without credentials there is nothing to call invalid.
    error = "unauthorized" if code in _NOTHING_PRESENTED else "invalid_token"
    _, description = CODES[code]
    return _encode({"error": error, "error_description": description}).encode()


def _rpc_code(refusal: Refused) -> int:
    if refusal.status in (401, 403, 429, 503):
        return refusal.status
    return _RPC_CODES.get(refusal.code, _INVALID_REQUEST)


def _whole_seconds(seconds: float) -> int:
    return max(1, math.ceil(seconds))
