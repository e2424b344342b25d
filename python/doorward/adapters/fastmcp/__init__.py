"""fastmcp: both tiers around a `FastMCP`, and its components' own dispatch.

fastmcp answers a message in two steps: the SDK's server underneath receives it, and its own chain runs the component.
The message tier sits in the first, like that of any server of the SDK. A component that calls another one makes no
message, and meets only the second: there `ComponentMiddleware` has it decided.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastmcp import FastMCP

from doorward.adapters.asgi import GateASGI
from doorward.adapters.fastmcp.auth import FastMCPVerifier, GateAuth
from doorward.adapters.fastmcp.components import ComponentMiddleware
from doorward.adapters.fastmcp.installing import FastMCPASGI, install
from doorward.adapters.local import LocalCredential
from doorward.adapters.wire import ASGIApp
from doorward.gate import Gate

__all__ = [
    "ComponentMiddleware",
    "FastMCPVerifier",
    "GateAuth",
    "is_server",
    "protect_app",
    "protect_local",
    "protect_server",
    "server_of",
]


def is_server(server: object) -> bool:
    """Whether this adapter knows the server."""
    return isinstance(server, FastMCP)


def protect_server(gate: Gate, server: FastMCP[Any], **options: Any) -> GateASGI:
    """The server's HTTP app behind the gate. Raises `ValueError` for a server that brings auth of its own."""
    _check_bare(server)
    install(gate, server).serve_over_http()
    path = options.setdefault("path", urlsplit(gate.resource).path or "/")
    # Host and Origin are judged in one place, before credentials.
    options.setdefault("host_origin_protection", False)
    app = server.http_app(**options)
    return FastMCPASGI(gate, app, server=server, path=path).found_in(app)


def server_of(app: object) -> FastMCP[Any] | None:
    """The server that an app was made of (`FastMCP.http_app`); None for any other app."""
    server = getattr(getattr(app, "state", None), "fastmcp_server", None)
    return server if isinstance(server, FastMCP) else None


def protect_app(gate: Gate, server: FastMCP[Any], app: ASGIApp) -> GateASGI:
    """An app that was made of the server before, behind the gate. Raises `ValueError` for a server that brings auth of
    its own."""
    _check_bare(server)
    install(gate, server).serve_over_http()
    return FastMCPASGI(gate, app, server=server).found_in(app)


def protect_local(gate: Gate, server: FastMCP[Any], credential: LocalCredential) -> None:
    """The server's messages that come without HTTP, behind the gate. Raises `ValueError` for a server that brings auth
    of its own."""
    _check_bare(server)
    install(gate, server).serve_locally(credential)


def _check_bare(server: FastMCP[Any]) -> None:
    if server.auth is not None:
        raise ValueError(
            "the server brings auth of its own: remove auth= from FastMCP(...), the gate takes its place "
            "(or serve FastMCP(auth=gate.auth()) by itself, without gate.protect)"
        )
