"""How a command is told which server it is about, and what that server lists."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import anyio
import typer

from doorward.cli.servers.over_http import check_url, client, token_of
from doorward.extras import install

if TYPE_CHECKING:
    from doorward.cli.servers.catalogue import Catalogue
    from doorward.settings import Configuration

__all__ = ["Chosen", "CommandOption", "ServerArgument", "TokenOption", "UrlOption", "look"]

ServerArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[SERVER]", help="The server: module:object, path.py or path.py:object.", show_default=False
    ),
]
UrlOption = Annotated[str | None, typer.Option(help="Instead of SERVER: the URL of one that runs.", show_default=False)]
CommandOption = Annotated[
    str | None,
    typer.Option(help='Instead of SERVER: one that talks over its pipes, like "node server.js".', show_default=False),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="With --url: the environment variable that holds a token for it. Without this option none is sent.",
        show_default=False,
    ),
]


class Chosen(NamedTuple):
    """The server that a command line names, in one of three ways."""

    server: str | None = None
    url: str | None = None
    command: str | None = None
    token_env: str | None = None

    def __str__(self) -> str:
        """As a command line spells it."""
        if self.url is not None:
            token = "" if self.token_env is None else f" --token-env {shlex.quote(self.token_env)}"
            return f"--url {shlex.quote(self.url)}{token}"
        return shlex.quote(self.server) if self.server is not None else f"--command {shlex.quote(self.command or '')}"


class Looked(NamedTuple):
    """What was found there."""

    catalogue: Catalogue
    configuration: Configuration | None
    """Of the gate that the server's module makes without a file; None where there is none."""


def look(chosen: Chosen) -> Looked:
    """Read what the server lists. Raises `ValueError` that says what is wrong and what to do."""
    if sum(each is not None for each in (chosen.server, chosen.url, chosen.command)) != 1:
        raise ValueError("name one server: module:object, path.py, --url or --command")
    if chosen.url is None and chosen.token_env is not None:
        raise ValueError("--token-env goes with --url alone: no other server is sent a token")
    if chosen.url is not None:
        check_url(chosen.url, with_token=chosen.token_env is not None)
    token = None if chosen.token_env is None else token_of(chosen.token_env)
    try:
        # Outside of any event loop: a module may run one of its own.
        server, configuration = _imported(chosen.server) if chosen.server is not None else (None, None)
        return Looked(anyio.run(_read, chosen, server, token), configuration)
    except ModuleNotFoundError as missing:
        if missing.name != "mcp":
            raise
        raise ValueError(f"reading a server needs mcp: {install('cli', 'mcp')}") from None


def _imported(name: str) -> tuple[Any, Configuration | None]:
    from doorward.adapters.ungated import gate_of, server_behind
    from doorward.cli.servers.named import is_stand_in, named

    try:
        server = server_behind(named(name))
    except TypeError as error:
        raise ValueError(f"{name}: {error}; name the server itself, or start it and give --url") from None
    gate = gate_of(server)
    return server, None if gate is None or is_stand_in(gate) else gate.configuration


async def _read(chosen: Chosen, server: Any, token: str | None) -> Catalogue:
    from doorward.cli.servers.reading import read

    async with _target(chosen, server, token) as target:
        try:
            return await read(target)
        except Exception as error:
            # The client's task groups wrap what it raises, and a server may raise anything.
            inner = _innermost(error)
            raise ValueError(f"{chosen} cannot be read: {str(inner) or type(inner).__name__}{_hint(chosen)}") from error


@asynccontextmanager
async def _target(chosen: Chosen, server: Any, token: str | None) -> AsyncIterator[Any]:
    """What the official client connects to."""
    if server is not None:
        from doorward.adapters.ungated import ungated

        with ungated(server) as bare, redirect_stdout(sys.stderr):
            yield bare
    elif chosen.url is not None:
        from mcp.client.streamable_http import streamable_http_client

        async with client(chosen.url, token) as http:
            yield streamable_http_client(chosen.url, http_client=http)
    else:
        from mcp.client.stdio import StdioServerParameters

        try:
            program, *arguments = shlex.split(chosen.command or "")
        except ValueError as error:
            raise ValueError(f"--command is no command: {error or 'it is empty'}") from None
        yield StdioServerParameters(command=program, args=arguments, env=dict(os.environ))


def _hint(chosen: Chosen) -> str:
    if chosen.url is None:
        return ""
    if chosen.token_env is None:
        return " (no token was sent: --token-env NAME sends the one in an environment variable, like DOORWARD_TOKEN)"
    return f" (the token in {chosen.token_env} was sent; only what it may call is listed)"


def _innermost(error: BaseException) -> BaseException:
    while nested := getattr(error, "exceptions", ()):
        error = nested[0]
    return error
