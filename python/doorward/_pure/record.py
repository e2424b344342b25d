"""The text of a ``call`` record: every member always there, ``null`` when unknown."""

from __future__ import annotations

import hashlib
import time
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Final

__all__ = ["call_record", "spelt"]

MAX_NAME: Final = 256
"""Characters of a name that reach a record: the caller invents names."""

_DIGEST_DIGITS: Final = 32
"""Of the hash behind a name that was cut: 128 bits."""

_NOT_ENDED: Final = (None, None, None, None, None, None, None)


def call_record(
    event: str,
    at: float,
    request_id: str,
    parent_id: str | None,
    rpc_id: str | int | None,
    trace_id: str | None,
    who: str,
    transport: str,
    peer: str | None,
    http_method: str | None,
    path: str | None,
    method: str | None,
    name: str | None,
    arguments_hash: str | None,
    hash_key: str | None,
    scopes: str,
    outcome: tuple[str | None, str | None, str | None, int | None, str | None, str | None, str | None] | None,
    limits_fallback: str | None,
    rule: str | None,
    would_deny: tuple[str, ...],
    disconnected: bool,
    latency_ms: float | None,
    /,
) -> str:
    """One JSON object without its closing brace: the chain adds ``instance``, ``sequence`` and ``previous``."""
    result, reason, budget, wait, detail, scope, window = outcome or _NOT_ENDED
    milliseconds = int(at * 1000)
    is_number = type(rpc_id) is int and -(2**63) <= rpc_id < 2**63  # a larger one is no id (`read_envelope`)
    number = rpc_id if is_number else spelt(None if rpc_id is None else str(rpc_id))
    return (
        f'{{"event":{spelt(event)},"timestamp":"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z",'
        f'"request_id":{spelt(request_id)},"parent_id":{spelt(parent_id)},"rpc_id":{number},'
        f'"trace_id":{spelt(trace_id)},{who},"transport":{spelt(transport)},"peer":{spelt(peer)},'
        f'"http_method":{spelt(http_method)},"path":{spelt(path)},"method":{spelt(method)},'
        f'"tool_name":{spelt(name)},"arguments_hash":{spelt(arguments_hash)},"hash_key":{spelt(hash_key)},'
        f'"scopes":{scopes},"result":{spelt(result)},"reason":{spelt(reason)},"detail":{spelt(detail)},'
        f'"budget":{spelt(budget)},"budget_scope":{spelt(scope)},"budget_window":{spelt(window)},'
        f'"retry_after_ms":{"null" if wait is None else wait},"limits_fallback":{spelt(limits_fallback)},'
        f'"rule":{spelt(rule)},'
        f'"would_deny":[{",".join(map(spelt, would_deny))}],'
        f'"disconnected":{"true" if disconnected else "false"},'
        f'"latency_ms":{"null" if latency_ms is None else f"{latency_ms:.3f}"}'
    )


def spelt(name: str | None, /) -> str:
    """A JSON string in ASCII, bounded in length."""
    if name is None:
        return "null"
    if len(name) > MAX_NAME:
        # Two names that begin alike must not read alike.
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        name = f"{name[:MAX_NAME]}…sha256:{digest[:_DIGEST_DIGITS]}"
    return encode_basestring_ascii(name)


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
