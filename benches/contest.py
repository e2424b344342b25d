"""Who takes part in every bench."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from doorward import _pure, _rust

OURS = "doorward"
CORES: dict[str, ModuleType] = {OURS: _rust, "doorward, pure Python": _pure}

Measure = Callable[..., None]
Tell = Callable[[str], None]

CALLS = 1_000


def many(call: Callable[[], Any]) -> Callable[[], None]:
    """So many calls that what the harness does about each of its own, which takes as long as one, is of no account."""

    def calls() -> None:
        for _ in range(CALLS):
            call()

    return calls
