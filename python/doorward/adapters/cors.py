"""What browsers are told about an answer (Fetch standard, CORS protocol)."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Final

from doorward.adapters.wire import Message, Scope, Send, without
from doorward.gate import Gate

__all__ = ["with_cors"]

_EXPOSED: Final = (
    b"WWW-Authenticate",
    b"Retry-After",
    b"X-Request-Id",
    b"Mcp-Session-Id",
    b"MCP-Protocol-Version",
)
_PREFLIGHT_SECONDS: Final = b"600"
_ASKED: Final = b"access-control-request-headers"
_EXPOSE: Final = b"access-control-expose-headers"
_VARY: Final = b"vary"

Headers = Iterable[tuple[bytes, bytes]]


def with_cors(gate: Gate, scope: Scope, send: Send) -> Send:
    """Adds the CORS headers for allowed origins, and to every answer ``Vary: Origin``: a cache must not give a page the
    answer that was made for another origin, or for a client without one."""
    set_here, varies = _own_headers(gate, scope)

    def adding(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
            if set_here:
                exposed = (_EXPOSE, b", ".join(_union(_listed(headers, _EXPOSE), _EXPOSED)))
                names = {_EXPOSE, *(name for name, _ in set_here)}
                headers = [*without(headers, names), *set_here, exposed]
            missing = _missing(varies, _listed(headers, _VARY))
            if missing:
                headers.append((_VARY, b", ".join(missing)))
            message = {**message, "headers": headers}
        return send(message)

    return adding


def _own_headers(gate: Gate, scope: Scope) -> tuple[list[tuple[bytes, bytes]], tuple[bytes, ...]]:
    """The headers that the gate decides on alone, and the request headers that the answer depends on."""
    origin = next((value for name, value in scope["headers"] if name.lower() == b"origin"), None)
    if origin is None or not gate.transport.is_allowed_origin(origin.decode("latin-1")):
        return [], (b"Origin",)
    allowed = [(b"access-control-allow-origin", origin)]
    if scope["method"] != "OPTIONS":
        return allowed, (b"Origin",)
    asked = next((value for name, value in scope["headers"] if name.lower() == _ASKED), b"")
    allowed += [
        (b"access-control-allow-methods", b"GET, POST, DELETE"),
        (b"access-control-allow-headers", asked or b"Authorization, Content-Type"),
        (b"access-control-max-age", _PREFLIGHT_SECONDS),
    ]
    return allowed, (b"Origin", b"Access-Control-Request-Headers")


def _listed(headers: Headers, name: bytes) -> list[bytes]:
    """The members of a header that is a list (RFC 9110 section 5.6.1)."""
    values = (value for each, value in headers if each.lower() == name)
    return [member for value in values for part in value.split(b",") if (member := part.strip())]


def _missing(wanted: Iterable[bytes], present: Iterable[bytes]) -> list[bytes]:
    """Those of ``wanted`` that are not in ``present``, in any case; none where that has ``*``."""
    known = {name.lower() for name in present}
    return [] if b"*" in known else [name for name in wanted if name.lower() not in known]


def _union(present: list[bytes], added: Iterable[bytes]) -> list[bytes]:
    # Also behind a "*", which stands for every name only in requests without credentials.
    known = {name.lower() for name in present}
    return [*present, *(name for name in added if name.lower() not in known)]
