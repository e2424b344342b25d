"""What every command says in the same way: what it cannot do, and what callers chose to be called."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import typer

__all__ = ["UNREADABLE", "fail", "output", "printable"]

UNREADABLE: Final = 2
"""The exit code for what could not be looked at, and for a command line that cannot be meant."""


def fail(problem: str, *, code: int = UNREADABLE) -> NoReturn:
    """Print what is wrong, and end with the exit code."""
    print(f"error: {problem}", file=sys.stderr)
    raise typer.Exit(code)


@contextmanager
def output() -> Iterator[None]:
    """Print what was found. A reader that has gone, like ``head``, ends nothing but the printing, so that the exit code
    still is what was found; anything else that cannot be written ends with the exit code `UNREADABLE`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _discard()
    except OSError as error:
        _discard()
        fail(f"the standard output cannot be written: {error.strerror}")


def _discard() -> None:
    # What is still in the buffer is written when the interpreter ends.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def printable(text: object) -> str:
    """Callers invent names: nothing of theirs moves the cursor, changes a colour or turns the direction of writing."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in str(text)
    )
