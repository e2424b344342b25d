"""The end of a trail, and what comes after it: across rotation, and in the files of processes that start meanwhile."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from doorward.audit.reading.files import MAX_LINE_BYTES, TrailFile, trail_files

__all__ = ["Entry", "Follower", "last_entries"]

_STEP_BYTES: Final = 1024 * 1024
"""Read at once from a file's end backwards."""

_POLLS_LEFT: Final = 20
"""For a file that has another name or none: some seconds."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A line of the trail."""

    timestamp: str
    sequence: int
    instance: str
    raw: bytes = field(compare=False)
    members: dict[str, Any] = field(compare=False)


Fits = Callable[[dict[str, Any]], bool]


def last_entries(paths: Sequence[Path], count: int, fits: Fits) -> tuple[list[Entry], list[TrailFile]]:
    """The last entries that fit, in the order of time, and the files as far as they were read. Raises `OSError` and
    `ValueError`."""
    found: list[Entry] = []
    with trail_files(paths) as files:
        # Newest first, so that of years of rotated files only the last ones are opened.
        for file in sorted(files, key=lambda file: file.rotated or "~", reverse=True):
            if file.rotated is not None and len(found) >= count and (not found or file.rotated < found[-1].timestamp):
                break
            found = heapq.nlargest(count, found + _last_of(file, count, fits))
    return sorted(found), files


class Follower:
    """What is appended to a trail, from the moment that ``files`` were looked at."""

    def __init__(self, paths: Sequence[Path], files: Sequence[TrailFile], fits: Fits) -> None:
        self._paths = paths
        self._fits = fits
        self._opened: dict[tuple[int, int], _Opened] = {}
        self._seen = {file.identity: file.size for file in files}
        self._known = {file.path for file in files if file.rotated is not None}

    def poll(self) -> list[Entry]:
        """The entries since the last time, in the order of time. Raises `OSError`."""
        entries = self._read()
        try:
            with trail_files(self._paths) as files:
                self._open(files)
        except (OSError, ValueError):
            return sorted(entries)  # within a rotation there may be nothing for a moment
        return sorted(entries + self._read())

    def close(self) -> None:
        """Let go of the files."""
        for opened in self._opened.values():
            opened.file.close()

    def _open(self, files: Sequence[TrailFile]) -> None:
        for file in files:
            if file.identity not in self._opened and file.path not in self._known:
                opened = file.path.open("rb")
                status = os.fstat(opened.fileno())
                if (status.st_dev, status.st_ino) != file.identity:
                    opened.close()  # rotated just now: the next time it has another name
                    continue
                opened.seek(self._seen.pop(file.identity, 0))
                self._opened[file.identity] = _Opened(opened)
        self._known |= {file.path for file in files if file.rotated is not None}
        self._let_go({file.identity for file in files if file.rotated is None})

    def _read(self) -> list[Entry]:
        lines = (raw for opened in self._opened.values() for raw in opened.lines())
        return [entry for raw in lines if (entry := _entry(raw, self._fits)) is not None]

    def _let_go(self, written_to: set[tuple[int, int]]) -> None:
        """A file that was renamed or deleted is read a little longer: its writer may be about to finish a line."""
        for identity, opened in list(self._opened.items()):
            opened.left = _POLLS_LEFT if identity in written_to else opened.left - 1
            if opened.left == 0:
                opened.file.close()
                del self._opened[identity]


@dataclass(slots=True)
class _Opened:
    file: BinaryIO
    rest: bytes = b""
    left: int = _POLLS_LEFT

    def lines(self) -> Iterator[bytes]:
        if os.fstat(self.file.fileno()).st_size < self.file.tell():
            self.file.seek(0)  # somebody emptied it
            self.rest = b""
        while data := self.file.read(_STEP_BYTES):
            *lines, self.rest = (self.rest + data).split(b"\n")
            yield from lines
            if len(self.rest) > MAX_LINE_BYTES:
                self.rest = b""


def _last_of(file: TrailFile, count: int, fits: Fits) -> list[Entry]:
    """From the end backwards, until there are enough."""
    found: list[Entry] = []
    with file.open() as opened:
        position, rest = file.size, b""
        while position > 0 and len(found) < count:
            start = max(0, position - _STEP_BYTES)
            opened.seek(start)
            lines = (opened.read(position - start) + rest).split(b"\n")
            position = start
            rest = lines.pop(0) if start else b""
            if len(rest) > MAX_LINE_BYTES:
                raise ValueError(f"{file.path} has a line of more than {MAX_LINE_BYTES} bytes: it is no audit trail")
            for raw in reversed(lines):
                entry = _entry(raw, fits)
                if entry is not None:
                    found.append(entry)
                    if len(found) == count:
                        break
    return found


def _entry(raw: bytes, fits: Fits) -> Entry | None:
    """None for what does not fit, and for what is no record: verification is for that."""
    try:
        members = json.loads(raw)
        told = str(members["timestamp"]), int(members["sequence"]), str(members["instance"])
        return Entry(*told, raw, members) if fits(members) else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
