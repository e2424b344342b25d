"""A server of fastmcp as it is without its gate and its components' own `auth=`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.context import reset_transport, set_transport
from mcp.server import Server

from toolgate.adapters.fastmcp.components import ComponentMiddleware
from toolgate.adapters.fastmcp.mounts import servers_in
from toolgate.adapters.ungated import without

__all__ = ["looking"]


@contextmanager
def looking(server: FastMCP[Any]) -> Iterator[Server[Any]]:
    """The SDK's server underneath; while the block runs no gate stands before it, nor before those mounted in it."""
    with ExitStack() as stack:
        for each in servers_in(server):
            stack.enter_context(without(each.middleware, ComponentMiddleware))
        # Whoever holds the process is no caller whose components could be hidden from him.
        stack.callback(reset_transport, set_transport("stdio"))
        yield server._mcp_server
