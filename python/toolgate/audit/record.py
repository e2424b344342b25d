"""One record as JSON: every member always there, null when unknown; never an argument, a token or a header value.

Written as text directly: the order of the members is the documentation's, and what does not change from call to call
(who the caller is) is encoded once per caller.
"""

from __future__ import annotations

import hashlib
import json
import time
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Final, NamedTuple

from toolgate.principal import Principal

__all__ = [
    "SUCCESS",
    "Outcome",
    "call_record",
    "principal_fragment",
    "start_record",
    "timestamp",
    "unverified_fragment",
]

_DIGEST_DIGITS = 32
"""Of the hash behind a name that was cut: 128 bits."""

_MAX_NAME: Final = 256
"""Characters of a name that reach a record: the caller invents names."""

_SHORT: Final = 64

UNKNOWN_PRINCIPAL = (
    '"client_id":null,"subject":null,"issuer":null,"organization":null,"token_id":null,"verified":false',
    "null",
)


class Outcome(NamedTuple):
    """How a call ended."""

    result: str
    """``success``, ``tool_error``, ``error``, ``cancelled``, ``denied_auth``, ``denied_scope``, ``denied_policy``,
    ``denied_rate``, ``unavailable``, ``malformed`` or ``asked``."""
    reason: str | None = None
    budget: str | None = None
    retry_after_ms: int | None = None


SUCCESS: Final = Outcome("success")
"""The one outcome that most calls share."""

_SUCCEEDED: Final = '"result":"success","reason":null,"budget":null,"retry_after_ms":null'
_NOT_ENDED: Final = '"result":null,"reason":null,"budget":null,"retry_after_ms":null'


def principal_fragment(principal: Principal) -> tuple[str, str]:
    """The caller's members of a record, and its scopes, encoded."""
    members = (
        f'"client_id":{_text(principal.client_id)},"subject":{_text(principal.subject)},'
        f'"issuer":{_text(principal.issuer)},"organization":{_text(principal.organization)},'
        f'"token_id":{_text(principal.token_id)},"verified":true'
    )
    return members, json.dumps(list(principal.scopes), separators=(",", ":"))


def unverified_fragment(
    *, client_id: str | None, subject: str | None, issuer: str | None, token_id: str | None
) -> tuple[str, str]:
    """The same for a caller whose credential counts no more, or not here: its signature was good, nothing else."""
    members = (
        f'"client_id":{_text(client_id)},"subject":{_text(subject)},"issuer":{_text(issuer)},"organization":null,'
        f'"token_id":{_text(token_id)},"verified":false'
    )
    return members, "null"


def call_record(
    outcome: Outcome | None,
    *,
    event: str = "",
    at: float,
    latency_ms: float | None,
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
    trace_id: str | None = None,
) -> str:
    """A ``call`` record without its closing brace: the chain adds ``instance``, ``sequence`` and ``previous``. Without
    an outcome it is an ``intent``, the call is about to run; or ``event``: ``asked`` or ``confirmed``."""
    who, scopes = principal or UNKNOWN_PRINCIPAL
    denied = json.dumps(would_deny, separators=(",", ":")) if would_deny else "[]"
    if outcome is SUCCESS:
        ended = _SUCCEEDED
    elif outcome is None:
        ended = _NOT_ENDED
    else:
        wait = "null" if outcome.retry_after_ms is None else outcome.retry_after_ms
        ended = (
            f'"result":"{outcome.result}","reason":{_text(outcome.reason)},"budget":{_text(outcome.budget)},'
            f'"retry_after_ms":{wait}'
        )
    event = "call" if outcome is not None else event or "intent"
    milliseconds = int(at * 1000)
    seconds = milliseconds // 1000
    is_short = (method is None or len(method) <= _SHORT) and (name is None or len(name) <= _SHORT)
    what = (_again if is_short else _message)(transport, method, name)
    arguments = "null" if arguments_hash is None else f'"{arguments_hash}"'
    latency = "null" if latency_ms is None else f"{latency_ms:.3f}"
    number = "null" if rpc_id is None else rpc_id if type(rpc_id) is int else _text(str(rpc_id))
    # Written out, not called: what is null most often costs nothing then. Hashes are ours, and need no escapes.
    return (
        f'{{"event":"{event}","timestamp":"{_second(seconds)}{_MILLISECONDS[milliseconds - seconds * 1000]}",'
        f'"request_id":"{request_id}","parent_id":{"null" if parent_id is None else _text(parent_id)},'
        f'"rpc_id":{number},"trace_id":{"null" if trace_id is None else _text(trace_id)},{who},{what},'
        f'"arguments_hash":{arguments},'
        f'"hash_key":{"null" if hash_key is None else _text(hash_key)},"scopes":{scopes},{ended},'
        f'"rule":{"null" if rule is None else _spelt(rule)},"would_deny":{denied},'
        f'"disconnected":{"true" if disconnected else "false"},'
        f'"latency_ms":{latency}'
    )


def start_record(reason: str, *, at: float, mode: str, version: str, follows: str | None, lost: int) -> str:
    """A ``start`` record: a trail was opened (``opened``), or goes on after its sink had hung (``resumed``) or records
    had found no room (``lost``). ``follows``: the file whose last line it goes on from; ``lost``: how many records
    never reached the trail. Without its closing brace, too."""
    return (
        f'{{"event":"start","timestamp":"{timestamp(at)}",{_NOBODY},"result":null,"reason":"{reason}",{_NOTHING},'
        f'"mode":"{mode}","version":{_text(version)},"follows":{_text(follows)},"lost":{lost}'
    )


_MILLISECONDS: Final = tuple(f".{milliseconds:03d}Z" for milliseconds in range(1000))


def timestamp(at: float) -> str:
    """ISO 8601, UTC, milliseconds."""
    seconds, milliseconds = divmod(int(at * 1000), 1000)
    return f"{_second(seconds)}{_MILLISECONDS[milliseconds]}"


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


def _message(transport: str, method: str | None, name: str | None) -> str:
    return f'"transport":"{transport}","method":{_text(method)},"tool_name":{_text(name)}'


_spelt = lru_cache(maxsize=1024)(_text)
"""Of what the configuration names, which is bounded with it."""

_again = lru_cache(maxsize=1024)(_message)
"""Of what is written again and again, and short, so that what is kept is bounded."""


def _nulls(*members: str) -> str:
    return ",".join(f'"{member}":null' for member in members)


_NOBODY: Final = _nulls(
    *("request_id", "parent_id", "rpc_id", "trace_id", "client_id", "subject", "issuer", "organization", "token_id"),
    *("verified", "transport", "method", "tool_name", "arguments_hash", "hash_key", "scopes"),
)
_NOTHING: Final = _nulls("budget", "retry_after_ms", "rule", "would_deny", "disconnected", "latency_ms")
