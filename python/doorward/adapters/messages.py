"""The message tier of everything that runs on the official SDK's `Server`, fastmcp included.

A middleware of the server claims the decision that the ASGI tier made, for the one message it was made for, names the
outcome and closes it. A message that no decision covers is decided anew, or refused.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from math import isfinite
from typing import Any, Final, TypeVar

from mcp.server import Server
from mcp.server._otel import OpenTelemetryMiddleware
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel
from starlette.authentication import SimpleUser

from doorward.adapters.asking import carried, current_message, settle
from doorward.adapters.lists import LISTS, filtered
from doorward.adapters.local import LocalCredential
from doorward.adapters.streams import run_while_held
from doorward.adapters.wire import DECISION
from doorward.decision import Decision, current_decision
from doorward.errors import Refused, refusal
from doorward.gate import Gate
from doorward.methods import SESSION, STREAMS
from doorward.principal import Principal
from doorward.rendering import error_of

__all__ = ["CallerUser", "GateMiddleware", "access_token", "error_for", "install", "run_under"]

T = TypeVar("T")

_WITHHELD: Final = "withheld"
"""Stands where the SDK keeps the token: a handler that passes it on sends nothing worth having."""

_TWO_WAYS: Final = "the server is reached over HTTP and without it: make two servers, and protect each in its way"

_PAST_THE_GATE: Final = (
    "messages reach the server past the gate, and are refused: serve the app that gate.protect(server) returns, "
    "and none that the server makes itself or has made before"
)

_WITHOUT_HTTP: Final = (
    "messages reach the server without HTTP, and are refused: what is reached like this has to stand behind "
    "gate.protect_stdio(server)"
)

_log = logging.getLogger("doorward")


class GateMiddleware:
    """The message tier."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._local: LocalCredential | None = None
        self._is_over_http = False
        self._told: str | None = None

    def serve_locally(self, credential: LocalCredential) -> None:
        """Messages that come without HTTP are the credential's. Raises `ValueError` for a server that is reached over
        HTTP as well: no message of one kind may ever be taken for one of the other."""
        if self._is_over_http:
            raise ValueError(_TWO_WAYS)
        self._local = credential

    def serve_over_http(self) -> None:
        """Messages come over HTTP. Raises `ValueError` for a server that is reached without it as well."""
        if self._local is not None:
            raise ValueError(_TWO_WAYS)
        self._is_over_http = True

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Run the message under the decision that covers it."""
        if ctx.request is None and self._local is not None:
            return await self._run_local(self._local, ctx, call_next)
        made = ctx.request.scope.get(DECISION) if ctx.request is not None else None
        if not isinstance(made, Decision) or not self.gate.made(made):
            self._tell(_WITHOUT_HTTP if ctx.request is None else _PAST_THE_GATE)
            raise error_for(refusal("no_decision"))
        if ctx.request_id is not None and made.has_ended and made.exchange_is_over:
            raise await self._too_late(made, ctx)
        if ctx.method == "tools/list" and (made.call is None or made.call.method != "tools/list" or not made.is_open):
            return await self._run_beside(made, ctx, call_next)
        call = made.call
        # Arguments are looked at where they run, which is the last moment at which they can be others.
        if call is None or not made.repeats(ctx.method, ctx.request_id, ctx.params, arguments=made.steps.asks_humans):
            try:
                call = self.gate.call_of_message(ctx.method, ctx.request_id, ctx.params, under=made)
            except Refused as refused:
                raise error_for(refused, made.request_id) from None
        if made.claim(call):
            return await self._run(made, ctx, call_next)
        if ctx.method == "tools/list" or call.kind != "request":
            return await self._run_beside(made, ctx, call_next)
        decision = await self.gate.judge_message(made, call, ctx.params)
        if decision.refusal is not None:
            await decision.kept()
            raise error_for(decision.refusal, decision.request_id)
        return await self._run(decision, ctx, call_next)

    async def _too_late(self, made: Decision, ctx: ServerRequestContext[Any, Any]) -> MCPError:
        """A message of a call that has ended, sent on by what it has left behind: refused and recorded."""
        ended = refusal("call_ended")
        try:
            call = self.gate.call_of_message(ctx.method, ctx.request_id, ctx.params, under=made)
        except Refused as refused:
            return error_for(refused, made.request_id)
        decision = await self.gate.judge_message(made, call, ctx.params, refused=ended)
        await decision.kept()
        return error_for(decision.refusal or ended, decision.request_id)

    def _tell(self, problem: str) -> None:
        """Once: whoever serves the wrong thing does so with every message."""
        if problem != self._told:
            self._told = problem
            _log.warning("%s", problem)

    async def _run_beside(
        self, decision: Decision, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """What the SDK does by itself for a message: it lists the tools before some calls. Neither counted nor
        recorded."""
        answer = await run_under(decision, partial(call_next, ctx), is_error=_is_error, closes=False)
        return filtered(self.gate, decision, ctx.method, answer)

    async def _run_local(
        self, credential: LocalCredential, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        decision = await self.gate.decide_local(
            credential.token, method=ctx.method, rpc_id=ctx.request_id, params=ctx.params
        )
        credential.judged(decision.refusal)
        if decision.refusal is not None or decision.principal is None:
            await decision.kept()
            raise error_for(decision.refusal or refusal("no_decision"), decision.request_id)
        user = auth_context_var.set(CallerUser(self.gate, decision, decision.principal))
        try:
            if ctx.method in STREAMS:
                return await self._stream(decision, ctx, call_next)
            return await self._run(decision, ctx, call_next)
        finally:
            auth_context_var.reset(user)

    async def _stream(
        self, decision: Decision, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """What stays open without HTTP ends with what let it in, too."""
        answer: HandlerResult = None

        async def run() -> None:
            nonlocal answer
            answer = await self._run(decision, ctx, call_next)

        ended = await run_while_held(self.gate, decision, run)
        if ended is not None:
            raise error_for(ended, decision.request_id)
        return answer

    async def _run(self, decision: Decision, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method == SESSION:
            _hold_until_the_session_ends(decision, ctx)
        if decision.steps.asks_humans:
            return await self._run_asking(decision, ctx, call_next)
        # Over HTTP a notification ends with its exchange, which the ASGI tier sees.
        closes = ctx.request_id is not None or decision.transport != "http"
        answer = await run_under(decision, partial(call_next, ctx), is_error=_is_error, closes=closes)
        return filtered(self.gate, decision, ctx.method, answer) if ctx.method in LISTS else answer

    async def _run_asking(
        self, decision: Decision, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Where some calls have to be confirmed: this one may, and so may those that it leads to."""
        question = await settle(self.gate, decision, ctx, by_result=True)
        if question is not None or decision.refusal is not None:
            await decision.kept()
        if decision.refusal is not None:
            raise error_for(decision.refusal, decision.request_id)
        if question is not None:
            return question
        seen = ctx if decision.consent is None else replace(ctx, params=decision.consent.for_the_tool(ctx.params))

        async def run() -> HandlerResult:
            try:
                return await carried(self.gate, decision, await call_next(seen))
            except Refused as refused:
                raise error_for(refused, decision.request_id) from None

        token = current_message.set(ctx)
        try:
            closes = ctx.request_id is not None or decision.transport != "http"
            answer = await run_under(decision, run, is_error=_is_error, closes=closes)
            return filtered(self.gate, decision, ctx.method, answer)
        finally:
            current_message.reset(token)


