"""The hash chain: each line carries the SHA-256 of the one before, so that an edit, a deletion or a swap shows."""

from __future__ import annotations

import hashlib
import json

__all__ = ["Chain"]


class Chain:
    """The running end of one instance's chain."""

    def __init__(self, instance: str, *, sequence: int = 0, previous: str | None = None) -> None:
        """Continue after the line that had ``sequence`` and the hash ``previous``."""
        self._instance = json.dumps(instance)
        self._sequence = sequence
        self._previous = previous

    def seal(self, record: str) -> bytes:
        """The record's line, with ``instance``, ``sequence`` and ``previous``, and its newline."""
        self._sequence += 1
        previous = "null" if self._previous is None else f'"{self._previous}"'
        line = f'{record},"instance":{self._instance},"sequence":{self._sequence},"previous":{previous}}}'.encode()
        self._previous = f"sha256:{hashlib.sha256(line).hexdigest()}"
        return line + b"\n"

    @classmethod
    def after(cls, instance: str, last_line: bytes) -> Chain:
        """The chain that goes on behind a line, also behind one that a crash cut short."""
        try:
            sequence = int(json.loads(last_line)["sequence"])
        except (ValueError, KeyError, TypeError):
            sequence = 0
        return cls(instance, sequence=sequence, previous=f"sha256:{hashlib.sha256(last_line).hexdigest()}")
