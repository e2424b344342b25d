"""What the tests of the audit trail share: records, reading a trail, and a disk that is full for a while."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from doorward.audit import UNKNOWN_PRINCIPAL, Outcome, call_record


def record(name: str | None = None, **given: Any) -> str:
    """A record of a call, as a decision makes it."""
    told: dict[str, Any] = {
        "event": "",
        "at": 1_800_000_000.0,
        "request_id": "r-1",
        "rpc_id": 1,
        "transport": "http",
        "method": "tools/call",
        "name": name,
        "outcome": Outcome("success"),
        "would_deny": (),
        "disconnected": False,
        "latency_ms": 1.5,
        **given,
    }
    told["event"] = told["event"] or ("intent" if told["outcome"] is None else "call")
    told["who"], told["scopes"] = told.pop("principal", None) or UNKNOWN_PRINCIPAL
    members: Any = [told.get(member) for member in _MEMBERS]
    return call_record(*members)


_MEMBERS = (
    *("event", "at", "request_id", "parent_id", "rpc_id", "trace_id", "who", "transport"),
    *("peer", "http_method", "path", "method", "name"),
    *("arguments_hash", "hash_key", "scopes", "outcome", "limits_fallback", "rule", "would_deny"),
    *("disconnected", "latency_ms"),
)
"""What `call_record` takes, in its order."""


def lines_of(path: Path) -> list[bytes]:
    """The whole lines of a file."""
    return path.read_bytes().split(b"\n")[:-1]


def names_in(path: Path) -> list[str]:
    """The names of the calls in a trail, torn lines left out."""
    return [line["tool_name"] for line in records_in(path) if line["event"] == "call"]


def records_in(path: Path, *events: str) -> list[dict[str, Any]]:
    """What the whole lines say; with ``events``, those of these kinds."""
    read = [line for line in map(_read, lines_of(path)) if line is not None]
    return [line for line in read if not events or line["event"] in events]


def check_chain(path: Path) -> list[int]:
    """Check that every line carries the hash of the one before; the numbers that no line has."""
    missing: list[int] = []
    behind, expected = None, 1
    for raw in lines_of(path):
        line = _read(raw)
        if line is not None:
            assert line["previous"] == (behind and f"sha256:{hashlib.sha256(behind).hexdigest()}"), line
            missing += range(expected, line["sequence"])
            expected = line["sequence"] + 1
        # A torn line carries no hash, so that what stands before it is hashed with it.
        behind = raw if line is not None or behind is None else behind + b"\n" + raw
    return missing


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        return dict(json.loads(line))
    except ValueError:
        return None


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """A disk that fills up: the kernel takes a write as far as it goes, and refuses the next."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
