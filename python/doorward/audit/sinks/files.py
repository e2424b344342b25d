"""The file of JSON lines: one writer, mode 0600, rotated by size and by day, found again when somebody moved it."""

from __future__ import annotations

import logging
import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from doorward.audit.chain import Chain, chain_after
from doorward.audit.sinks.descriptors import Descriptor
from doorward.audit.sinks.rotation import begin, exchange, hold, sweep

__all__ = ["FileSink"]

LOOK_SECONDS: Final = 0.25
"""Between two looks whether the file still is where it was: how much of the trail a removed file can swallow."""

_RETRY_SECONDS: Final = 60.0
"""After a rotation that failed: the file grows meanwhile, and the log does not."""

_TAIL_BYTES: Final = 1024 * 1024
"""How far back the last line is looked for: many times the longest record."""

_DAY: Final = 86_400

_LAST_LINE, _ENDED = "last line", "ended"
"""How a file ends that was told to: with one write more, or now."""

_log = logging.getLogger("doorward.audit")


class FileSink(Descriptor):
    """One process holds the file of the given name; others write ``<stem>.<instance><suffix>`` beside it, so that no
    two chains mix. Rotated, it is ``<stem>.<instance>.<time><suffix>``."""

    def __init__(
        self,
        path: str,
        instance: str,
        *,
        max_bytes: int | None = None,
        daily: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `OSError` with the path where it cannot be written."""
        self._base = Path(path)
        self._instance = instance
        self._max_bytes = sys.maxsize if max_bytes is None else max_bytes
        self._daily = daily
        self._clock = clock
        self._monotonic = monotonic
        self._no_rotation_before = float("-inf")
        self._may_move = False
        self._is_synced = False
        self._ending: str | None = None
        self.path = self._base
        try:
            super().__init__(self._opened(), Chain(instance))
            self._continue()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def write(self, data: bytes) -> int:
        """One append, to another file where that is due."""
        # Nearly always there is nothing to look at, and that much is seen without a call.
        is_small = self._size + len(data) <= self._max_bytes
        is_usual = is_small and self._ending is None and not self._is_over and self._monotonic() < self._look_at
        if not is_usual and self._may_move and self._ends_before(len(data)):
            taken = self._rotate(data)
            if taken:
                return taken
        taken = os.write(self._descriptor, data)
        self._size += taken
        if taken != len(data) or not self._may_move:
            # Whatever was begun is ended in the same file.
            self._may_move = self._is_file and taken == len(data)
        if self._ending is _LAST_LINE and self._may_move:
            self._ending = _ENDED
        return taken

    def ends_before(self, length: int) -> bool:
        """Whether so many bytes more would begin another file."""
        return self._ending is None and self._may_move and self._ends_before(length)

    def end(self) -> None:
        """The next lines are the last of this file, and those behind them begin another."""
        self._ending = _LAST_LINE

    def sync(self) -> None:
        """Everything that was written, and how long the file is by now."""
        if self._is_file:
            self._is_synced = True
            _sync(self._descriptor)

    def look_again(self) -> None:
        """Before the next line, whatever was looked at last: for a signal's handler."""
        self._look_at = float("-inf")

    def _opened(self) -> int:
        """A descriptor of the file that is ours to write, which `path` then names."""
        self.path = self._base
        while True:
            descriptor = _open(self.path)
            if not _hold(descriptor):
                os.close(descriptor)
                self.path = self._base.with_name(f"{self._base.stem}.{self._instance}{self._base.suffix}")
            elif _is_at(descriptor, self.path):
                return descriptor
            else:  # its writer rotated it away just now, and let go of it
                os.close(descriptor)

    def _continue(self) -> None:
        status = os.fstat(self._descriptor)
        self._took_over(status)
        if self._is_file:
            sweep(self._base, identity=self._identity, links=status.st_nlink)
        if not self._is_file or status.st_size == 0:
            return
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, status.st_size - _TAIL_BYTES))
                tail = file.read(_TAIL_BYTES)
            if not tail.endswith(b"\n"):
                # A crash cut the last line: it stays as it is, and the chain goes on behind it.
                super().write(b"\n")
        except OSError:
            self.close()
            raise
        self.chain = chain_after(self._instance, tail)
        self.follows = self.path.name

    def _took_over(self, status: os.stat_result) -> None:
        self._is_file = stat.S_ISREG(status.st_mode)
        self._identity = (status.st_dev, status.st_ino)
        self._size = status.st_size
        self._day = int((status.st_mtime if status.st_size else self._clock()) // _DAY)
        self._look_at = self._monotonic() + LOOK_SECONDS
        self._may_move = self._is_file
        self._is_over = False
        self._ending = None

    def _ends_before(self, length: int) -> bool:
        now = self._monotonic()
        if now >= self._look_at:
            self._look(now)
        if self._ending is not None:
            return self._ending is _ENDED
        if not self._is_over and self._size + length <= self._max_bytes:
            return False
        return bool(self._size) and now >= self._no_rotation_before

    def _look(self, now: float) -> None:
        """Whether the file still is where it was, and its day is not over."""
        self._look_at = now + LOOK_SECONDS
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != self._identity:
            _log.warning("the audit file %s was moved or removed: the trail goes on in a new one", self.path)
            try:
                self._move_on()
            except OSError:
                self.look_again()  # it fails as long as this does
                raise
            return
        self._size = there.st_size
        self._is_over = self._daily and int(self._clock() // _DAY) > self._day

    def _rotate(self, data: bytes) -> int:
        """Go on in a new file that begins with these lines; how much it took. A trail that cannot be rotated is written
        on: that it grows is the smaller harm."""
        self._ending = None
        descriptor: int | None = None
        try:
            descriptor, begun = begin(self.path, self._instance)
            left = data
            while left:
                left = left[os.write(descriptor, left) :]
            if self._is_synced:
                _sync(descriptor)  # else a power failure could leave its name, and nothing in it
            exchange(self.path, rotated=self._rotated_name(), begun=begun)
        except OSError as error:
            if descriptor is not None:
                os.close(descriptor)
                with suppress(OSError):
                    begun.unlink()
            self._no_rotation_before = self._monotonic() + _RETRY_SECONDS
            _log.error("the audit file %s cannot be rotated: %s; it is written on", self.path, error.strerror)
            return 0
        before, self._descriptor = self._descriptor, descriptor
        self._took_over(os.fstat(descriptor))
        os.close(before)
        _sync_directory(self.path.parent)
        return len(data)

    def _rotated_name(self) -> Path:
        at = self._clock()
        while True:
            # Seconds and microseconds apart: both together need more digits than a float has.
            moment = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%S%f")
            name = self._base.with_name(f"{self._base.stem}.{self._instance}.{moment}Z{self._base.suffix}")
            if not name.exists():
                return name
            at += 1e-6

    def _move_on(self) -> None:
        """Go on in a new file, with the chain that was; raises `OSError`, and then in the old one."""
        before, path = self._descriptor, self.path
        try:
            descriptor = self._opened()
            if os.fstat(descriptor).st_size:
                # Somebody else's end of a chain stands there, and ours does not go on from it.
                os.close(descriptor)
                self.path = self._base.with_name(f"{self._base.stem}.{self._instance}{self._base.suffix}")
                descriptor = _open(self.path)
                _hold(descriptor)
        except OSError:
            self.path = path
            raise
        self._descriptor = descriptor
        self._took_over(os.fstat(descriptor))
        os.close(before)
        _sync_directory(self.path.parent)


def _open(path: Path) -> int:
    # A pipe that nobody reads must neither stop the start nor, once full, a call: it is an error.
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        made = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        # The operator's own file keeps the mode it was given.
        return os.open(path, flags | os.O_CREAT, 0o600)
    if hasattr(os, "fchmod"):
        # Whatever the umask took away: its owner must be able to read where the chain ends.
        os.fchmod(made, 0o600)
    _sync_directory(path.parent)
    return made


def _hold(descriptor: int) -> bool:
    """Whether the file is ours alone now; a device or a pipe is nobody's."""
    return hold(descriptor) if stat.S_ISREG(os.fstat(descriptor).st_mode) else True


def _is_at(descriptor: int, path: Path) -> bool:
    ours = os.fstat(descriptor)
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def _sync(descriptor: int) -> None:
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _sync_directory(directory: Path) -> None:
    """Without this a power failure may take the new file's name away, and with it every line in it."""
    with suppress(OSError):  # some systems cannot open a directory
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
