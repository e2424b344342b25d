"""Puts the message tier into a server of fastmcp and into those mounted in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fastmcp import FastMCP
from fastmcp.server.auth import AccessToken
from mcp.server.sse import SseServerTransport

from doorward.adapters import messages
from doorward.adapters.fastmcp.components import ComponentMiddleware
from doorward.adapters.fastmcp.mounts import Mounts
from doorward.adapters.mcp import ServerASGI
from doorward.adapters.messages import GateMiddleware
from doorward.gate import Gate

__all__ = ["FastMCPASGI", "install"]


class FastMCPASGI(ServerASGI):
    """The ASGI tier of a server of fastmcp, which makes its own kind of access token of any other, at each look."""

    token_type: ClassVar[type[AccessToken]] = AccessToken

    async def tool_names(self) -> Sequence[str]:
        if not isinstance(self.server, FastMCP):
            return ()
        # Without the middleware, of which the gate is a part: there is no caller here.
        return [tool.name for tool in await self.server.list_tools(run_middleware=False)]

    def found_in(self, app: Any) -> FastMCPASGI:
        """An app of fastmcp's says where it expects messages."""
        state = getattr(app, "state", None)
        kind = getattr(state, "transport_type", None)
        self.messages_at = getattr(state, "path", None) if kind == "streamable-http" else _mailbox(app)
        return self


def _mailbox(app: Any) -> str | None:
    """Where messages come in over the oldest transport, which has two paths; None where it is not known."""
    for route in getattr(getattr(app, "router", None), "routes", ()):
        handler = getattr(route, "app", None)
        # Behind the SDK's own check of credentials, where the server has an `auth=`.
        handler = getattr(handler, "app", handler)
        if isinstance(getattr(handler, "__self__", None), SseServerTransport):
            return f"{route.path}/"
    return None


def install(gate: Gate, server: FastMCP[Any]) -> GateMiddleware:
    """The message tier of the server, put there if need be, and the gate in its own chain and those of the servers
    mounted in it. Raises `ValueError` for the server of another gate."""
    below = messages.install(gate, server._mcp_server)
    own = _component_middleware(gate, server)
    if own.mounts is None:

        def welcome(mounted: FastMCP[Any]) -> None:
            middleware = _component_middleware(gate, mounted)
            # One that is protected for itself as well keeps its own names.
            middleware.mounts = middleware.mounts or own.mounts

        own.mounts = Mounts(server)
        own.mounts.each(welcome)
    return below


def _component_middleware(gate: Gate, server: FastMCP[Any]) -> ComponentMiddleware:
    known = [middleware for middleware in server.middleware if isinstance(middleware, ComponentMiddleware)]
    if any(middleware.gate is not gate for middleware in known):
        raise ValueError(f"the server {server.name!r} stands behind another gate already: one server, one gate")
    middleware = known[0] if known else ComponentMiddleware(gate)
    # Before everything that a refused call must not reach, caches of answers above all.
    server.middleware[:] = [middleware, *(other for other in server.middleware if other is not middleware)]
    middleware.guard(server)
    return middleware
