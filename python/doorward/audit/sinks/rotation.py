"""One file in the place of another, so that a process may be killed at any point of it.

The next file is begun beside the trail, with its first lines in it. Then the file that was gets its second name, and
the next one takes the first: at no moment is there a file that nothing goes on behind, nor none at all.

====================== ======================================================================================
killed                 what the trail is
====================== ======================================================================================
before the second name the file that was; what was begun beside it was never answered, and is swept away
before the exchange    the file that was, by both names, of which whoever opens it next takes the second away
after it               both files, and the new one goes on behind the other
====================== ======================================================================================
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from doorward.audit.names import names_of

try:
    import fcntl
except ImportError:  # Windows has no flock: there every process writes a file of its own
    fcntl = None  # type: ignore[assignment]

__all__ = ["begin", "exchange", "hold", "sweep"]

_NO_LINKS: Final = frozenset(
    number
    for name in ("EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK")
    if (number := getattr(errno, name, None)) is not None
)
"""What a file system says that gives a file no second name."""

_BEGUN: Final = ".next"

_MAX_ENTRIES: Final = 10_000
"""Directory entries that are looked at, so that a start stays quick where rotated files pile up."""


def begin(path: Path, instance: str) -> tuple[int, Path]:
    """A file to go on in, beside the one at ``path``; its name is of no trail. Raises `OSError`."""
    begun = path.with_name(f".{path.name}.{instance}{_BEGUN}")
    with suppress(FileNotFoundError):
        begun.unlink()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(begun, flags, 0o600)
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, 0o600)  # whatever the umask took away
    hold(descriptor)
    return descriptor, begun


def exchange(path: Path, *, rotated: Path, begun: Path) -> None:
    """``path`` is ``rotated`` from now on, and ``begun`` is ``path``. Raises `OSError`, and nothing has changed."""
    try:
        # Of a link its own second name: what it leads to may lie on another disk.
        os.link(path, rotated, follow_symlinks=os.link not in os.supports_follow_symlinks)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _exchange_without_links(path, rotated, begun)
        return
    try:
        begun.replace(path)
    except OSError:
        with suppress(OSError):
            rotated.unlink()
        raise


def hold(descriptor: int) -> bool:
    """Whether the regular file is ours alone now."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def sweep(path: Path, *, identity: tuple[int, int], links: int) -> None:
    """Take away what processes left behind that were killed within a rotation: what nobody writes to any more, and the
    second name of the file of that identity. ``path``: of the trail's own file."""
    for entry in _entries(path.parent):
        with suppress(OSError):
            if entry.name.startswith(f".{path.stem}.") and entry.name.endswith(_BEGUN):
                _sweep_begun(Path(entry.path))
            elif links > 1 and (name := names_of(path, entry.name)) is not None and name.rotated is not None:
                status = entry.stat(follow_symlinks=False)
                if (status.st_dev, status.st_ino) == identity:
                    os.unlink(entry.path)


def _exchange_without_links(path: Path, rotated: Path, begun: Path) -> None:
    """Whoever is killed between the two leaves a file that nothing goes on behind."""
    os.rename(path, rotated)
    try:
        os.rename(begun, path)
    except OSError:
        with suppress(OSError):
            os.rename(rotated, path)
        raise


def _sweep_begun(begun: Path) -> None:
    descriptor = os.open(begun, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        if hold(descriptor):  # or its writer is about to go on in it
            begun.unlink()
    finally:
        os.close(descriptor)


def _entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            for _, entry in zip(range(_MAX_ENTRIES), entries):  # noqa: B905 - the shorter one is the bound
                yield entry
    except OSError:
        return
