"""A server of fastmcp as it is without its gate and its components' own `auth=`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.context import reset_transport, set_transport

from doorward.adapters.fastmcp.components import ComponentMiddleware
from doorward.adapters.fastmcp.mounts import servers_in
from doorward.adapters.ungated import without

__all__ = ["looking"]


@contextmanager
def looking(server: FastMCP[Any]) -> Iterator[None]:
    """While the block runs no gate stands before its components, nor before those of what is mounted in it."""
    with ExitStack() as stack:
        for each in servers_in(server):
            stack.enter_context(without(each.middleware, ComponentMiddleware))
        # Whoever holds the process is no caller whose components could be hidden from him.
        stack.callback(reset_transport, set_transport("stdio"))
        yield
