"""Which files a trail has, and their lines, in blocks: bounded memory whatever the size."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from doorward.audit.names import names_of

__all__ = ["MAX_LINE_BYTES", "TrailFile", "blocks_of", "own_file", "trail_files"]

MAX_LINE_BYTES: Final = 1024 * 1024
"""Of one line: a hundred times the longest record. What is longer is no trail, and is not held in memory."""

_BLOCK_BYTES: Final = 4 * 1024 * 1024
"""Read at once: some six thousand lines."""

_TRIES: Final = 50
"""How often the directory is looked at anew because a file was rotated meanwhile: of a thousand files in a few ms."""

_PAUSE_SECONDS: Final = 0.002
"""Before the next look for a file that is not there: a name that is wrong is told after a tenth of a second."""

_LATELY_SECONDS: Final = 3600.0
"""A file that nobody wrote to for as long is not kept open: there may be more of them than descriptors."""

_ROTATED = re.compile(r"(.+)\.[0-9a-zA-Z_-]{1,64}\.([0-9]{8}T[0-9]{12}Z)(\.[^.]*)?")


@dataclass(frozen=True, slots=True)
class TrailFile:
    """One file of a trail, as long as it was when it was found: what is appended later is not looked at."""

    path: Path
    size: int
    """Bytes."""
    rotated: str | None
    """When its writer went on in another file, as its name says, in the form of a record's timestamp."""
    identity: tuple[int, int]
    """Which file it is, whatever it is called by now."""
    descriptor: int | None = None
    """Of a file that may be rotated any moment, so that the name may lead to another one."""

    def open(self) -> BinaryIO:
        """For reading, from its start. Raises `OSError`."""
        if self.descriptor is None:
            return self.path.open("rb", buffering=0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        return open(self.descriptor, "rb", buffering=0, closefd=False)


@contextmanager
def trail_files(paths: Sequence[Path]) -> Iterator[list[TrailFile]]:
    """The files of the trails that ``paths`` name, sorted by name, at one moment: while they are read, their writers
    may go on, and rotate them.

    A file stands for its whole trail, a directory for every ``*.jsonl`` in it. Raises `OSError` for what cannot be
    read, and `ValueError` for what is not a regular file, and where nothing is found.
    """
    missing: FileNotFoundError | None = None
    with ExitStack() as opened:
        for _ in range(_TRIES):
            try:
                names = _names(paths)
                if not names:
                    raise ValueError(f"{paths[0]} has no *.jsonl: name the trail's file or its directory")
                found = [_found(path, opened) for path in names]
                if _names(paths) == names:
                    break
            except FileNotFoundError as error:
                missing = error
                time.sleep(_PAUSE_SECONDS)  # between a file that was rotated and the next there is none for a moment
            opened.close()
        else:
            raise missing or OSError(None, "its files come and go faster than they can be listed", str(paths[0]))
        yield _each_once(found)


def _each_once(files: Sequence[TrailFile]) -> list[TrailFile]:
    """A file that is being rotated has two names for a moment, and keeps them where its writer was killed then."""
    by_identity: dict[tuple[int, int], TrailFile] = {}
    for file in files:
        before = by_identity.setdefault(file.identity, file)
        if before.rotated is not None and file.rotated is None:
            by_identity[file.identity] = file
    return sorted(by_identity.values(), key=lambda file: file.path)


def _found(path: Path, opened: ExitStack) -> TrailFile:
    status, rotated, descriptor = path.stat(), _rotated(path), None
    if not stat.S_ISREG(status.st_mode):
        # A pipe has no size, so it would count as an empty file; and opening one waits for its writer.
        raise ValueError(f"{path} is not a regular file: write what it holds to one, and name that")
    if rotated is None and time.time() - status.st_mtime < _LATELY_SECONDS:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        opened.callback(os.close, descriptor)
        status = os.fstat(descriptor)
    return TrailFile(path, status.st_size, rotated, (status.st_dev, status.st_ino), descriptor)


def _names(paths: Sequence[Path]) -> list[Path]:
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found |= _files_in(path, lambda name: name.endswith(".jsonl"))
            continue
        path.stat()  # not there: the error names it
        found.add(path)
        found |= _files_in(path.parent, partial(_belongs, own_file(path)))
    return sorted(found)


def _files_in(directory: Path, wanted: Callable[[str], bool]) -> set[Path]:
    with os.scandir(directory) as entries:
        return {directory / entry.name for entry in entries if wanted(entry.name) and entry.is_file()}


def _belongs(own: Path, name: str) -> bool:
    return names_of(own, name) is not None


def _rotated(path: Path) -> str | None:
    name = _ROTATED.fullmatch(path.name)
    if name is None:
        return None
    stamp = name[2]
    day, time = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}", f"{stamp[9:11]}:{stamp[11:13]}:{stamp[13:15]}"
    return f"{day}T{time}.{stamp[15:18]}Z"


def own_file(path: Path) -> Path:
    """The file that gave the trail its name: ``audit.jsonl`` for every file beside it."""
    rotated = _ROTATED.fullmatch(path.name)
    if rotated is not None:
        return path.with_name(rotated[1] + (rotated[3] or ""))
    shorter = path.with_name(f"{Path(path.stem).stem}{path.suffix}")
    return shorter if shorter != path and shorter.exists() else path


def blocks_of(file: TrailFile, *, start: int = 0) -> Iterator[tuple[list[bytes], bool]]:
    """The file's lines without their newlines, in blocks; and whether the last of a block has no newline, which only
    the file's last line may be. Raises `OSError`, and `ValueError` for a line without end."""
    left = file.size - start
    rest = b""
    with file.open() as opened:
        opened.seek(start)
        while left > 0:
            data = opened.read(min(left, _BLOCK_BYTES))
            if not data:
                break
            left -= len(data)
            lines = (rest + data).split(b"\n")
            rest = lines.pop()
            if len(rest) > MAX_LINE_BYTES:
                raise ValueError(f"{file.path} has a line of more than {MAX_LINE_BYTES} bytes: it is no audit trail")
            if lines:
                yield lines, False
    if rest:
        yield [rest], True
