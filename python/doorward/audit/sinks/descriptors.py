"""What every sink is, and the standard output and error."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from contextlib import suppress
from typing import Final, Protocol

from doorward.audit.chain import Chain

__all__ = ["Descriptor", "Sink", "StderrSink", "StdoutSink", "UnsaidSink"]

_OPENING: Final = (b'{"event":"start",', b'{"event":"checkpoint",')

_CLOSED: Final = -1
"""A descriptor that no file ever has. A number that was closed may be another file's by now."""


class Sink(Protocol):
    """Takes lines, one after the other."""

    chain: Chain
    follows: str | None
    """The file whose last line the chain goes on from, where there was one."""
    undelivered: int
    """Lines that were sent and are known not to have arrived."""

    def write(self, data: bytes) -> int:
        """Take as much of these lines as possible now; how much was taken. Raises `OSError`."""

    def sync(self) -> None:
        """Put on disk what was taken, as far as this is a thing of disks. Raises `OSError`."""

    def close(self) -> None:
        """Take no more."""


class Descriptor:
    """A sink that is a descriptor of its own."""

    follows: str | None = None
    undelivered = 0

    def __init__(self, descriptor: int, chain: Chain) -> None:
        self._descriptor = descriptor
        self.chain = chain

    def write(self, data: bytes) -> int:
        """One append."""
        return os.write(self._descriptor, data)

    def sync(self) -> None:
        """A device, a pipe: nothing of it is on a disk."""

    def close(self) -> None:
        """Close it, once."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)


class StdoutSink(Descriptor):
    """The standard output. Its descriptor is written to: what its buffer keeps after a failure would go out twice."""

    _stream = "stdout"

    def __init__(self, instance: str) -> None:
        """Raises `OSError` where there is none."""
        super().__init__(os.dup(_number_of(self._stream)), Chain(instance))
        self._may_hang = _may_hang(self._descriptor)

    def write(self, data: bytes) -> int:
        """One append, behind what was printed before. A pipe that nobody empties is an error and not a wait: it is not
        made non-blocking, as it is shared with whoever started this process, so it is asked first."""
        if self._may_hang:
            _ensure_room(self._descriptor)
            data = data[: select.PIPE_BUF]  # so much never waits where there was room (POSIX write)
        with suppress(AttributeError, ValueError):  # somebody took it away or closed it; the descriptor is ours
            getattr(sys, self._stream).flush()
        return super().write(data)


class StderrSink(StdoutSink):
    """The standard error."""

    _stream = "stderr"


class UnsaidSink(StdoutSink):
    """Where nobody has said where the record goes: the standard output, which a server may yet want for itself. So what
    says no more than that the trail was opened, signed or not, waits for the first record of anything else."""

    def __init__(self, instance: str) -> None:
        super().__init__(instance)
        self._first: bytes | None = None

    def write(self, data: bytes) -> int:
        if self._first is None:
            is_opening = all(line.startswith(_OPENING) for line in data.splitlines())
            self._first = data if is_opening else b""
            if is_opening:
                return len(data)
        while self._first:
            self._first = self._first[super().write(self._first) :]
        return super().write(data)

    def leave_stdout(self) -> None:
        """The standard error from now on. Raises `OSError` where there is none."""
        os.dup2(_number_of("stderr"), self._descriptor, inheritable=False)
        self._stream = "stderr"
        self._may_hang = _may_hang(self._descriptor)


def _ensure_room(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    if not poll.poll(0):
        raise BlockingIOError(errno.EAGAIN, "its reader takes nothing")


def _may_hang(descriptor: int) -> bool:
    return hasattr(select, "poll") and not stat.S_ISREG(os.fstat(descriptor).st_mode)


def _number_of(stream: str) -> int:
    try:
        return int(getattr(sys, stream).fileno())
    except (AttributeError, OSError, ValueError):  # replaced by something without one, or closed
        return 1 if stream == "stdout" else 2
