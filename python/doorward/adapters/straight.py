"""The straight way of a message from the gate to the SDK's transport.

The app that the SDK makes of a server finds the route and bounds the body. The gate has done both by then: it knows
which path it judged, and hands on a body that it has read whole.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.routing import Match

from doorward.adapters.wire import ASGIApp

__all__ = ["Straight", "straight"]


class Straight(NamedTuple):
    """What the app's router would come to for one path, and what it would leave in the scope."""

    transport: ASGIApp
    max_body_bytes: int
    """A longer body has to take the app's own way, which refuses it."""
    found: dict[str, Any]
    """For the scope, beside ``path_params`` that are of each request."""


def straight(app: Any, path: str) -> Straight | None:
    """The straight way to what ``app`` has at ``path``; None for anything but what the SDK makes of a server: whatever
    somebody has put between goes on to stand there."""
    if type(app) is not Starlette or app.user_middleware or app.exception_handlers or app.debug:
        return None
    for route in app.routes:
        match, found = route.matches({"type": "http", "method": "POST", "path": path, "root_path": ""})
        if match is Match.NONE:
            continue
        endpoint: Any = getattr(route, "app", None)
        if match is Match.PARTIAL or found["path_params"] or not _is_the_sdks(endpoint, "StreamableHTTPASGIApp"):
            return None
        bounded = getattr(endpoint.session_manager, "asgi_app", None)
        if bounded is None or not _is_the_sdks(bounded, "RequestBodyLimitMiddleware"):
            return None
        left = {"app": app, "router": app.router, "route": route, "endpoint": found["endpoint"]}
        return Straight(bounded.app, bounded.max_body_size, left)
    return None


def _is_the_sdks(part: Any, name: str) -> bool:
    """By name: a version that has moved or renamed it is served the long way."""
    return type(part).__name__ == name and type(part).__module__.startswith("mcp.server.")
