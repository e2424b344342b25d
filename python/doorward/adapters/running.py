"""What a protected `MCPServer` makes of itself, as ``server.run("streamable-http")`` does: behind the gate too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from doorward.adapters.asgi import GateASGI
from doorward.adapters.wire import ASGIApp

__all__ = ["NO_SECOND_OPINION", "Tier", "bare_app", "guard_apps"]

Tier = Callable[[ASGIApp, "str | None"], GateASGI]
"""The ASGI tier around an app, and where that expects messages if it has one place for them."""

NO_SECOND_OPINION: Final = TransportSecuritySettings(enable_dns_rebinding_protection=False)
"""Host and Origin are judged in one place, before credentials: a second opinion that spells them differently would
answer 421 to what the gate has let through, and does so by default for a public host name."""

_PATH: Final = "/mcp"
"""The SDK's own, where nobody names another."""


def guard_apps(server: MCPServer[Any], tier: Tier) -> None:
    """From now on what the server makes of itself has the gate in it, once."""
    for attribute in ("streamable_http_app", "sse_app"):
        if not isinstance(vars(server).get(attribute), _Guarded):
            setattr(server, attribute, _Guarded(getattr(server, attribute), tier))


def bare_app(server: Any, **options: Any) -> Starlette:
    """The server's Streamable HTTP app without the gate, which is put around it."""
    make = server.streamable_http_app
    app: Starlette = (make.make if isinstance(make, _Guarded) else make)(**options)
    return app


class _Guarded:
    """One of the server's methods that make an app."""

    def __init__(self, make: Callable[..., Starlette], tier: Tier) -> None:
        self.make = make
        self._tier = tier

    def __call__(self, **options: Any) -> Starlette:
        """An app of the SDK's own kind, in which a request meets the gate first."""
        if options.get("transport_security") is None:
            options["transport_security"] = NO_SECOND_OPINION
        path = None if "sse" in self.make.__name__ else options.get("streamable_http_path", _PATH)
        app = self.make(**options)
        app.add_middleware(lambda inner: self._tier(inner, path))
        return app
