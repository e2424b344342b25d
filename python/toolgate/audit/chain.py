"""The hash chain: each line carries the SHA-256 of the one before, so that an edit, a deletion or a swap shows.

Sequence numbers have no gap but for lines that were lost: a jump of n + 1 means that n records never reached the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256

__all__ = ["Chain"]


class Chain:
    """The running end of one instance's chain."""

    def __init__(self, instance: str, *, sequence: int = 0, previous: str | None = None) -> None:
        """Continue after the line that had ``sequence`` and the hash ``previous``."""
        self._instance = f',"instance":{json.dumps(instance)},"sequence":'
        self._sequence = sequence
        self._previous = "null" if previous is None else f'"{previous}"'

    def seal(self, record: str) -> bytes:
        """The record's line, with ``instance``, ``sequence`` and ``previous``, and its newline."""
        self._sequence = sequence = self._sequence + 1
        line = f'{record}{self._instance}{sequence},"previous":{self._previous}}}'.encode()
        self._previous = f'"sha256:{sha256(line).hexdigest()}"'
        return line + b"\n"

    def seal_signed(self, record: str, sign: Callable[[bytes], bytes]) -> bytes:
        """The same with a last member ``signature``: hexadecimal, over the bytes of the line before it."""
        self._sequence += 1
        signed = f'{record}{self._instance}{self._sequence},"previous":{self._previous}'.encode()
        line = b'%b,"signature":"%b"}' % (signed, sign(signed).hex().encode())
        self._previous = f'"{_hash(line)}"'
        return line + b"\n"

    def skip(self) -> None:
        """Leave out the number of a record that is lost."""
        self._sequence += 1

    @classmethod
    def after(cls, instance: str, lines: bytes) -> Chain:
        """The chain that goes on behind these last lines of a file. What a crash cut short counts as a line, and so
        does what somebody spoilt: it keeps its number, and its hash is carried on together with that of the last line
        that still tells one, since a line that was cut carries none itself."""
        ended = lines.rstrip(b"\n").split(b"\n")
        unreadable = 0
        sequence = None
        for line in reversed(ended):
            sequence = _sequence(line)
            if sequence is not None:
                break
            unreadable += 1
        told = max(0, len(ended) - unreadable - 1)
        return cls(instance, sequence=(sequence or 0) + unreadable, previous=_hash(b"\n".join(ended[told:])))


def _hash(line: bytes) -> str:
    return f"sha256:{sha256(line).hexdigest()}"


def _sequence(line: bytes) -> int | None:
    try:
        sequence = json.loads(line)["sequence"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return sequence if isinstance(sequence, int) and not isinstance(sequence, bool) else None
