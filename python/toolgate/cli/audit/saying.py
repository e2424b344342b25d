"""What every command of ``toolgate audit`` says in the same way: errors, times, and what callers chose to be called."""

from __future__ import annotations

import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Final, NoReturn

import typer

__all__ = ["UNREADABLE", "fail", "instant", "printable", "second", "unreadable"]

UNREADABLE: Final = 2
"""The exit code for what could not be looked at, and for a command line that cannot be meant."""

_INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,3})?)?)Z?)?")


def fail(problem: str) -> NoReturn:
    """Say what is wrong and end with the exit code 2."""
    print(f"error: {problem}", file=sys.stderr)
    raise typer.Exit(UNREADABLE)


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


def printable(text: object) -> str:
    """Callers invent names: nothing of theirs moves the cursor, changes a colour or turns the direction of writing."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in str(text)
    )
