"""The hash chain of an audit trail: each line carries the SHA-256 of the one before, so that an edit, a deletion or a
swap shows."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

__all__ = ["Chain"]

_PLAIN: Final = re.compile(r"[!#-\[\]-~]*")
_HASH: Final = re.compile(r"sha256:[0-9A-Fa-f]{64}")


class Chain:
    """The running end of one instance's chain."""

    def __init__(self, instance: str, *, sequence: int = 0, previous: str | None = None) -> None:
        if not _PLAIN.fullmatch(instance):
            raise ValueError("instance must be printable ASCII without quotes and backslashes")
        if previous is not None and not _HASH.fullmatch(previous):
            raise ValueError("previous is not sha256: and 64 hexadecimal digits")
        if not 0 <= sequence < 1 << 64:
            raise OverflowError("sequence does not fit into 64 bits")
        self._instance = f',"instance":"{instance}","sequence":'
        self._sequence = sequence
        self._previous = "null" if previous is None else f'"{previous}"'

    def seal(self, record: str) -> bytes:
        """The record's line."""
        line = self.begin(record) + b"}"
        self.end(line)
        return line + b"\n"

    def begin(self, record: str) -> bytes:
        """The record's line without its closing brace."""
        self._sequence += 1
        return f'{record}{self._instance}{self._sequence},"previous":{self._previous}'.encode()

    def end(self, line: bytes) -> None:
        """The next line carries the hash of this one."""
        self._previous = f'"sha256:{sha256(line).hexdigest()}"'

    def skip(self) -> None:
        """Leave out the number of a record that is lost."""
        self._sequence += 1
