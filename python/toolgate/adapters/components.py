"""Calls that a component of an `MCPServer` makes of another: the SDK runs them without a message."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

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
        for attribute, (method, asked) in _METHODS.items():
            setattr(server, attribute, _Gated(nesting, server, method, asked, getattr(server, attribute)))


def _named(name: str, arguments: dict[str, Any] | None = None, *_: Any, **__: Any) -> tuple[str, dict[str, Any] | None]:
    return str(name), arguments


def _read(uri: Any, *_: Any, **__: Any) -> tuple[str, None]:
    return str(uri), None


_METHODS: Final = {
    "call_tool": ("tools/call", _named),
    "read_resource": ("resources/read", _read),
    "get_prompt": ("prompts/get", _named),
}
"""Each of the server's methods, with the message that it answers and how it is told what to run."""


class _Gated:
    """One of the server's methods: `call_tool`, `read_resource` or `get_prompt`."""

    def __init__(self, nesting: Nesting, server: MCPServer[Any], method: str, asked: Any, run: Any) -> None:
        self._nesting = nesting
        self._server = server
        self._method = method
        self._asked = asked
        self._run = run

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the component under the decision made for it, or under one of its own."""
        name, arguments = self._asked(*args, **kwargs)
        component = Component(self._server, self._method, name)
        return await self._nesting.run(component, arguments, partial(self._run, *args, **kwargs))
