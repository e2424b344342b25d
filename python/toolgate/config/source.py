"""The file a gate was made from, and whether it has changed since."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any, Final

from toolgate.config.load import load

__all__ = ["Source"]

_INTERVAL: Final = 1_000_000_000
"""Nanoseconds between two looks: how late a change is seen, at most."""


class Source:
    """A ``toolgate.toml``."""

    def __init__(self, path: str | PathLike[str], *, watched: bool) -> None:
        self.path = Path(path)
        self._watched = watched
        self.looked_at = 0
        """When somebody last looked, in ticks."""
        self._stamp: tuple[int, ...] = ()

    def load(self) -> dict[str, Any]:
        """The arguments of `Gate` that it describes. Raises `ValueError` and `OSError`."""
        # Before it is read: what changes meanwhile is read again.
        self._stamp = _stamp_of(self.path)
        return load(self.path)

    def located(self, error: ValueError) -> ValueError:
        """The error with the file's name in front, once."""
        return error if str(error).startswith(str(self.path)) else ValueError(f"{self.path}: {error}")

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
