"""What every command says in the same way: what it cannot do, and what callers chose to be called."""

from __future__ import annotations

import sys
from typing import Final, NoReturn

import typer

__all__ = ["UNREADABLE", "fail", "printable"]

UNREADABLE: Final = 2
"""The exit code for what could not be looked at, and for a command line that cannot be meant."""


def fail(problem: str, *, code: int = UNREADABLE) -> NoReturn:
    """Print what is wrong, and end with the exit code."""
    print(f"error: {problem}", file=sys.stderr)
    raise typer.Exit(code)


def printable(text: object) -> str:
    """Callers invent names: nothing of theirs moves the cursor, changes a colour or turns the direction of writing."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in str(text)
    )