async def run_under(
    decision: Decision,
    run: Callable[[], Awaitable[T]],
    *,
    is_error: Callable[[T], bool],
    tool_errors: tuple[type[Exception], ...] = (),
    closes: bool = True,
) -> T:
    """Run what the decision allowed, name its outcome and close it. ``tool_errors``: what a tool raises to say that it
    failed, where the framework has not made an answer of it yet. Raises `ValueError` for a call that waits for a
    confirmation."""
    if closes and decision.is_pending:
        raise ValueError("nothing runs before it is confirmed")
    token = None if current_decision.get() is decision else current_decision.set(decision)
    decision.running += 1
    result, reason = "cancelled", None
    try:
        answer = await run()
        result = _failed(decision) if is_error(answer) else "success"
        return answer
    except MCPError as error:
        result, reason = "error", f"rpc{error.error.code}"
        raise
    except tool_errors:
        result = _failed(decision)
        raise
    except Exception:
        result, reason = "error", "exception"
        raise
    finally:
        decision.running -= 1
        if token is not None:
            current_decision.reset(token)
        if closes:
            decision.has_run = True
            decision.close(result, reason=reason)
            if decision.ticket is not None:
                await decision.kept()


def install(gate: Gate, server: Server[Any]) -> GateMiddleware:
    """The gate's middleware of the server, put there if need be. Raises `ValueError` for the server of another gate."""
    known = [middleware for middleware in server.middleware if isinstance(middleware, GateMiddleware)]
    if any(middleware.gate is not gate for middleware in known):
        raise ValueError("the server stands behind another gate already: one server, one gate")
    if known:
        return known[0]
    middleware = GateMiddleware(gate)
    # Behind the SDK's own span, so that refusals show in it; before everything that a refused message must not reach.
    begins_with_span = bool(server.middleware) and isinstance(server.middleware[0], OpenTelemetryMiddleware)
    server.middleware.insert(1 if begins_with_span else 0, middleware)
    return middleware


