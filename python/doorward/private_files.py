"""Files that decide who may come in: read only where nobody else could have written them, and written as a whole or not
at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

try:
    import fcntl
except ImportError:  # Windows has no flock: there two writers at once are up to the operator
    fcntl = None  # type: ignore[assignment]

__all__ = ["MAX_BYTES", "Stamp", "hold", "is_public", "is_shared", "locked", "read", "replace", "stamp_of"]

MAX_BYTES: Final = 1024 * 1024
"""Some 3,000 agents or 15,000 revocations, which are read again in an eighth of a second."""

Stamp = tuple[int, ...]
"""Changes with the file, as far as a file system can tell."""


def stamp_of(path: Path) -> Stamp:
    """The file's stamp. Raises `OSError`."""
    return _stamp(path.stat())


def is_public(stamp: Stamp) -> bool:
    """Whether everybody on this machine may read it."""
    *_, mode, _ = stamp
    return hasattr(os, "geteuid") and bool(mode & stat.S_IROTH)


def is_shared(stamp: Stamp) -> bool:
    """Whether anybody but its owner may read it."""
    *_, mode, _ = stamp
    return hasattr(os, "geteuid") and bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def read(
    path: Path, *, anybodys: bool = False, lets_in: bool = True, max_bytes: int = MAX_BYTES
) -> tuple[bytes, Stamp]:
    """What stands in it; ``anybodys``: whoever owns it, as when an operator looks after a server's file; ``lets_in``:
    whether it decides who comes in, so that nobody else may have written it. Raises `OSError`, and `ValueError` for a
    file that is not to be believed."""
    # A pipe of this name must not stop the server until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("is not a regular file")
        if lets_in:
            _check_hands(status, anybodys=anybodys)
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"is larger than {max_bytes} bytes")
    return data, _stamp(status)


def replace(path: Path, pieces: Iterable[bytes], *, durable: bool = True) -> None:
    """Put a whole new file of these pieces in place of the old one: after a crash at any moment there is one or the
    other. Raises `OSError`, `PermissionError` where the file would change hands."""
    path = path.resolve()  # behind a link stands the file that is meant
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    with suppress(FileNotFoundError):
        temporary.unlink()
    try:
        _write(temporary, pieces, _status(path), durable=durable)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        _flush_directory(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else changes the file meanwhile. The lock is a file of its own, because the file itself is replaced."""
    path = path.resolve()
    descriptor = _open_lock(path)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for left in path.parent.glob(f".{path.name}.[0-9]*.new"):  # by a writer that was killed
                with suppress(OSError):
                    left.unlink()
        yield
    finally:
        os.close(descriptor)


def hold(path: Path) -> BinaryIO | None:
    """Keep the file for this process until what is returned is closed; None where another process keeps it. Raises
    `OSError`."""
    held = open(_open_lock(path.resolve()), "r+b", buffering=0)  # noqa: SIM115 - it is the caller's to close
    try:
        if fcntl is not None:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        return None
    return held


def _open_lock(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path.with_name(f".{path.name}.lock"), flags, 0o600)


def _stamp(status: os.stat_result) -> Stamp:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_mode,
        status.st_uid,
    )


def _check_hands(status: os.stat_result, *, anybodys: bool) -> None:
    # What others read there helps nobody: hashes and names. What others write there lets them in.
    if not hasattr(os, "geteuid"):
        return
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError("can be written by others, who could let themselves in: chmod 600 it")
    if not anybodys and status.st_uid not in (0, os.geteuid()):
        raise ValueError("belongs to another user, who could let themselves in: chown it to the user that runs this")


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _write(temporary: Path, pieces: Iterable[bytes], replaced: os.stat_result | None, *, durable: bool) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    with open(descriptor, "wb") as file:
        if hasattr(os, "fchmod"):
            # A server that reads it by its group, or whose file root changes here, reads it afterwards too.
            os.fchmod(descriptor, 0o600 | (stat.S_IMODE(replaced.st_mode) & 0o044 if replaced else 0))
            made = os.fstat(descriptor)
            if replaced and (replaced.st_uid, replaced.st_gid) != (made.st_uid, made.st_gid):
                os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
        file.writelines(pieces)
        file.flush()
        if durable:
            os.fsync(descriptor)


def _flush_directory(directory: Path) -> None:
    """Without this a power failure may bring the old file back."""
    with suppress(OSError):  # some systems cannot open a directory; there the name is written when they like
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
