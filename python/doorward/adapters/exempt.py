"""What anybody may ask: the metadata of the resource (RFC 9728), and a browser whether it may ask at all."""

from __future__ import annotations

from typing import Final

from doorward.adapters.draining import Draining
from doorward.adapters.wire import Message, Receive, Scope, Send, request_of, without
from doorward.gate import Gate
from doorward.rendering import Response
from doorward.request import Request
from doorward.request_ids import request_id

__all__ = ["WellKnownASGI", "exempt", "with_cors"]

_EXPOSED: Final = b"WWW-Authenticate, Retry-After, X-Request-Id, Mcp-Session-Id"
_PREFLIGHT_SECONDS: Final = b"600"
_ASKED: Final = b"access-control-request-headers"
_EMPTY: Final = (b"content-length", b"0")


class WellKnownASGI:
    """The metadata alone, where the protected app is mounted below a path: clients ask at the root of the host."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._draining = Draining(gate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is not the metadata is not found."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "not served here"})
        if scope["type"] == "http":
            answer = exempt(self._gate, request_of(scope))
            nothing = Response(404, [_EMPTY, _own_id()], b"")
            await self._draining.respond(scope, receive, with_cors(self._gate, scope, send), answer or nothing)


def exempt(gate: Gate, request: Request) -> Response | None:
    """The metadata paths (exact, GET and HEAD), and the preflight of an allowed origin: nothing of it reaches the
    server."""
    metadata = gate.metadata
    if request.path in metadata.paths and request.method in ("GET", "HEAD"):
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(metadata.document)),
            (b"cache-control", b"max-age=3600"),
            _own_id(),
        ]
        return Response(200, headers, metadata.document)
    origin = request.header("origin")
    if request.method == "OPTIONS" and origin is not None and gate.transport.is_allowed_origin(origin):
        return Response(204, [_EMPTY, _own_id()], b"")
    return None


def with_cors(gate: Gate, scope: Scope, send: Send) -> Send:
    """Adds what a browser needs to see the answer, for allowed origins only (Fetch standard, CORS protocol)."""
    origin = next((value for name, value in scope["headers"] if name.lower() == b"origin"), None)
    if origin is None or not gate.transport.is_allowed_origin(origin.decode("latin-1")):
        return send
    added = [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"Origin"),
    ]
    if scope["method"] == "OPTIONS":
        asked = next((value for name, value in scope["headers"] if name.lower() == _ASKED), b"")
        added += [
            (b"access-control-allow-methods", b"GET, POST, DELETE"),
            (b"access-control-allow-headers", asked or b"Authorization, Content-Type"),
            (b"access-control-max-age", _PREFLIGHT_SECONDS),
        ]

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = without(message.get("headers", ()), {name for name, _ in added if name != b"vary"})
            message = {**message, "headers": [*headers, *added]}
        await send(message)

    return adding


def _own_id() -> tuple[bytes, bytes]:
    """For answers that need no decision, so that every answer has an id."""
    return b"x-request-id", request_id().encode()
