"""Where the gate plugs in: adapters translate, they never decide."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from doorward.adapters.asgi import GateASGI
from doorward.adapters.exempt import WellKnownASGI
from doorward.adapters.local import LocalCredential
from doorward.extras import install
from doorward.gate import Gate

__all__ = ["LocalCredential", "auth", "middleware", "protect", "protect_stdio", "token_verifier", "well_known"]

_log = logging.getLogger("doorward")


def protect(gate: Gate, server: Any, **options: Any) -> GateASGI:
    """The ASGI app that serves ``server`` behind ``gate``. A framework is only imported where the server already is
    one of it."""
    _ensure_made(server)
    adapt: Callable[[Gate, Any], GateASGI] = GateASGI
    if _has_fastmcp():
        from doorward.adapters import fastmcp

        if fastmcp.is_server(server):
            return fastmcp.protect_server(gate, server, **options)
        inside = fastmcp.server_of(server)
        if inside is not None and not options:
            return fastmcp.protect_app(gate, inside, server)
    if _has_sdk():
        from doorward.adapters.mcp import is_server, protect_app, protect_server

        if is_server(server):
            return protect_server(gate, server, **options)
        adapt = protect_app
    if not callable(server):
        raise TypeError(
            f"{type(server).__name__} is neither a server of the official SDK (2.3 or newer) or of fastmcp (4.1 or "
            "newer) nor an ASGI app; an older server has one: gate.protect(server.streamable_http_app())"
        )
    if options:
        raise TypeError(f"options are for the SDK's app; an ASGI app takes none: {', '.join(sorted(options))}")
    if gate.configuration.asks_humans and not gate.has_approver:
        _log.warning(
            "rules with confirm = true let no call pass here: before an app whose server is not known nobody can be "
            "asked. Protect the server itself, or name an approver"
        )
    return adapt(gate, server)


def protect_stdio(gate: Gate, server: Any, credential: LocalCredential) -> Any:
    """The server itself: its messages that come without HTTP are decided for whoever holds the credential."""
    _ensure_made(server)
    if _has_fastmcp():
        from doorward.adapters import fastmcp

        if fastmcp.is_server(server):
            fastmcp.protect_local(gate, server, credential)
            return server
    if _has_sdk():
        from doorward.adapters import mcp

        if mcp.is_server(server):
            mcp.protect_local(gate, server, credential)
            return server
    raise TypeError(f"{type(server).__name__} is no server of the official SDK or of fastmcp")


def token_verifier(gate: Gate) -> Any:
    """The verifier alone: fastmcp's kind where that is installed, which the official SDK takes as well."""
    if find_spec("fastmcp") is not None:
        from doorward.adapters.fastmcp import FastMCPVerifier

        return FastMCPVerifier(gate)
    with _needing("gate.token_verifier()", "mcp"):
        from doorward.adapters.verifier import SDKVerifier

    return SDKVerifier(gate)


def auth(gate: Gate) -> Any:
    """The ASGI tier as a provider of fastmcp's."""
    with _needing("gate.auth()", "fastmcp"):
        from doorward.adapters.fastmcp import GateAuth

    return GateAuth(gate)


def middleware(gate: Gate) -> Any:
    """The gate in fastmcp's own chain."""
    with _needing("gate.middleware()", "fastmcp"):
        from doorward.adapters.fastmcp import ComponentMiddleware

    return ComponentMiddleware(gate)


def well_known(gate: Gate) -> Any:
    """The metadata alone, as an ASGI app."""
    return WellKnownASGI(gate)


@contextmanager
def _needing(what: str, extra: str) -> Iterator[None]:
    """A missing framework is told by the extra that brings it."""
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("fastmcp", "mcp"):
            raise
        raise ModuleNotFoundError(f"{what} needs {extra}: {install(extra)}", name=missing.name) from None


def _ensure_made(server: Any) -> None:
    """A class is callable and would pass for an app; one that is an app makes what can be awaited."""
    if isinstance(server, type) and not hasattr(server, "__await__"):
        raise TypeError(f"{server.__name__} is a class: give the server that was made of it, {server.__name__}(...)")


def _has_sdk() -> bool:
    """Whether there are servers of the official SDK that are known here. Before version 2 there were others in its
    place: their apps are ASGI apps like any."""
    return "mcp.server.lowlevel.server" in sys.modules and find_spec("mcp.server.mcpserver") is not None


def _has_fastmcp() -> bool:
    return "fastmcp.server.server" in sys.modules and _has_sdk()
