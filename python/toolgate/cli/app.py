"""The commands, and what they need installed."""

from __future__ import annotations

import sys
from typing import Annotated

import anyio
import typer

import toolgate
from toolgate.cli import audit, tokens
from toolgate.cli.init import init
from toolgate.cli.rules import rules

__all__ = ["app"]

app = typer.Typer(
    help=f"Guard an MCP server: who is calling, may they, may they now. ({toolgate.IMPLEMENTATION} core)",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(init)
app.command()(rules)
app.add_typer(tokens.app, name="tokens")
app.add_typer(audit.app, name="audit")


@app.callback()
def _commands() -> None:
    """Keep the commands' names also while there is but one."""


@app.command()
def demo(
    serve: Annotated[bool, typer.Option(help="Leave the server running and say how to try it by hand.")] = False,
    port: Annotated[int, typer.Option(help="The loopback port; 0 takes a free one.")] = 0,
) -> None:
    """See it work: a small MCP server behind the gate, and everything that should be refused, refused."""
    try:
        from toolgate.cli.demo import run
    except ModuleNotFoundError as missing:
        if missing.name not in ("mcp", "uvicorn", "cryptography"):
            raise
        sys.exit(f"the demo needs {missing.name}: pip install 'toolgate[cli,mcp,pure]'")
    sys.exit(anyio.run(run, port, serve))
