"""One record as JSON: every member always there, null when unknown; never an argument, a token or a header value.

A call's is written by the core (`call_record`); what does not change from call to call, who the caller is, is encoded
once per caller, here.
"""

from __future__ import annotations

import math
import time
from json.encoder import encode_basestring_ascii
from typing import Final, NamedTuple

from doorward._core import call_record, spelt
from doorward.errors import Forbidden, Limited, Refused, Unauthenticated, Unavailable
from doorward.principal import Principal

__all__ = [
    "NO_CALL",
    "SCHEMA",
    "SUCCESS",
    "UNKNOWN_PRINCIPAL",
    "Outcome",
    "call_record",
    "outcome_of",
    "principal_fragment",
    "start_record",
    "timestamp",
    "unverified_fragment",
]

_LONGEST_WAIT: Final = 1 << 53
"""Milliseconds: the largest whole number that every reader of JSON has."""

UNKNOWN_PRINCIPAL = (
    '"client_id":null,"subject":null,"issuer":null,"organization":null,"token_id":null,"verified":false',
    "null",
)


class Outcome(NamedTuple):
    """How a call ended."""

    result: str
    """``success``, ``tool_error``, ``tool_failure``, ``error``, ``cancelled``, ``denied_auth``, ``denied_scope``,
    ``denied_policy``, ``denied_rate``, ``unavailable``, ``malformed`` or ``asked``."""
    reason: str | None = None
    budget: str | None = None
    retry_after_ms: int | None = None
    detail: str | None = None
    """What was found in particular: see `doorward.errors`."""
    budget_scope: str | None = None
    """Who shares the violated budget: ``client``, ``total``, ``organization`` or ``failed_auth``."""
    budget_window: str | None = None
    """The unit of time of its limit; None where that has none, such as for calls in flight."""


SCHEMA: Final = 2
"""The number of the record's schema, in every ``start`` and ``checkpoint``. It rises when a reader of today would
misunderstand the records, or could not verify them; readers accept earlier ones. The first releases wrote no number; 2
adds `peer`, `http_method`, `path`, `budget_scope`, `budget_window`, `limits_fallback` and the result `tool_failure`."""

SUCCESS: Final = Outcome("success")
"""The one outcome that most calls share."""


def outcome_of(refusal: Refused) -> Outcome:
    """How a call ends that is refused."""
    code, detail = refusal.code, refusal.detail or None
    if isinstance(refusal, Limited):
        wait = None if refusal.retry_after is None else min(math.ceil(refusal.retry_after * 1000), _LONGEST_WAIT)
        return Outcome("denied_rate", code, refusal.budget, wait, detail, refusal.scope or None, refusal.window or None)
    if isinstance(refusal, Unavailable):
        return Outcome("unavailable", code, None, math.ceil(refusal.retry_after * 1000), detail)
    return Outcome(_result_of(refusal), code, detail=detail)


def principal_fragment(principal: Principal) -> tuple[str, str]:
    """The caller's members of a record, and its scopes, encoded."""
    members = (
        f'"client_id":{spelt(principal.client_id)},"subject":{spelt(principal.subject)},'
        f'"issuer":{spelt(principal.issuer)},"organization":{spelt(principal.organization)},'
        f'"token_id":{spelt(principal.token_id)},"verified":true'
    )
    return members, f"[{','.join(map(encode_basestring_ascii, principal.scopes))}]"


def unverified_fragment(
    *, client_id: str | None, subject: str | None, issuer: str | None, token_id: str | None
) -> tuple[str, str]:
    """The same for a caller whose credential counts no more, or not here: its signature was good, nothing else."""
    members = (
        f'"client_id":{spelt(client_id)},"subject":{spelt(subject)},"issuer":{spelt(issuer)},"organization":null,'
        f'"token_id":{spelt(token_id)},"verified":false'
    )
    return members, "null"


def start_record(reason: str, *, at: float, mode: str, version: str, follows: str | None, lost: int) -> str:
    """A ``start`` record: a trail was opened (``opened``), or goes on after its sink had hung (``resumed``) or records
    had found no room (``lost``). ``follows``: the file whose last line it goes on from; ``lost``: how many records
    never reached the trail. Without its closing brace, too. It tells its `SCHEMA`."""
    return (
        f'{{"event":"start","timestamp":"{timestamp(at)}",{_NOBODY},"result":null,"reason":"{reason}",{_NOTHING},'
        f'"mode":"{mode}","version":{spelt(version)},"follows":{spelt(follows)},"lost":{lost},'
        f'"schema":{SCHEMA}'
    )


def timestamp(at: float) -> str:
    """ISO 8601, UTC, milliseconds."""
    seconds, milliseconds = divmod(int(at * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z"


def _result_of(refusal: Refused) -> str:
    if isinstance(refusal, Unauthenticated):
        return "denied_auth"
    if refusal.code == "insufficient_scope":
        return "denied_scope"
    return "denied_policy" if isinstance(refusal, Forbidden) else "malformed"


def _nulls(*members: str) -> str:
    return ",".join(f'"{member}":null' for member in members)


_NOBODY: Final = _nulls(
    *("request_id", "parent_id", "rpc_id", "trace_id", "client_id", "subject", "issuer", "organization", "token_id"),
    *("verified", "transport", "peer", "http_method", "path", "method", "tool_name"),
    *("arguments_hash", "hash_key", "scopes"),
)
_NOTHING: Final = _nulls(
    *("detail", "budget", "budget_scope", "budget_window", "retry_after_ms", "limits_fallback", "rule", "would_deny"),
    *("disconnected", "latency_ms"),
)

NO_CALL: Final = f'{_NOBODY},"result":null,"reason":null,{_NOTHING}'
"""The members of a call in a record that is about none."""
