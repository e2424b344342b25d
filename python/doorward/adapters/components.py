"""What the official SDK runs for a message, and the calls that a component of an `MCPServer` makes of another, of which
there is no message."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final

from mcp.server import Server
from mcp.server.lowlevel.server import HandlerEntry
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError, UnexpectedResourceError, UnexpectedToolError

from doorward.adapters.messages import error_for
from doorward.adapters.nested import Component, Nesting
from doorward.gate import Gate

__all__ = ["install", "install_below"]


def install(gate: Gate, server: MCPServer[Any]) -> None:
    """The gate around what the server runs, once: its handlers and its tools come the same way."""
    if not isinstance(vars(server).get("call_tool"), _Gated):
        nesting = Nesting(gate, error_for, (ToolError, ResourceError), _is_crash)
        for attribute, (method, asked) in _METHODS.items():
            setattr(server, attribute, _Gated(nesting, server, method, asked, getattr(server, attribute)))


def _is_crash(error: Exception) -> bool:
    """Whether the SDK raised it for an exception that the component did not mean to raise."""
    return isinstance(error, UnexpectedToolError | UnexpectedResourceError)


def install_below(gate: Gate, server: Server[Any]) -> None:
    """The gate around the handlers of a low-level server, once, also such as are added later: behind its middleware."""
    if not isinstance(vars(server).get("get_request_handler"), _Handlers):
        handlers = _Handlers(Nesting(gate, error_for), server, server.get_request_handler)
        server.get_request_handler = handlers  # type: ignore[method-assign]


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

_ASKED: Final = frozenset(method for method, _ in _METHODS.values())


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


class _Handlers:
    """How the server finds what answers to a message."""

    def __init__(self, nesting: Nesting, server: Server[Any], find: Any) -> None:
        self._nesting = nesting
        self._server = server
        self._find = find
        self._made: dict[str, tuple[HandlerEntry[Any], HandlerEntry[Any]]] = {}
        """Of each method: the server's own, and that with the gate around it."""

    def __call__(self, method: str) -> HandlerEntry[Any] | None:
        """The handler of the method, where it runs something with the gate around it."""
        entry: HandlerEntry[Any] | None = self._find(method)
        if entry is None or method not in _ASKED:
            return entry
        known = self._made.get(method)
        if known is None or known[0] is not entry:
            known = self._made[method] = (entry, replace(entry, handler=partial(self._run, method, entry.handler)))
        return known[1]

    async def _run(self, method: str, handler: Any, ctx: Any, params: Any) -> Any:
        component = Component(self._server, method, str(params.uri if method == "resources/read" else params.name))
        arguments = getattr(params, "arguments", None)
        return await self._nesting.run(component, arguments, partial(handler, ctx, params))
