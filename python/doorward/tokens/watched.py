"""A file that is read again when it changes. What cannot be read never replaces what could."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final, Generic, TypeVar

from doorward import private_files
from doorward.private_files import Stamp
from doorward.tokens.toml_tables import Wrong

__all__ = ["INTERVAL", "Watched"]

INTERVAL: Final = 1.0
"""Seconds between two looks at the file: how late a change is seen, at most."""

_log = logging.getLogger("doorward.tokens")

_Value = TypeVar("_Value")


class Watched(Generic[_Value]):
    """What a file says."""

    def __init__(
        self,
        file: str,
        parse: Callable[[bytes], _Value],
        *,
        alarm: Callable[[str], None] | None = None,
        slug: str,
        lets_in: bool = True,
    ) -> None:
        """``parse`` raises `ValueError` for what makes no sense; ``alarm`` is told ``slug`` when the file goes bad;
        ``lets_in``: whether the file decides who comes in. Raises `ValueError` that names the file."""
        self.path = Path(file)
        self.looked_at = float("-inf")
        """When the file was last looked at."""
        self._parse = parse
        self._alarm = alarm
        self._slug = slug
        self._lets_in = lets_in
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._problem: str | None = None
        self._told: str | None = None
        try:
            data, stamp = private_files.read(self.path, lets_in=lets_in)
            self.value: _Value = parse(data)
        except FileNotFoundError:
            raise ValueError(f"{self.path}: there is no such file") from None
        except (OSError, ValueError) as error:
            raise ValueError(self._words(error)) from None
        self._digest = sha256(data).digest()
        self._was_blank = not data.strip()
        if private_files.is_public(stamp):
            _log.warning("%s can be read by everybody on this machine: chmod 600 it", self.path)

    def look(self, now: float) -> bool:
        """Look at the file, if the last look is old enough; whether the value is another one now."""
        if 0 <= now - self.looked_at < INTERVAL or not self._lock.acquire(blocking=False):
            return False
        try:
            self.looked_at = now
            before = self.value
            try:
                self._read_again()
                problem = self._problem
            except (OSError, ValueError) as error:
                self._stamp, problem = None, self._words(error)
            self._tell(problem)
            return self.value is not before
        finally:
            self._lock.release()

    def _read_again(self) -> None:
        if private_files.stamp_of(self.path) == self._stamp:
            return
        data, stamp = private_files.read(self.path, lets_in=self._lets_in)
        digest = sha256(data).digest()
        if digest == self._digest:
            # Only what was read twice, a while apart, is settled: two changes in one tick of the file system's clock
            # have one stamp.
            self._stamp = stamp
            return
        self._digest, self._stamp = digest, None
        try:
            if not data.strip() and not self._was_blank:
                # What somebody truncates to write it anew looks like this for a moment.
                raise Wrong("is empty; to take everything out of it, leave a comment there")
            self.value = self._parse(data)
        except ValueError as error:
            self._problem = self._words(error)
            return
        self._problem = None
        self._was_blank = not data.strip()

    def _tell(self, problem: str | None) -> None:
        if problem == self._told:
            return
        self._told = problem
        if problem is None:
            _log.warning("%s is good again", self.path)
            return
        _log.error("%s; what stood there before goes on to count", problem)
        if self._alarm is not None:
            self._alarm(self._slug)

    def _words(self, error: OSError | ValueError) -> str:
        if isinstance(error, OSError):
            return f"{self.path}: cannot be read: {error.strerror}"
        line = error.line if isinstance(error, Wrong) else 0
        return f"{self.path}:{line}: {error}" if line else f"{self.path}: {error}"
