"""The file a gate was made from, and whether it has changed since."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any, Final

from doorward.config.load import located, read
from doorward.config.places import Place

__all__ = ["Source"]

_INTERVAL: Final = 1_000_000_000
"""Nanoseconds between two looks: how late a change is seen, at most."""


class Source:
    """A ``doorward.toml``."""

    def __init__(self, path: str | PathLike[str], *, watched: bool) -> None:
        self.path = Path(path)
        self._watched = watched
        self.looked_at = 0
        """When somebody last looked, in ticks."""
        self._stamp: tuple[int, ...] = ()
        self._top: Place | None = None

    def load(self) -> dict[str, Any]:
        """The arguments of `Gate` that it describes. Raises `ValueError` and `OSError`."""
        # Before it is read: what changes meanwhile is read again.
        self._stamp = _stamp_of(self.path)
        arguments, self._top = read(self.path)
        return arguments

    def located(self, error: OSError | ValueError) -> OSError | ValueError:
        """The error with the place in the file in front, once: of what was made of its arguments."""
        if self._top is None or str(error).startswith(f"{self.path}:"):
            return error
        words = located(self._top, error)
        if not isinstance(error, OSError):
            return ValueError(words)
        told = type(error)(words)
        told.errno = error.errno
        return told

    def is_due(self, tick: int) -> bool:
        """Whether it is time to look; on the path of every request. ``tick``: monotonic nanoseconds."""
        return self._watched and tick - self.looked_at >= _INTERVAL

    def has_changed(self) -> bool:
        """Whether it is another file than the one that was read last, readable or not."""
        before, self._stamp = self._stamp, _stamp_of(self.path)
        return self._stamp != before


def _stamp_of(path: Path) -> tuple[int, ...]:
    """Changes with the file, as far as a file system can tell; empty where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
