"""A server as it is without its gate, for commands that look at what it has and serve nobody."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from mcp.server import Server
from mcp.server.mcpserver import MCPServer

from doorward.adapters.asgi import GateASGI
from doorward.adapters.messages import GateMiddleware
from doorward.gate import Gate

__all__ = ["gate_of", "server_behind", "ungated", "without"]


def server_behind(named: Any) -> Any:
    """The server of either SDK: itself, or what an app was made of. Raises `TypeError` for anything else."""
    server = named.server if isinstance(named, GateASGI) else named
    if "fastmcp.server.server" in sys.modules:
        from doorward.adapters import fastmcp

        server = fastmcp.server_of(server) or server
        if fastmcp.is_server(server):
            return server
    if isinstance(server, MCPServer | Server):
        return server
    raise TypeError(f"{type(named).__name__} is no server of the official SDK or of fastmcp")


def gate_of(server: Any) -> Gate | None:
    """The gate before a `server_behind`; None where there is none."""
    gates = (middleware.gate for middleware in _below(server).middleware if isinstance(middleware, GateMiddleware))
    return next(gates, None)


@contextmanager
def ungated(server: Any) -> Iterator[Server[Any]]:
    """The SDK's server underneath a `server_behind`. While the block runs no gate stands before it."""
    below = _below(server)
    with ExitStack() as stack:
        if not isinstance(server, MCPServer | Server):
            from doorward.adapters.fastmcp.looking import looking

            stack.enter_context(looking(server))
        stack.enter_context(without(below.middleware, GateMiddleware))
        yield below


@contextmanager
def without(chain: list[Any], kind: type[Any]) -> Iterator[None]:
    """A chain of middleware, while the block runs without those of a kind."""
    before = chain[:]
    chain[:] = [each for each in before if not isinstance(each, kind)]
    try:
        yield
    finally:
        chain[:] = before


def _below(server: Any) -> Server[Any]:
    if isinstance(server, Server):
        return server
    below: Server[Any] = server._lowlevel_server if isinstance(server, MCPServer) else server._mcp_server
    return below
