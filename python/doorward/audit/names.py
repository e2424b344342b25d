"""The names of a trail's files: which belong to one trail, and what a name says of its writer.

``audit.jsonl`` is the trail's own file, held by one process; ``audit.<instance>.jsonl`` belongs to a further process
beside it; ``audit.<instance>.<YYYYMMDDTHHMMSSffffff>Z.jsonl`` was rotated away.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["TrailName", "instances_beside", "names_of"]

MAX_BESIDE: Final = 64
"""Instances that one checkpoint names: more processes than one directory's trail is meant for."""

_MAX_ENTRIES: Final = 10_000
"""Directory entries looked at for a checkpoint, so that it stays quick where rotated files pile up."""

_TAIL_BYTES: Final = 32 * 1024
"""How far back the last line of another process's file is looked for: more than the longest record."""

_INSTANCE = re.compile(rb'"instance":"([0-9a-zA-Z_-]{1,64})"')
_BETWEEN = re.compile(r"\.([0-9a-zA-Z_-]{1,64})(?:\.([0-9]{8}T[0-9]{12}Z))?")


@dataclass(frozen=True, slots=True)
class TrailName:
    """What the name of one file says."""

    instance: str | None
    """The writer's, where the name has it."""
    rotated: str | None
    """When it was rotated away, as the name has it; None for a file that is written to."""


def names_of(path: Path, name: str) -> TrailName | None:
    """What ``name`` says as a file of the trail whose own file is ``path``; None where it belongs to no such trail."""
    if name == path.name:
        return TrailName(None, None)
    if not (name.startswith(path.stem) and name.endswith(path.suffix)):
        return None
    found = _BETWEEN.fullmatch(name[len(path.stem) : len(name) - len(path.suffix)])
    return None if found is None else TrailName(found[1], found[2])


def instances_beside(path: Path, *, instance: str, since: float) -> tuple[str, ...]:
    """The other instances whose files in this trail were written to since then (seconds since the epoch).

    A checkpoint names them, so that whoever deletes all files of one instance has to change what another one signed.
    Only those that are alive: what is kept for how long is the operator's affair. What cannot be read is left out, as
    a checkpoint must not fail because of somebody else's file.
    """
    found: set[str] = set()
    try:
        with os.scandir(path.parent) as entries:
            for _, entry in zip(range(_MAX_ENTRIES), entries):  # noqa: B905 - the shorter one is the bound
                name = names_of(path, entry.name)
                if name is None or name.rotated is not None or name.instance == instance:
                    continue
                status = entry.stat()
                # Who was killed before its first line leaves an empty file, and nothing that could be missed.
                if status.st_size and status.st_mtime >= since:
                    found.add(name.instance or _last_instance(path))
    except OSError:
        pass
    return tuple(sorted(found - {"", instance})[:MAX_BESIDE])


def _last_instance(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
        written = _INSTANCE.findall(file.read(_TAIL_BYTES))
    return written[-1].decode() if written else ""
