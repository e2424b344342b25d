"""The ``doorward`` command."""

from __future__ import annotations

import io
import sys

from doorward.extras import install

__all__ = ["main"]


def main() -> None:
    """Run the command. Its own dependencies are an extra, so that a server that only needs the library installs none
    of them."""
    try:
        from doorward.cli.app import app
    except ModuleNotFoundError as missing:
        if missing.name not in ("typer", "rich", "uvicorn"):
            raise
        print(f"error: the doorward command needs {missing.name}: {install('cli')}", file=sys.stderr)
        sys.exit(2)  # as every command says that it cannot do what it was asked for
    # A terminal that is not UTF-8 shows escapes for what it has no character for.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()
