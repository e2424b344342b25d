"""Which files a trail has, and their lines, in blocks: bounded memory whatever the size."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolgate.audit.names import names_of

__all__ = ["MAX_LINE_BYTES", "TrailFile", "blocks_of", "find_files", "own_file"]

MAX_LINE_BYTES: Final = 1024 * 1024
"""Of one line: a hundred times the longest record. What is longer is no trail, and is not held in memory."""

_BLOCK_BYTES: Final = 4 * 1024 * 1024
"""Read at once: some six thousand lines."""

_TRIES: Final = 5
"""How often the directory is looked at anew because a file was rotated meanwhile."""

_ROTATED = re.compile(r"(.+)\.[0-9a-zA-Z_-]{1,64}\.([0-9]{8}T[0-9]{12}Z)(\.[^.]*)?")


@dataclass(frozen=True, slots=True)
class TrailFile:
    """One file of a trail, as long as it was when it was found: what is appended later is not looked at."""

    path: Path
    size: int
    """Bytes."""
    rotated: str | None
    """When its writer went on in another file, as its name says, in the form of a record's timestamp."""


def find_files(paths: Sequence[Path]) -> list[TrailFile]:
    """The files of the trails that ``paths`` name, sorted by name.

    A file stands for its whole trail, a directory for every ``*.jsonl`` in it. Raises `OSError` for what cannot be
    read, and `ValueError` where nothing is found.
    """
    for _ in range(_TRIES):
        names = _names(paths)
        try:
            found = [TrailFile(path, path.stat().st_size, _rotated(path)) for path in names]
        except FileNotFoundError:
            continue  # rotated between the two looks
        if _names(paths) == names:
            break
    else:
        raise OSError(None, "files come and go while the trail is looked at", str(paths[0]))
    if not found:
        raise ValueError(f"{paths[0]} has no *.jsonl: name the trail's file or its directory")
    return found


def _names(paths: Sequence[Path]) -> list[Path]:
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found |= {each for each in path.iterdir() if each.suffix == ".jsonl" and each.is_file()}
            continue
        own = own_file(path)
        relatives = {each for each in path.parent.iterdir() if names_of(own, each.name) is not None and each.is_file()}
        if path not in relatives:
            path.stat()  # not there: the error names it
            relatives.add(path)
        found |= relatives
    return sorted(found)


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
    with file.path.open("rb", buffering=0) as opened:
        os.lseek(opened.fileno(), start, os.SEEK_SET)
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
