"""The ASGI tier: HTTP in, a decision, HTTP out. Pure ASGI: nothing of a response is ever held back, but a list of a
server that nobody here knows."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar, Token
from functools import partial
from typing import Any, Final

from doorward import background
from doorward._core import Recognised
from doorward.adapters.bodies import Body, Disconnected, read_body, run_unless_gone
from doorward.adapters.cors import with_cors
from doorward.adapters.draining import Draining
from doorward.adapters.exempt import exempt
from doorward.adapters.hosting import NOT_STARTED, ensure_metadata_served, is_not_started
from doorward.adapters.lifespan import running
from doorward.adapters.list_answers import filtering
from doorward.adapters.lists import LISTS
from doorward.adapters.outcome import OutcomeReader
from doorward.adapters.streams import run_while_held
from doorward.adapters.wire import (
    DECISION,
    ASGIApp,
    Message,
    Receive,
    Scope,
    Send,
    request_of,
    respond,
    without,
    without_credentials,
)
from doorward.audit import redact
from doorward.decision import Decision, current_decision
from doorward.errors import Refused, refusal
from doorward.gate import Gate
from doorward.methods import STATELESS, STREAMS
from doorward.rendering import Response

__all__ = ["GateASGI"]

_OWN: Final = frozenset({b"x-request-id"})
"""Headers that the gate sets, whatever the server says."""

_starting: ContextVar[Gate | None] = ContextVar("starting", default=None)
"""The gate whose app is being started, for what is mounted in that app."""

_log = logging.getLogger("doorward")

_SESSION: Final = b"mcp-session-id"

_BROKEN: Final = Response(
    500, ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"21")), b"Internal Server Error"
)


class GateASGI:
    """An ASGI app behind a gate."""

    server: Any = None
    """The server of the SDK or of fastmcp that the app was made of, where that is known."""

    def __init__(self, gate: Gate, app: ASGIApp) -> None:
        self.gate = gate
        self._app = app
        self._draining = Draining(gate)
        self._said_not_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one connection (`architecture`: lifespan passes, http is decided, everything else is refused)."""
        if scope["type"] == "http" and self.gate.made(scope.get(DECISION)):
            await self._judged_outside(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            redact.install()  # logging may have been configured anew since the app was made
            starting = _starting.set(self.gate)
            try:
                await self._app(scope, receive, self._flushing(send))
            finally:
                _starting.reset(starting)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "not served here"})

    @asynccontextmanager
    async def lifespan(self, host: object = None) -> AsyncIterator[None]:
        """For an app in which this one is mounted, and which passes no lifespan on: ``Starlette(routes=[...],
        lifespan=protected.lifespan)``. Raises `RuntimeError` where the server does not start, and where that app
        answers nothing at the URL of the metadata."""
        if _starting.get() is not self.gate:  # else the app is itself behind this gate, which answers there
            ensure_metadata_served(self.gate, host)
        async with running(self):
            yield

    async def tool_names(self) -> Sequence[str]:
        """The names of the server's tools; none where the server is not known."""
        return ()

    def asks_clients(self, scope: Scope) -> bool:
        """Whether a message tier stands before whatever runs for this request, and has pending decisions answered
        first. Only who knows the server says so, and of its messages alone: more can be mounted in its app."""
        return False

    def prepare(self, scope: Scope, decision: Decision) -> Token[Any] | None:
        """What a framework wants to find about the caller, in the scope or in a context variable: the token undoes
        that."""
        return None

    def app_for(self, scope: Scope, body: bytes) -> ASGIApp:
        """What runs a request that was prepared."""
        return self._app

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

    async def _judged_outside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that the same gate has judged where this app is a part of another one that it protects: one
        decision, one record. What another gate has judged meets this one as well, and without credentials."""
        inner = {**scope}
        prepared = self.prepare(inner, inner[DECISION])
        try:
            await self._app(inner, receive, send)
        finally:
            if prepared is not None:
                prepared.var.reset(prepared)

    async def _say_not_started(self, exchange: _Exchange) -> None:
        if not self._said_not_started:
            self._said_not_started = True
            _log.error("%s", NOT_STARTED)
        if not exchange.started:
            await respond(exchange.send, _BROKEN)

    def _flushing(self, send: Send) -> Send:
        """Before the server program hears that the app has ended: afterwards it may end the process."""

        async def flushing(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown"):
                await self.gate.flush()
            elif message["type"] == "lifespan.startup.complete":
                # In the background: an issuer that does not answer must not delay the start.
                background.start(partial(self.gate.check_start, self.tool_names))
            await send(message)

        return flushing

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["method"] == "POST"
        send = with_cors(self.gate, scope, send)
        known = self._recognised(scope) if is_post and not scope.get("query_string") else None
        if known is not None:
            decision, seen = known
        else:
            seen = None
            request = request_of(scope)
            answer = None if is_post else exempt(self.gate, request, scope)
            if answer is not None:
                await self._draining.respond(scope, receive, send, answer)
                return
            decision = await self.gate.begin(request)
        body = b""
        reading: Body | None = None
        if is_post and decision.refusal is None:
            reading = Body(self.gate.max_body_bytes)
            try:
                read = read_body(receive, reading)
                if isinstance(read, bytes):
                    body = read
                else:
                    body = await read
                    # It took its time: the credential may have been withdrawn meanwhile.
                    self.gate.ensure_held(decision)
                by_client = self.asks_clients(scope)
                left = self.gate.judge_at_once(decision, body, by_client=by_client)
                if left is not None:
                    await self._judged(decision, left, receive, by_client=by_client)
            except Refused as refused:
                decision.refuse(refused)
            except Disconnected:
                decision.disconnected = True
                decision.close("cancelled")
                return
            except Exception as error:
                self.gate.fail(decision, error)
            except BaseException:
                decision.close("cancelled")
                raise
        if decision.refusal is not None:
            if decision.ticket is not None:
                await decision.kept()
            await self._draining.respond(scope, receive, send, self._refusal(decision, scope), body=reading)
            return
        others = without_credentials(scope["headers"]) if seen is None else seen.others
        await self._forward({**scope, "headers": others, DECISION: decision}, receive, send, decision, body)

    def _recognised(self, scope: Scope) -> tuple[Decision, Recognised[Any] | None] | None:
        client = scope.get("client")
        scheme, peer = scope.get("scheme", "http"), client[0] if client else None
        return self.gate.recognise(scope["headers"], scheme=scheme, peer=peer, path=scope["path"])

    async def _judged(self, decision: Decision, left: Awaitable[None], receive: Receive, *, by_client: bool) -> None:
        """What is left of steps 4 to 7. Before a server without a message tier the operator's approver is waited for
        right here: not longer than the client does. Raises `Disconnected`."""
        if by_client or not self.gate.has_approver:
            await left
        else:
            await run_unless_gone(receive, lambda: left)
        if decision.is_pending and not by_client and decision.allowed:
            decision.refuse(refusal("confirmation_unavailable", "nothing here waits for an answer"))

    def _refusal(self, decision: Decision, scope: Scope) -> Response:
        """The answer to a refused request, in the words that its protocol has for a method nobody knows."""
        response = self.gate.render(decision)
        if response.status != 404 or (decision.protocol or "") >= STATELESS:
            return response
        # There a 404 means that the session has ended (MCP 2025-11-25, session management).
        is_in_session = any(name.lower() == _SESSION for name, _ in scope["headers"])
        return response._replace(status=200) if is_in_session else response

    async def _forward(self, scope: Scope, receive: Receive, send: Send, decision: Decision, body: bytes) -> None:
        method = None if decision.call is None else decision.call.method
        shown = None
        if method in LISTS and not self.asks_clients(scope):
            shown = filtering(self.gate, decision, method, scope, send)
        prepared = self.prepare(scope, decision)
        app = self.app_for(scope, body)
        outcome = OutcomeReader()
        exchange = _Exchange(receive, shown or send, body, decision, outcome, on_complete=self.finish)
        token = current_decision.set(decision)
        trace = decision.trace
        entered = None if trace is None else trace.enter()
        try:
            if decision.call is not None and method not in STREAMS:
                # The answer of a running tool is not cut; a stream that carries no call ends with its token.
                await app(scope, exchange.receive, exchange.send)
                return
            ended = await run_while_held(self.gate, decision, lambda: app(scope, exchange.receive, exchange.send))
            if ended is not None and not await exchange.end():
                decision.refuse(ended)
                await respond(send, self.gate.render(decision))
        except BaseException as error:
            outcome.failed(error)
            if is_not_started(error):
                await self._say_not_started(exchange)
                return
            # As `Starlette` and the server programs answer it, and with the id of its record.
            if isinstance(error, Exception) and not exchange.started:
                await respond(exchange.send, _BROKEN)
            elif isinstance(error, Exception) and shown is not None and shown.is_held:
                self.finish(decision, outcome)
                own_id = (b"x-request-id", decision.request_id.encode())
                await respond(send, _BROKEN._replace(raw_headers=(*_BROKEN.raw_headers, own_id)))
            raise
        finally:
            current_decision.reset(token)
            if trace is not None:
                trace.leave(entered)
            if prepared is not None:
                prepared.var.reset(prepared)
            if decision.is_open:
                self.finish(decision, outcome)
            decision.exchange_is_over = True


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
        self.started = False
        """Whether the answer has begun."""
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

    def send(self, message: Message) -> Awaitable[None]:
        decision = self._decision
        if message["type"] == "http.response.start":
            self.started = True
            headers = [*without(message.get("headers", ()), _OWN), (b"x-request-id", decision.request_id.encode())]
            message = {**message, "headers": headers}
            if decision.is_open:
                self._outcome.start(message["status"], headers)
        elif message["type"] == "http.response.body":
            self._complete = not message.get("more_body", False)
            if decision.is_open:  # else the message tier names the outcome, or has done so
                self._outcome.body(message.get("body", b""), last=self._complete)
                if self._complete:
                    self._on_complete(decision, self._outcome)
            if self._complete and decision.ticket is not None:
                return self._send_kept(message)
        return self._send(message)

    async def _send_kept(self, message: Message) -> None:
        await self._decision.kept()
        await self._send(message)

    async def end(self) -> bool:
        """Complete an answer that was cut; whether there was one."""
        if self.started and not self._complete:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})
        return self.started
