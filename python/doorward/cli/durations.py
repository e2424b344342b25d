"""Times as people write them: ``30d``."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["parse_duration", "written_duration"]

_FORM: Final = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def parse_duration(text: str) -> float:
    """Seconds. Raises `ValueError`."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("must be like 30d, 12h, 30m or 0s")
    return float(int(match[1]) * _UNITS[match[2]])


def written_duration(seconds: float) -> str:
    """The same the other way round, in the largest unit that is not less than one."""
    for unit, length in _UNITS.items():
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return "0s"
