"""One record as JSON: every member always there, null when unknown; never an argument, a token or a header value.

Written as text directly: the order of the members is the documentation's, and what does not change from call to call
(who the caller is) is encoded once per caller.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring_ascii

from toolgate.principal import Principal

__all__ = ["Outcome", "call_record", "principal_fragment", "timestamp"]

_DIGEST_DIGITS = 32
"""Of the hash behind a name that was cut: 128 bits."""

_MAX_NAME = 256
"""Characters of a name that reach a record: the caller invents names."""

UNKNOWN_PRINCIPAL = (
    '"client_id":null,"subject":null,"issuer":null,"organization":null,"token_id":null,"verified":false',
    "null",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended."""

    result: str
    """``success``, ``tool_error``, ``error``, ``cancelled``, ``denied_auth``, ``denied_scope``, ``denied_policy``,
    ``denied_rate``, ``unavailable`` or ``malformed``."""
    reason: str | None = None
    budget: str | None = None
    retry_after_ms: int | None = None


def principal_fragment(principal: Principal) -> tuple[str, str]:
    """The caller's members of a record, and its scopes, encoded."""
    members = (
        f'"client_id":{_text(principal.client_id)},"subject":{_text(principal.subject)},'
        f'"issuer":{_text(principal.issuer)},"organization":{_text(principal.organization)},'
        f'"token_id":{_text(principal.token_id)},"verified":true'
    )
    return members, json.dumps(list(principal.scopes), separators=(",", ":"))


def call_record(
    outcome: Outcome,
    *,
    at: float,
    latency_ms: float,
    request_id: str,
    parent_id: str | None,
    rpc_id: str | int | None,
    principal: tuple[str, str] | None,
    transport: str,
    method: str | None,
    name: str | None,
    arguments_hash: str | None,
    hash_key: str | None,
    rule: str | None,
    would_deny: tuple[str, ...],
    disconnected: bool,
) -> str:
    """A ``call`` record without its closing brace: the chain adds ``instance``, ``sequence`` and ``previous``."""
    who, scopes = principal or UNKNOWN_PRINCIPAL
    denied = json.dumps(would_deny, separators=(",", ":")) if would_deny else "[]"
    wait = "null" if outcome.retry_after_ms is None else outcome.retry_after_ms
    return (
        f'{{"event":"call","timestamp":"{timestamp(at)}","request_id":"{request_id}",'
        f'"parent_id":{_text(parent_id)},"rpc_id":{_text(rpc_id) if isinstance(rpc_id, str) else _number(rpc_id)},'
        f'"trace_id":null,{who},"transport":"{transport}","method":{_text(method)},"tool_name":{_text(name)},'
        f'"arguments_hash":{_text(arguments_hash)},"hash_key":{_text(hash_key)},"scopes":{scopes},'
        f'"result":"{outcome.result}","reason":{_text(outcome.reason)},"budget":{_text(outcome.budget)},'
        f'"retry_after_ms":{wait},"rule":{_text(rule)},"would_deny":{denied},'
        f'"disconnected":{"true" if disconnected else "false"},"latency_ms":{latency_ms:.3f}'
    )


def timestamp(at: float) -> str:
    """ISO 8601, UTC, milliseconds."""
    seconds, milliseconds = divmod(int(at * 1000), 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _text(value: str | None) -> str:
    if value is None:
        return "null"
    if len(value) > _MAX_NAME:
        # Two names that begin alike must not read alike.
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        value = f"{value[:_MAX_NAME]}…sha256:{digest[:_DIGEST_DIGITS]}"
    return encode_basestring_ascii(value)


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)
