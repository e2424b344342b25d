"""What anybody may ask: the metadata of the resource (RFC 9728), and a browser whether it may ask at all."""

from __future__ import annotations

from typing import Final

from doorward.adapters.cors import with_cors
from doorward.adapters.draining import Draining
from doorward.adapters.paths import is_at
from doorward.adapters.wire import Receive, Scope, Send, request_of
from doorward.gate import Gate
from doorward.rendering import Response
from doorward.request import Request
from doorward.request_ids import request_id

__all__ = ["WellKnownASGI", "exempt"]

_EMPTY: Final = (b"content-length", b"0")


class WellKnownASGI:
    """The metadata alone, where the protected app is mounted below a path: clients ask at the root of the host."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._draining = Draining(gate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is not the metadata is not found."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "not served here"})
        if scope["type"] == "http":
            answer = exempt(self.gate, request_of(scope), scope)
            nothing = Response(404, [_EMPTY, _own_id()], b"")
            await self._draining.respond(scope, receive, with_cors(self.gate, scope, send), answer or nothing)


def exempt(gate: Gate, request: Request, scope: Scope) -> Response | None:
    """The metadata paths (exact, GET and HEAD), and the preflight of an allowed origin: nothing of it reaches the
    server."""
    metadata = gate.metadata
    if request.method in ("GET", "HEAD") and any(is_at(scope, path) for path in metadata.paths):
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


def _own_id() -> tuple[bytes, bytes]:
    """For answers that need no decision, so that every answer has an id."""
    return b"x-request-id", request_id().encode()
