"""What was spent, in a file that outlives the process: a day's budget must not begin anew with each restart.

Written every few seconds and when the process ends; killed, it forgets what was spent since. The file says nothing
about who spent it: names are keyed hashes, and their key stands beside them, so that it is nobody else's to read.
"""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Final

from doorward import private_files
from doorward._core import Limiter
from doorward.checks import unwritable

__all__ = ["INTERVAL", "Snapshot"]

INTERVAL: Final = 5.0
"""Seconds between two snapshots: what a killed process forgets, at most."""

_MAX_BYTES_PER_KEY: Final = 128
"""Of a snapshot: twice what a bucket takes there."""

_WALL_BYTES: Final = 8

_log = logging.getLogger("doorward")


class Snapshot:
    """A limiter's file."""

    def __init__(
        self,
        file: str,
        limiter: Limiter,
        *,
        max_keys: int,
        clock: Callable[[], float],
        tick: Callable[[], int],
        alarm: Callable[[str], None],
    ) -> None:
        """Restores what the file says and goes on to write it. ``clock``: seconds since the epoch, ``tick``: the
        limiter's nanoseconds. What cannot be read is told to ``alarm`` (``snapshot_unreadable``) and not believed.
        Raises `ValueError` for a file that another process keeps, and `OSError` where it could never be written."""
        self._path = Path(file)
        try:
            held = private_files.hold(self._path)
        except OSError as error:
            raise unwritable("limits.snapshot", self._path, error) from None
        if held is None:
            raise ValueError(
                f"limits.snapshot {self._path} is another process's: several workers share budgets through a store only"
            )
        self._release = weakref.finalize(self, held.close)
        self._limiter = limiter
        self._max_bytes = 4096 + _MAX_BYTES_PER_KEY * max_keys
        self._clock = clock
        self._tick = tick
        self._alarm = alarm
        self._failing = False
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._restore()
        self.save()
        if self._failing:
            raise OSError(f"limits.snapshot {self._path}: the snapshot of the budgets cannot be written there")
        # Both hold it weakly: a gate that is dropped takes its thread with it.
        itself = weakref.WeakMethod(self.save)
        threading.Thread(target=_keep, args=(itself, self._ended), name="doorward-snapshot", daemon=True).start()
        weakref.finalize(self, self._ended.set)
        self._at_exit = _call(itself)
        atexit.register(self._at_exit)

    def save(self) -> None:
        """Write the file now; a failure is told once, to ``alarm`` as ``snapshot_unwritable``."""
        with self._lock:
            try:
                wall = int(self._clock() * 1e9).to_bytes(_WALL_BYTES, "big")
                # Not flushed to the disk: a power failure loses no more than the seconds a killed process loses.
                pieces = self._limiter.snapshot_pieces(tick=self._tick())
                private_files.replace(self._path, chain([wall], pieces), durable=False)
            except OSError as error:
                if not self._failing:
                    _log.error("%s: what was spent cannot be kept: %s", self._path, error.strerror)
                    self._alarm("snapshot_unwritable")
                self._failing = True
            else:
                self._failing = False

    def close(self) -> None:
        """Write it a last time."""
        self._ended.set()
        atexit.unregister(self._at_exit)
        self.save()
        self._release()

    def _restore(self) -> None:
        try:
            data, _ = private_files.read(self._path, max_bytes=self._max_bytes)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self._not_believed(error.strerror if isinstance(error, OSError) else str(error))
            return
        elapsed = int(self._clock() * 1e9) - int.from_bytes(data[:_WALL_BYTES], "big")
        try:
            self._limiter.restore(data[_WALL_BYTES:], tick=self._tick(), elapsed=max(elapsed, 0))
        except ValueError as error:
            self._not_believed(str(error))

    def _not_believed(self, problem: str | None) -> None:
        _log.error("%s: %s; budgets begin full", self._path, problem)
        self._alarm("snapshot_unreadable")


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> Callable[[], None]:
    def call() -> None:
        found = method()
        if found is not None:
            found()

    return call


def _keep(method: weakref.WeakMethod[Callable[[], None]], ended: threading.Event) -> None:
    while not ended.wait(INTERVAL):
        _call(method)()
