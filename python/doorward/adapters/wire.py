"""ASGI's own vocabulary, and what of a request is judged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable, MutableMapping
from typing import Any, Final

from doorward.rendering import Response
from doorward.request import Request

__all__ = [
    "DECISION",
    "ASGIApp",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "request_of",
    "respond",
    "without",
    "without_credentials",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

DECISION: Final = "doorward.decision"
"""Where the decision travels: in the ASGI scope, and nowhere else."""

_WITHHELD: Final = frozenset({b"authorization"})
"""What the server behind the gate never sees."""


def request_of(scope: Scope) -> Request:
    client = scope.get("client")
    return Request(
        scheme=scope.get("scheme", "http"),
        host=_host(scope["headers"]),
        method=scope["method"],
        path=scope["path"],
        query=scope.get("query_string", b"").decode("latin-1"),
        raw_headers=scope["headers"],
        peer=client[0] if client else None,
    )


def _host(headers: Iterable[tuple[bytes, bytes]]) -> str:
    hosts = [value for name, value in headers if name.lower() == b"host"]
    # Two Host headers are nobody's host (RFC 9112 section 3.2).
    return hosts[0].decode("latin-1") if len(hosts) == 1 else ""


async def respond(send: Send, response: Response, *, close: bool = False, more_body: bool = False) -> None:
    """Send a response of the gate's own. ``close`` asks the server program to close the connection (HTTP/1.1 only);
    with ``more_body`` the caller sends the last frame, an empty one."""
    # A list of this answer's own: what stands outside may add to it.
    headers = [*response.raw_headers, (b"connection", b"close")] if close else [*response.raw_headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": more_body})


def without_credentials(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What the server behind the gate sees of the headers."""
    return without(headers, _WITHHELD)


def without(headers: Iterable[tuple[bytes, bytes]], names: Container[bytes]) -> list[tuple[bytes, bytes]]:
    """The headers but those of these names, which the gate sets."""
    return [(name, value) for name, value in headers if name.lower() not in names]
