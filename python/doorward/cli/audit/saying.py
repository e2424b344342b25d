"""What every command of ``doorward audit`` says in the same way: files that cannot be read, and times."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from doorward.cli.saying import fail, printable

__all__ = ["instant", "second", "unreadable"]

_INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,3})?)?)Z?)?")


def unreadable(error: OSError | ValueError, path: Path | None = None) -> NoReturn:
    """`fail` with what the system said of a file."""
    if isinstance(error, OSError):
        where = error.filename or path or "the trail"
        fail(f"{where}: {error.strerror or type(error).__name__}: check the path, and that this user may read it")
    fail(str(error))


def instant(option: str, text: str | None) -> str | None:
    """A time as records spell it, from a day or a time in UTC."""
    if text is None:
        return None
    match = _INSTANT.fullmatch(text)
    if match is None:
        fail(f"{option} must be a day or a time in UTC, like 2026-11-20 or 2026-11-20T21:30:00Z")
    time, _, fraction = (match[2] or "00:00:00").partition(".")
    seconds = f"{match[1]}T{time}{':00' if time.count(':') == 1 else ''}"
    try:
        datetime.fromisoformat(seconds)
    except ValueError:
        fail(f"{option} is {text}: there is no such day or time")
    return f"{seconds}.{fraction:0<3}Z"


def second(timestamp: str | None) -> str:
    """A record's time, for a table."""
    return "-" if timestamp is None else printable(timestamp[:19].replace("T", " "))
