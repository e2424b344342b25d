"""Where the gate plugs in: adapters translate, they never decide."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from toolgate.adapters.asgi import GateASGI
from toolgate.gate import Gate

__all__ = ["protect"]


def protect(gate: Gate, server: Any, **options: Any) -> GateASGI:
    """The ASGI app that serves ``server`` behind ``gate``. A framework is only imported where the server already is
    one of it."""
    adapt: Callable[[Gate, Any], GateASGI] = GateASGI
    if "mcp.server.lowlevel.server" in sys.modules:
        from toolgate.adapters.mcp import is_server, protect_app, protect_server

        if is_server(server):
            return protect_server(gate, server, **options)
        adapt = protect_app
    if not callable(server):
        raise TypeError(f"{type(server).__name__} is neither an MCP server of the official SDK nor an ASGI app")
    if options:
        raise TypeError(f"options are for the SDK's app; an ASGI app takes none: {', '.join(sorted(options))}")
    return adapt(gate, server)
