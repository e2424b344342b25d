"""What verification needs of a line, taken from its bytes: a line is judged as it was written, not as it parses."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = [
    "CALL",
    "EVENTS",
    "INTENT",
    "REQUEST_ID",
    "Line",
    "ends_as_a_line",
    "hash_of",
    "latest_timestamp",
    "looks_torn",
    "name_of",
    "parse_line",
    "request_id_of",
    "split_at_start",
]

CALL: Final = b'{"event":"call",'
INTENT: Final = b'{"event":"intent",'
EVENTS: Final = frozenset((b"call", b"intent", b"asked", b"confirmed", b"start", b"checkpoint"))

REQUEST_ID: Final = len('"timestamp":"2027-01-15T08:00:00.000Z","request_id":"')
"""From the end of a line's first member to the text of its third."""

_HEAD = re.compile(rb'\{"event":"([a-z]{1,32})","timestamp":"([0-9T:.Z-]{20,32})",')
_TAIL = re.compile(
    rb',"instance":("[!#-\[\]-~]{1,256}"),"sequence":([1-9][0-9]{0,17}),'
    rb'"previous":(?:null|"sha256:([0-9a-f]{64})")(?:,"signature":"([0-9a-f]{128})")?\}'
)

_BEGINNING: Final = b'{"event":"'
_START: Final = b'{"event":"start","timestamp":"'

_UNREADABLE: Final = "Z"
"""Sorts after every timestamp."""


@dataclass(frozen=True, slots=True)
class Line:
    """The members that make a line a link of the chain."""

    event: bytes
    timestamp: str
    instance: bytes
    """With its quotes, as it stands in the line."""
    sequence: int
    previous: bytes | None
    """Hexadecimal; None for the first line of a trail."""
    signature: bytes | None
    signed: bytes
    """What a signature is over: the bytes of the line before it."""


def parse_line(line: bytes) -> Line | None:
    """None for what no writer of ours has written."""
    head = _HEAD.match(line)
    # In a JSON string a quote is escaped, so that no value can hold this text.
    start = line.rfind(b',"instance":"')
    tail = _TAIL.fullmatch(line, start) if start > 0 else None
    if head is None or tail is None or head[1] not in EVENTS or (tail[4] is not None) != (head[1] == b"checkpoint"):
        return None
    signed = line if tail[4] is None else line[: tail.start(4) - len(b',"signature":"')]
    return Line(head[1], head[2].decode(), tail[1], int(tail[2]), tail[3], tail[4], signed)


def name_of(line: Line) -> str:
    """The name of the instance that wrote the line."""
    return line.instance[1:-1].decode("ascii")


def latest_timestamp(lines: Sequence[bytes]) -> str:
    """The latest timestamp of these lines. One that cannot be read counts as later than any other, and so does one that
    a JSON parser may read otherwise: no signature covers these lines, and of two members with one name parsers take
    the last."""
    return max(map(_timestamp_of, lines), default="")


def _timestamp_of(line: bytes) -> str:
    head = _HEAD.match(line)
    if head is None or (_may_have_two(line) and not _has_one_timestamp(line)):
        return _UNREADABLE
    return head[2].decode()


def _may_have_two(line: bytes) -> bool:
    """Whether there could be a second timestamp; a name may be written with escapes."""
    return b"\\" in line or line.count(b'"timestamp"') != 1


def _has_one_timestamp(line: bytes) -> bool:
    counted = Counter[str]()

    def count(members: list[tuple[str, object]]) -> None:
        counted.update(name for name, _ in members)

    try:
        json.loads(line, object_pairs_hook=count)
    except (ValueError, RecursionError):
        return False
    return counted["timestamp"] == 1


def hash_of(line: bytes) -> bytes:
    """What the next line carries."""
    return hashlib.sha256(line).hexdigest().encode()


def request_id_of(line: bytes, event: bytes) -> bytes:
    """The request id of a ``call`` or an ``intent``; ``event`` is `CALL` or `INTENT`."""
    start = len(event) + REQUEST_ID
    return line[start : line.find(b'"', start)]


def looks_torn(line: bytes) -> bool:
    """Whether a crash can have left this: the beginning of a line and not its end. After a power failure, zeros may
    follow it: some file systems write the length of a file before its data."""
    written = line.rstrip(b"\0")
    has_tail = _TAIL.search(written) is not None
    if not line or (written == line and has_tail) or (not has_tail and _is_whole(written)):
        return False
    return written.startswith(_BEGINNING) or _BEGINNING.startswith(written)


def _is_whole(text: bytes) -> bool:
    """Whether this is a whole JSON object, which the beginning of a line never is."""
    if not text.rstrip().endswith(b"}"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def ends_as_a_line(line: bytes) -> bool:
    """Whether this is the end of a line, which was cut off from its beginning."""
    start = line.rfind(b',"instance":"')
    return start > 0 and _TAIL.fullmatch(line, start) is not None


def split_at_start(line: bytes) -> tuple[bytes, bytes]:
    """A torn line, and the start of the next process's chain, where nothing had ended the torn one: on a stream, a
    process does not know what was written before it. Empty where there is no such start."""
    # In a JSON string a quote is escaped, so that no value can hold this text.
    start = line.rfind(_START)
    if start > 0:
        begun = parse_line(line[start:])
        if begun is not None and begun.previous is None and looks_torn(line[:start]):
            return line[:start], line[start:]
    return line, b""
