"""Calls that a component of an `MCPServer` makes of another: the SDK runs them without a message."""

from __future__ import annotations

from functools import partial
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError

from toolgate.adapters.messages import error_for
from toolgate.adapters.nested import Component, Nesting
from toolgate.gate import Gate

__all__ = ["install"]


def install(gate: Gate, server: MCPServer[Any]) -> None:
    """The gate around what the server runs, once: its handlers and its tools come the same way."""
    if not isinstance(vars(server).get("call_tool"), _Gated):
        nesting = Nesting(gate, error_for, (ToolError, ResourceError))
        for attribute, method in _METHODS.items():
            setattr(server, attribute, _Gated(nesting, server, method, getattr(server, attribute)))


_METHODS = {"call_tool": "tools/call", "read_resource": "resources/read", "get_prompt": "prompts/get"}


class _Gated:
    """One of the server's methods: `call_tool`, `read_resource` or `get_prompt`."""

    def __init__(self, nesting: Nesting, server: MCPServer[Any], method: str, run: Any) -> None:
        self._nesting = nesting
        self._server = server
        self._method = method
        self._run = run

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the component under the decision made for it, or under one of its own."""
        name, arguments = _asked(self._method, *args, **kwargs)
        component = Component(self._server, self._method, name)
        return await self._nesting.run(component, arguments, partial(self._run, *args, **kwargs))


def _asked(method: str, *args: Any, **kwargs: Any) -> tuple[str, dict[str, Any] | None]:
    """The name and the arguments, wherever they stand: all three methods take the name first."""
    name = args[0] if args else kwargs["uri" if method == "resources/read" else "name"]
    if method == "resources/read":
        return str(name), None
    return str(name), args[1] if len(args) > 1 else kwargs.get("arguments")
