"""Where lines go: a file that only its owner reads, or the standard output."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from toolgate.audit.chain import Chain

try:
    import fcntl
except ImportError:  # Windows has no flock: there every process writes a file of its own
    fcntl = None  # type: ignore[assignment]

__all__ = ["FileSink", "Sink", "StdoutSink", "open_sink"]

_TAIL_BYTES = 1024 * 1024
"""How far back the last line is looked for: many times the longest record."""

_CLOSED = -1
"""A descriptor that no file ever has. A number that was closed may be another file's by now."""


class Sink(Protocol):
    """Takes lines, one after the other."""

    chain: Chain

    def write(self, line: bytes) -> int:
        """Take as much of the line as possible now; how much was taken. Raises `OSError`."""

    def close(self) -> None:
        """Take no more."""


class _Descriptor:
    """What both sinks are: a descriptor that is theirs alone."""

    def __init__(self, descriptor: int, chain: Chain) -> None:
        self._descriptor = descriptor
        self.chain = chain

    def write(self, line: bytes) -> int:
        """One append."""
        return os.write(self._descriptor, line)

    def close(self) -> None:
        """Close it, once."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)


class FileSink(_Descriptor):
    """A file of JSON lines. One process holds the file of the given name; others write ``<stem>.<instance><suffix>``
    beside it, so that no two chains mix."""

    def __init__(self, path: str, instance: str) -> None:
        """Raises `OSError` with the path where it cannot be written."""
        self.path = Path(path)
        try:
            descriptor = _open(self.path)
            if not _hold(descriptor):
                os.close(descriptor)
                self.path = self.path.with_name(f"{self.path.stem}.{instance}{self.path.suffix}")
                descriptor = _open(self.path)
                _hold(descriptor)
            super().__init__(descriptor, Chain(instance))
            self._continue(instance)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _continue(self, instance: str) -> None:
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            return
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, status.st_size - _TAIL_BYTES))
                tail = file.read(_TAIL_BYTES)
            if not tail.endswith(b"\n"):
                # A crash cut the last line: it stays as it is, and the chain goes on behind it.
                self.write(b"\n")
        except OSError:
            self.close()
            raise
        self.chain = Chain.after(instance, tail)


class StdoutSink(_Descriptor):
    """The standard output. Its descriptor is written to: what its buffer keeps after a failure would go out twice."""

    def __init__(self, instance: str) -> None:
        """Raises `OSError` where there is none."""
        super().__init__(os.dup(_stdout()), Chain(instance))

    def write(self, line: bytes) -> int:
        """One append, behind what was printed before."""
        with suppress(AttributeError, ValueError):  # somebody took it away or closed it; the descriptor is ours
            sys.stdout.flush()
        return super().write(line)


def open_sink(path: str, instance: str) -> FileSink | StdoutSink:
    """The sink that ``path`` names."""
    return StdoutSink(instance) if path == "stdout" else FileSink(path, instance)


def _stdout() -> int:
    try:
        return sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # replaced by something without one, or closed
        return 1


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
    try:
        made = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        # The operator's own file keeps the mode it was given.
        return os.open(path, flags | os.O_CREAT, 0o600)
    if hasattr(os, "fchmod"):
        # Whatever the umask took away: its owner must be able to read where the chain ends.
        os.fchmod(made, 0o600)
    return made


def _hold(descriptor: int) -> bool:
    """Whether the file is ours alone now; a device or a pipe is nobody's."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return True
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
