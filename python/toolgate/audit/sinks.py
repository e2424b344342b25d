"""Where lines go: a file that only its owner reads, or the standard output."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Protocol

from toolgate.audit.chain import Chain

try:
    import fcntl
except ImportError:  # Windows has no flock: there every process writes a file of its own
    fcntl = None  # type: ignore[assignment]

__all__ = ["FileSink", "Sink", "StdoutSink", "open_sink"]

_TAIL_BYTES = 65_536
"""How far back the last line is looked for: many times the longest record."""


class Sink(Protocol):
    """Takes lines, one after the other."""

    def write(self, line: bytes) -> int:
        """Take as much of the line as possible now; how much was taken. Raises `OSError`."""

    def close(self) -> None:
        """Take no more."""


class FileSink:
    """A file of JSON lines. One process holds the file of the given name; others write ``<stem>.<instance><suffix>`` beside it,
    so that no two chains mix."""

    def __init__(self, path: str, instance: str) -> None:
        """Raises `OSError` with the path where it cannot be written."""
        self.path = Path(path)
        self._descriptor = _open(self.path)
        if not _lock(self._descriptor):
            os.close(self._descriptor)
            self.path = self.path.with_name(f"{self.path.stem}.{instance}{self.path.suffix}")
            self._descriptor = _open(self.path)
            _lock(self._descriptor)
        self.chain = self._continued(instance)

    def write(self, line: bytes) -> int:
        """One append."""
        return os.write(self._descriptor, line)

    def close(self) -> None:
        """Close the file; the lock goes with it."""
        os.close(self._descriptor)

    def _continued(self, instance: str) -> Chain:
        size = os.fstat(self._descriptor).st_size
        if size == 0:
            return Chain(instance)
        with self.path.open("rb") as file:
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read()
        if not tail.endswith(b"\n"):
            # A crash cut the last line: it stays as it is, and the chain goes on behind it.
            os.write(self._descriptor, b"\n")
        return Chain.after(instance, tail.rstrip(b"\n").rpartition(b"\n")[2])


class StdoutSink:
    """The standard output."""

    def __init__(self, instance: str) -> None:
        self.chain = Chain(instance)

    def write(self, line: bytes) -> int:
        """Write and flush."""
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        return len(line)

    def close(self) -> None:
        """The standard output stays open."""


def open_sink(path: str, instance: str) -> FileSink | StdoutSink:
    """The sink that ``path`` names."""
    return StdoutSink(instance) if path == "stdout" else FileSink(path, instance)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)


def _lock(descriptor: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