class CallerUser(AuthenticatedUser):
    """The caller where the SDK keeps who has logged in. Few handlers ask, so the token they look for is made for those
    that do. There is none once the call has ended: a task that outlives it acts for nobody."""

    _made: AccessToken | None = None

    def __init__(
        self, gate: Gate, decision: Decision, principal: Principal, kind: type[AccessToken] = AccessToken
    ) -> None:
        self._made_of = gate, decision, principal, kind

    @property
    def access_token(self) -> AccessToken | None:  # type: ignore[override]
        """The principal as handlers look for it, without its token; None once the call has ended."""
        gate, decision, principal, kind = self._made_of
        if decision.has_ended:
            return None
        if self._made is None:
            self._made = access_token(gate, principal, kind)
        return self._made

    def __getattr__(self, name: str) -> Any:
        if name not in ("scopes", "username"):
            raise AttributeError(name)
        _, _, principal, _ = self._made_of
        SimpleUser.__init__(self, principal.client_id or principal.subject)
        self.scopes = list(principal.scopes)
        return getattr(self, name)


def access_token(gate: Gate, principal: Principal, kind: type[AccessToken] = AccessToken) -> AccessToken:
    """The principal as the SDK's handlers look for it, without its token. ``kind``: fastmcp has one of its own."""
    return kind(
        token=_WITHHELD,
        client_id=principal.client_id or principal.subject,
        scopes=list(principal.scopes),
        expires_at=int(principal.expires_at) if isfinite(principal.expires_at) else None,
        resource=gate.resource,
        subject=principal.subject,
        claims=dict(principal.claims),
    )


def error_for(refused: Refused, request_id: str = "") -> MCPError:
    """The refusal as a JSON-RPC error."""
    rendered = error_of(refused, request_id=request_id)
    return MCPError(rendered["code"], rendered["message"], rendered["data"])


def _hold_until_the_session_ends(decision: Decision, ctx: ServerRequestContext[Any, Any]) -> None:
    """A session counts as one of its client's for as long as the SDK keeps it. The SDK unwinds the exit stack of a
    connection however that ends: by DELETE, by its idle timeout, by an error, or with the server."""
    held = None if decision.held is None else decision.held.shared()
    if held is not None:
        ctx.session._connection.exit_stack.callback(held.free)


def _failed(decision: Decision) -> str:
    """How a call ends whose tool failed: on purpose, or by an exception that it did not mean to raise."""
    return "tool_failure" if decision.has_crashed else "tool_error"


def _is_error(answer: HandlerResult) -> bool:
    if isinstance(answer, BaseModel):
        return getattr(answer, "is_error", None) is True
    return isinstance(answer, dict) and answer.get("isError") is True
