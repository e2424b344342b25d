"""Who takes part in every bench."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from toolgate import _pure, _rust

OURS = "toolgate"
CORES: dict[str, ModuleType] = {OURS: _rust, "toolgate, pure Python": _pure}

Measure = Callable[..., None]
Tell = Callable[[str], None]
