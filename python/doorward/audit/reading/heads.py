"""Where each chain ended when it was verified, in a file that is kept elsewhere: what was cut off since then shows."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from doorward.audit.reading.wholeness import Head

__all__ = ["read_heads", "write_heads"]

_MAX_BYTES: Final = 4 * 1024 * 1024
"""Some 20,000 chains: every process that ever wrote."""

_MEMBERS: Final = {"instance": str, "sequence": int, "hash": str, "timestamp": str}


def read_heads(path: Path) -> list[Head]:
    """What was remembered; nothing where there is no file yet. Raises `OSError` and `ValueError`."""
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
    """Remember these, in place of those before. Raises `OSError`."""
    written = json.dumps({"chains": [asdict(head) for head in heads]}, indent=1) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    temporary.write_text(written, encoding="utf-8")
    temporary.replace(path)


def _head(given: dict[str, Any]) -> Head:
    if not all(isinstance(given[member], kind) for member, kind in _MEMBERS.items()):
        raise ValueError
    return Head(**{member: given[member] for member in _MEMBERS})
