"""The ASGI tier: HTTP in, a decision, HTTP out. Pure ASGI: nothing of a response is ever held back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable, MutableMapping
from dataclasses import replace
from typing import Any, Final

import anyio

from toolgate.adapters.outcome import OutcomeReader
from toolgate.certificates import from_pem
from toolgate.decision import Decision, current_decision
from toolgate.errors import Refused, refusal
from toolgate.gate import Gate
from toolgate.rendering import Response
from toolgate.request import Request
from toolgate.steps import request_id

__all__ = ["DECISION", "ASGIApp", "GateASGI", "Message", "Receive", "Scope", "Send", "without_credentials"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

DECISION: Final = "toolgate.decision"
"""Where the decision travels: in the ASGI scope, and nowhere else."""

_JUDGED_HEADERS: Final = frozenset(
    {
        b"authorization",
        b"client-cert",
        b"content-encoding",
        b"content-length",
        b"mcp-protocol-version",
        b"mcp-session-id",
        b"origin",
        b"x-forwarded-client-cert",
        b"x-forwarded-for",
        b"x-forwarded-proto",
    }
)
_EXPOSED: Final = b"WWW-Authenticate, Retry-After, X-Request-Id, Mcp-Session-Id"
_PREFLIGHT_SECONDS: Final = b"600"
_MAX_UNREAD_DIGITS: Final = 5
"""A declared body under 100,000 bytes is sooner read and dropped than its connection made anew."""
_WITHHELD: Final = frozenset({b"authorization"})
"""What the server behind the gate never sees."""

_READ_SECONDS: Final = 60.0
"""For a whole body to arrive: 70 kB a second at the size limit. Without it, a connection outlives its token."""

_STATELESS: Final = "2026-07-28"
"""The first protocol without sessions; versions are dates, and sort like them."""

_REMOVED: Final = frozenset({"resources/subscribe", "resources/unsubscribe"})
"""Methods that name a resource, and that it no longer has."""

_STREAMS: Final = frozenset({"subscriptions/listen"})


class GateASGI:
    """An ASGI app behind a gate."""

    def __init__(self, gate: Gate, app: ASGIApp) -> None:
        self.gate = gate
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one connection (`architecture`: lifespan passes, http is decided, everything else is refused)."""
        if scope["type"] == "http":
            await self._http(scope, receive, _with_cors(self.gate, scope, send))
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, self._flushing(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "not served here"})

    def prepare(self, scope: Scope, decision: Decision) -> None:
        """What a framework wants to find in the scope about the caller."""

    def finish(self, decision: Decision, outcome: OutcomeReader) -> None:
        """Close what nobody claimed, by what was seen of the answer. A request that was answered 202, as over SSE, is
        still on its way: whoever runs it may claim it, and otherwise it records itself."""
        if not decision.is_open:
            return
        if outcome.status == 202 and decision.call is not None and decision.call.kind == "request":
            decision.leave("success", reason="accepted")
        else:
            result, reason = outcome.result()
            decision.close(result, reason=reason)

    def _flushing(self, send: Send) -> Send:
        """Before the server program hears that the app has ended: afterwards it may end the process."""

        async def flushing(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown"):
                await self.gate.flush()
            await send(message)

        return flushing

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _request(scope)
        exempt = self._exempt(request)
        if exempt is not None:
            await _send(send, exempt)
            return
        decision = await self.gate.begin(request)
        body = b""
        if decision.allowed and request.method == "POST":
            try:
                body = await self._read(receive)
            except Refused as refused:
                decision.refuse(refused)
            except _Disconnected:
                decision.disconnected = True
                decision.close("cancelled")
                return
            except BaseException:
                decision.close("cancelled")
                raise
            else:
                await self.gate.judge(decision, body)
        if not decision.allowed:
            await decision.kept()
            await _send(send, self._refusal(decision, request), close=_has_much_to_say(scope, request))
            return
        await self._forward(scope, receive, send, decision, body)

    def _refusal(self, decision: Decision, request: Request) -> Response:
        """The answer to a refused request, in the words that its protocol has for a method nobody knows."""
        call = decision.call
        is_newer = (request.header("mcp-protocol-version") or "") >= _STATELESS
        if is_newer and call is not None and call.name is None and call.method in _REMOVED:
            decision.refusal = refusal("unknown_method")
        response = self.gate.render(decision)
        if response.status == 404 and request.header("mcp-session-id") is not None and not is_newer:
            # There a 404 means that the session has ended (MCP 2025-11-25, session management).
            return replace(response, status=200)
        return response

    def _exempt(self, request: Request) -> Response | None:
        """The metadata paths (exact, GET and HEAD), and the preflight of an allowed origin: nothing of it reaches the
        server."""
        metadata = self.gate.metadata
        if request.path in metadata.paths and request.method in ("GET", "HEAD"):
            headers = [("content-type", "application/json"), ("content-length", str(len(metadata.document)))]
            return Response(200, [*headers, ("cache-control", "max-age=3600"), _own_id()], metadata.document)
        origin = request.header("origin")
        if request.method == "OPTIONS" and origin is not None and self.gate.transport.is_allowed_origin(origin):
            return Response(204, [("content-length", "0"), _own_id()], b"")
        return None

    async def _read(self, receive: Receive) -> bytes:
        """The whole body, or `Malformed` as soon as it is longer than allowed: the rest is never read."""
        chunks: list[bytes] = []
        size = 0
        with anyio.move_on_after(_READ_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Disconnected
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > self.gate.max_body_bytes:
                    raise refusal("body_too_large")
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
        raise refusal("body_too_slow")

    async def _forward(self, scope: Scope, receive: Receive, send: Send, decision: Decision, body: bytes) -> None:
        scope = dict(scope)
        scope["headers"] = without_credentials(scope["headers"])
        scope[DECISION] = decision
        self.prepare(scope, decision)
        outcome = OutcomeReader()
        exchange = _Exchange(receive, send, body, decision, outcome, on_complete=self.finish)
        token = current_decision.set(decision)
        try:
            if not self._ends_with_its_token(decision):
                await self._app(scope, exchange.receive, exchange.send)
                return
            remaining = max(0.0, decision.good_until - self.gate.now())
            with anyio.move_on_after(remaining) as stream:
                await self._app(scope, exchange.receive, exchange.send)
            if stream.cancelled_caught and not await exchange.end():
                decision.refuse(refusal("token_expired"))
                await _send(send, self.gate.render(decision))
        except BaseException as error:
            outcome.failed(error)
            raise
        finally:
            current_decision.reset(token)
            self.finish(decision, outcome)

    def _ends_with_its_token(self, decision: Decision) -> bool:
        """A stream that carries no call does; the answer of a running tool is not cut."""
        return decision.call is None or decision.call.method in _STREAMS


class _Disconnected(Exception):
    """The client went before its request was complete."""


class _Exchange:
    """One HTTP exchange with the server behind the gate: it gets the body that was judged and nothing more, then the
    real `receive` goes on, since servers wait there for the disconnect; every frame passes at once, the last one
    after the record."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        body: bytes,
        decision: Decision,
        outcome: OutcomeReader,
        *,
        on_complete: Callable[[Decision, OutcomeReader], None],
    ) -> None:
        self._receive = receive
        self._send = send
        self._body: bytes | None = body
        self._decision = decision
        self._outcome = outcome
        self._on_complete = on_complete
        self._started = False
        self._complete = False

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        message = await self._receive()
        while message["type"] == "http.request":
            message = await self._receive()
        if not self._complete:
            self._decision.disconnected = self._outcome.disconnected = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            own = (b"x-request-id", self._decision.request_id.encode())
            headers = [*_without(message.get("headers", ()), {b"x-request-id"}), own]
            message = {**message, "headers": headers}
            self._outcome.start(message["status"], headers)
        elif message["type"] == "http.response.body":
            self._complete = not message.get("more_body", False)
            self._outcome.body(message.get("body", b""), last=self._complete)
            if self._complete:
                self._on_complete(self._decision, self._outcome)
                await self._decision.kept()
        await self._send(message)

    async def end(self) -> bool:
        """Complete an answer that was cut; whether there was one."""
        if self._started and not self._complete:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})
        return self._started


def _request(scope: Scope) -> Request:
    headers = [(name.lower(), value) for name, value in scope["headers"]]
    hosts = [value for name, value in headers if name == b"host"]
    client = scope.get("client")
    return Request(
        scheme=scope.get("scheme", "http"),
        # Two Host headers are nobody's host (RFC 9112 section 3.2).
        host=hosts[0].decode("latin-1") if len(hosts) == 1 else "",
        method=scope["method"],
        path=scope["path"],
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=[(name.decode(), value.decode("latin-1")) for name, value in headers if name in _JUDGED_HEADERS],
        peer=client[0] if client else None,
        certificate_sha256=_certificate(scope),
    )


def _certificate(scope: Scope) -> bytes | None:
    """Of the client, where the server program tells (ASGI TLS extension); its own comes first in the chain."""
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain")
    return from_pem(chain[0]) if chain else None


def _own_id() -> tuple[str, str]:
    """For answers that need no decision, so that every answer has an id."""
    return "x-request-id", request_id()


def _has_much_to_say(scope: Scope, request: Request) -> bool:
    """Whether a refused client may go on sending a body for long. HTTP/1.1 has no other way to stop it than to hang
    up."""
    if request.method != "POST" or not scope.get("http_version", "1.1").startswith("1"):
        return False
    declared = request.header("content-length")
    return declared is None or not declared.isdecimal() or len(declared) > _MAX_UNREAD_DIGITS


async def _send(send: Send, response: Response, *, close: bool = False) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in response.headers]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def without_credentials(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What the server behind the gate sees of the headers."""
    return _without(headers, _WITHHELD)


def _without(headers: Iterable[tuple[bytes, bytes]], names: Container[bytes]) -> list[tuple[bytes, bytes]]:
    """The headers but those of these names, which the gate sets."""
    return [(name, value) for name, value in headers if name.lower() not in names]


def _with_cors(gate: Gate, scope: Scope, send: Send) -> Send:
    """Adds what a browser needs to see the answer, for allowed origins only (Fetch standard, CORS protocol)."""
    origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
    if origin is None or not gate.transport.is_allowed_origin(origin.decode("latin-1")):
        return send
    added = [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"Origin"),
    ]
    if scope["method"] == "OPTIONS":
        asked = next((value for name, value in scope["headers"] if name == b"access-control-request-headers"), b"")
        added += [
            (b"access-control-allow-methods", b"GET, POST, DELETE"),
            (b"access-control-allow-headers", asked or b"Authorization, Content-Type"),
            (b"access-control-max-age", _PREFLIGHT_SECONDS),
        ]

    async def with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = _without(message.get("headers", ()), {name for name, _ in added if name != b"vary"})
            message = {**message, "headers": [*headers, *added]}
        await send(message)

    return with_cors
