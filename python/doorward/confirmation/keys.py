"""A key that is configured: the one that stands in its file now, and for a while the one that stood there before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final

from doorward import private_files
from doorward.private_files import Stamp
from doorward.settings import MIN_KEY_BYTES, Secret

__all__ = ["INTERVAL", "ConfiguredKey"]

INTERVAL: Final = 1.0
"""Seconds between two looks at the file: how late a new key is used, at most."""

_MAX_BYTES: Final = 64 * 1024
"""Of a key's file: far more than any key."""

_log = logging.getLogger("doorward")


class ConfiguredKey:
    """What cannot be a key never replaces one. Without a key its value is empty."""

    def __init__(self, key: Secret | None, *, alarm: Callable[[str], None], keeps: float = 0.0) -> None:
        """``keeps``: for so many seconds the key before counts as well. ``alarm`` is told
        ``confirmation_key_unreadable`` when the file goes bad."""
        self._secret = key
        self._file = None if key is None or not key.file else Path(key.file)
        self._keeps = keeps
        self._alarm = alarm
        self._lock = Lock()
        self._stamp: Stamp | None = None
        self._looked_at = float("-inf")
        self._told = False
        self._old: tuple[Secret, float] | None = None

    def now(self, at: float) -> bytes:
        """The key at this moment, in seconds of any clock."""
        if self._file is not None and not 0 <= at - self._looked_at < INTERVAL:
            self._looked_at = at
            self.look(at)
        return b"" if self._secret is None else self._secret.value

    def look(self, at: float) -> None:
        """Look at the file now: another process may know of a change already."""
        if self._file is not None:
            with self._lock:
                self._read(self._file, at)

    def replaces(self, before: ConfiguredKey, at: float) -> None:
        """It takes the place of another configuration's."""
        if before._secret != self._secret:
            self._retire(before._secret, at)

    def all(self, at: float) -> tuple[bytes, ...]:
        """Every key that counts, the newest first. One that was none does not: it would let in what has no key."""
        self.look(at)
        old = self._old
        current = self.now(at)
        return (current,) if old is None or old[1] <= at or old[0].value == current else (current, old[0].value)

    def _read(self, file: Path, at: float) -> None:
        try:
            stamp = private_files.stamp_of(file)
            if stamp == self._stamp:
                return
            data, stamp = private_files.read(file, max_bytes=_MAX_BYTES, lets_in=False)
            value = data.strip()
            if len(value) < MIN_KEY_BYTES:
                raise ValueError(f"holds a key of less than {MIN_KEY_BYTES} bytes")
        except (OSError, ValueError) as error:
            if not self._told:
                self._told = True
                self._alarm("confirmation_key_unreadable")
                _log.error("%s: %s; the key before goes on to count", file, getattr(error, "strerror", None) or error)
            return
        self._told = False
        if self._secret is not None and value == self._secret.value:
            # Two changes within one tick of a file system's clock have one stamp: what was read twice is settled.
            self._stamp = stamp
            return
        self._retire(self._secret, at)
        self._secret = Secret(value, "", str(file))

    def _retire(self, key: Secret | None, at: float) -> None:
        if key is not None:
            self._old = key, at + self._keeps
