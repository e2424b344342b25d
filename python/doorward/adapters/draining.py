"""Answers to requests whose body was not read: the answer goes out first, then the rest of the body is dropped.

A server program closes the connection of a request that was answered early. A reverse proxy that is still sending the
body then reports 502 or a reset instead of the answer (RFC 9112 section 9.6 describes the same loss without a proxy).
"""

from __future__ import annotations

from typing import Final

import anyio

from doorward.adapters.bodies import Body
from doorward.adapters.wire import Receive, Scope, Send, request_of, respond
from doorward.addresses import site_of
from doorward.gate import Gate
from doorward.rendering import Response

__all__ = ["DRAIN_FACTOR", "DRAIN_SECONDS", "MAX_DRAINS", "MAX_DRAINS_OF_PEER", "Draining"]

MAX_DRAINS: Final = 64
"""Exchanges of one app that are drained at the same time: a refused request must not keep more than these open."""

MAX_DRAINS_OF_PEER: Final = 4
"""Of them for one peer address (for IPv6 its /64), so that one client cannot use up all of them."""

DRAIN_SECONDS: Final = 5.0
"""For the rest of one body: 1.6 MB a second at the default size limit."""

DRAIN_FACTOR: Final = 2
"""Times ``max_body_bytes`` are dropped of one body: one that is somewhat over the size limit still gets its 413."""

_LARGE: Final = 100_000
"""Bytes. HTTP/1.1 stops a client that sends a larger body by closing the connection; a smaller one is read and dropped
by the server program, which costs less than a new connection."""


class Draining:
    """Answers of one app to requests whose body it has not read to its end."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._drains: dict[str, int] = {}
        """How many exchanges are being drained, by peer."""

    async def respond(
        self, scope: Scope, receive: Receive, send: Send, response: Response, *, body: Body | None = None
    ) -> None:
        """Send the response, and drop what is left of the request's body. ``body`` is what was read of it; None means
        nothing."""
        has_begun = body is not None and body.has_begun
        is_over = body is not None and body.is_complete
        if is_over or not _is_http1(scope) or not (has_begun or _declares_body(scope)):
            await respond(send, response)
            return
        # Reading it would ask for it: the server program then sends 100 Continue.
        waits = not has_begun and any(name.lower() == b"expect" for name, _ in scope["headers"])
        peer = site_of(self._gate.transport.address(request_of(scope)))
        if waits or not self._take(peer):
            await respond(send, response, close=True)
            return
        try:
            # After the last frame a server program reports a disconnect and passes no more of the body on.
            await respond(send, response, close=_may_be_large(scope), more_body=True)
            await _drop(receive, max_bytes=DRAIN_FACTOR * self._gate.max_body_bytes)
        finally:
            self._give_back(peer)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _take(self, peer: str) -> bool:
        """Whether one more exchange of this peer may be drained."""
        of_peer = self._drains.get(peer, 0)
        if of_peer >= MAX_DRAINS_OF_PEER or sum(self._drains.values()) >= MAX_DRAINS:
            return False
        self._drains[peer] = of_peer + 1
        return True

    def _give_back(self, peer: str) -> None:
        left = self._drains[peer] - 1
        if left:
            self._drains[peer] = left
        else:
            del self._drains[peer]


async def _drop(receive: Receive, *, max_bytes: int) -> None:
    dropped = 0
    with anyio.move_on_after(DRAIN_SECONDS):
        while dropped <= max_bytes:
            message = await receive()
            if message["type"] != "http.request" or not message.get("more_body", False):
                return
            dropped += len(message.get("body", b""))


def _is_http1(scope: Scope) -> bool:
    """HTTP/2 ends the one stream and not the connection (RFC 9113 section 8.1), and some clients wait for its end
    without sending more."""
    version: str = scope.get("http_version", "1.1")
    return version.startswith("1")


def _declares_body(scope: Scope) -> bool:
    """Whether the request has a body (RFC 9112 section 6.3)."""
    for name, value in scope["headers"]:
        lowered = name.lower()
        if lowered == b"transfer-encoding" or (lowered == b"content-length" and value != b"0"):
            return True
    return False


def _may_be_large(scope: Scope) -> bool:
    declared = next((value for name, value in scope["headers"] if name.lower() == b"content-length"), b"")
    return not declared.isdigit() or len(declared) > len(str(_LARGE)) or int(declared) >= _LARGE
