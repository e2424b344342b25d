"""The ``toolgate`` command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command. Its own dependencies are an extra, so that a server that only needs the library installs none
    of them."""
    try:
        from toolgate.cli.app import app
    except ModuleNotFoundError as missing:
        if missing.name not in ("typer", "rich", "uvicorn"):
            raise
        sys.exit(f"the toolgate command needs {missing.name}: pip install 'toolgate[cli]'")
    app()
