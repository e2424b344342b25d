"""The commands, and what they need installed."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import anyio
import typer

import doorward
from doorward.cli import audit, tokens
from doorward.cli.check import check
from doorward.cli.init import init
from doorward.cli.rules import rules
from doorward.cli.saying import fail
from doorward.extras import install

__all__ = ["app"]

_MAX_PORT: Final = 65_535

app = typer.Typer(
    help=f"Guard an MCP server: who is calling, may they, may they now. ({doorward.IMPLEMENTATION} core)",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(init)
app.command()(rules)
app.command()(check)
app.add_typer(tokens.app, name="tokens")
app.add_typer(audit.app, name="audit")


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"doorward {doorward.__version__} ({doorward.IMPLEMENTATION} core)")
        raise typer.Exit


@app.callback()
def _commands(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Which version this is.")
    ] = False,
) -> None:
    """Keep the commands' names also while there is but one."""


@app.command()
def demo(
    serve: Annotated[bool, typer.Option(help="Leave the server running and say how to try it by hand.")] = False,
    port: Annotated[int, typer.Option(help="The loopback port; 0 takes a free one.")] = 0,
) -> None:
    """See it work: a small MCP server behind the gate, and everything that should be refused, refused."""
    if not 0 <= port <= _MAX_PORT:
        fail(f"--port must be from 0 to {_MAX_PORT}")
    try:
        from doorward.cli.demo import run
    except ModuleNotFoundError as missing:
        if missing.name not in ("mcp", "uvicorn", "cryptography"):
            raise
        fail(f"the demo needs {missing.name}: {install('cli', 'mcp', 'pure')}")
    sys.exit(anyio.run(run, port, serve))
