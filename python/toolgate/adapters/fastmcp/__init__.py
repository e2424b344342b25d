"""fastmcp: both tiers around a `FastMCP`, and its components' own dispatch.

fastmcp answers a message in two steps: the SDK's server underneath receives it, and its own chain runs the component.
The message tier sits in the first, like that of any server of the SDK. A component that calls another one makes no
message, and meets only the second: there `Component` decides.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastmcp import FastMCP
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware

from toolgate.adapters.asgi import GateASGI
from toolgate.adapters.fastmcp.components import ComponentMiddleware
from toolgate.adapters.fastmcp.mounts import Mounts
from toolgate.adapters.local import LocalCredential
from toolgate.adapters.mcp import ServerASGI
from toolgate.adapters.messages import GateMiddleware
from toolgate.adapters.messages import install as install_below
from toolgate.gate import Gate

__all__ = ["ComponentMiddleware", "is_server", "protect_local", "protect_server"]


def is_server(server: object) -> bool:
    """Whether this adapter knows the server."""
    return isinstance(server, FastMCP)


def protect_server(gate: Gate, server: FastMCP[Any], **options: Any) -> GateASGI:
    """The server's HTTP app behind the gate. Raises `ValueError` for a server that brings auth of its own."""
    _check_bare(server)
    install(gate, server)
    options.setdefault("path", urlsplit(gate.resource).path or "/")
    # Host and Origin are judged in one place, before credentials.
    options.setdefault("host_origin_protection", False)
    return ServerASGI(gate, AuthContextMiddleware(server.http_app(**options)))


def protect_local(gate: Gate, server: FastMCP[Any], credential: LocalCredential) -> None:
    """The server's messages that come without HTTP, behind the gate. Raises `ValueError` for a server that brings auth
    of its own."""
    _check_bare(server)
    install(gate, server).local = credential


def install(gate: Gate, server: FastMCP[Any]) -> GateMiddleware:
    """The message tier of the server, put there if need be, and the gate in its own chain and those of the servers
    mounted in it. Raises `ValueError` for the server of another gate."""
    below = install_below(gate, server._mcp_server)
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
    if not known:
        # Before everything that a refused call must not reach.
        known = [ComponentMiddleware(gate)]
        server.middleware.insert(0, known[0])
    return known[0]


def _check_bare(server: FastMCP[Any]) -> None:
    if server.auth is not None:
        raise ValueError(
            "the server brings auth of its own: remove auth= from FastMCP(...), the gate takes its place "
            "(or serve FastMCP(auth=gate.auth()) by itself, without gate.protect)"
        )
