"""The heads of chains that an earlier verification remembered, in a file that is kept elsewhere: what was removed since
then is found."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["Head", "read_heads", "write_heads"]

_MAX_BYTES: Final = 4 * 1024 * 1024
"""Of the file: some 20,000 chains, one for each process that ever wrote."""

_MEMBERS: Final = {"instance": str, "sequence": int, "hash": str, "timestamp": str}


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of a chain. Its hash commits to every line before it."""

    instance: str
    sequence: int
    hash: str
    """SHA-256 of the line, in hexadecimal."""
    timestamp: str


def read_heads(path: Path) -> list[Head]:
    """The heads in the file; none when the file does not exist yet. Raises `OSError`, and `ValueError` for a file that
    `write_heads` did not write."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return []
    try:
        given = json.loads(data) if len(data) <= _MAX_BYTES else None
        return [_head(each) for each in (given or {})["chains"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError(f"{path} is not what `doorward audit verify --remember` writes: move it away") from None


def write_heads(path: Path, heads: Sequence[Head]) -> None:
    """Replace the file by one with these heads. Raises `OSError`."""
    written = json.dumps({"chains": [asdict(head) for head in heads]}, indent=1) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    temporary.write_text(written, encoding="utf-8")
    temporary.replace(path)


def _head(given: dict[str, Any]) -> Head:
    if not all(isinstance(given[member], kind) for member, kind in _MEMBERS.items()):
        raise ValueError
    return Head(**{member: given[member] for member in _MEMBERS})
