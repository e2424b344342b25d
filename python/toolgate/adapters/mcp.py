"""The official SDK: both tiers around an `MCPServer` or a low-level `Server`.

The ASGI tier decides; the message tier, a middleware of the server, claims the decision for the one message it was
made for, names the outcome and closes it. A message that no decision covers is decided anew or refused.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from mcp.server import Server
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

from toolgate.adapters.asgi import DECISION, ASGIApp, GateASGI, Scope
from toolgate.adapters.outcome import OutcomeReader
from toolgate.decision import Decision, current_decision
from toolgate.errors import Refused, refusal
from toolgate.gate import Gate
from toolgate.rendering import error_of

__all__ = ["GateMiddleware", "is_server", "protect_app", "protect_server"]

_WITHHELD: Final = "withheld"
"""Stands where the SDK keeps the token: a handler that passes it on sends nothing worth having."""


def is_server(server: object) -> bool:
    """Whether this adapter knows the server."""
    return isinstance(server, MCPServer | Server)


def protect_server(gate: Gate, server: Any, **options: Any) -> GateASGI:
    """The server's Streamable HTTP app behind the gate. Raises `ValueError` for a server that brings auth of its
    own."""
    if isinstance(server, MCPServer) and (server.settings.auth is not None or server._token_verifier is not None):
        raise ValueError(
            "the server brings auth of its own: remove auth=, token_verifier= and auth_server_provider= "
            "from MCPServer(...), the gate takes their place"
        )
    known = [middleware for middleware in server.middleware if isinstance(middleware, GateMiddleware)]
    if any(middleware.gate is not gate for middleware in known):
        raise ValueError("the server stands behind another gate already: one server, one gate")
    if not known:
        # Behind the SDK's own span, so that refusals show in it; before everything that a refused message must not
        # reach.
        server.middleware.insert(1, GateMiddleware(gate))
    options.setdefault("streamable_http_path", urlsplit(gate.resource).path or "/")
    # Host and Origin are judged in one place, before credentials: a second opinion that spells them differently would
    # answer 421 to what the gate has let through, and does so by default for a public host name.
    options.setdefault("transport_security", TransportSecuritySettings(enable_dns_rebinding_protection=False))
    return _ServerASGI(gate, AuthContextMiddleware(server.streamable_http_app(**options)))


def protect_app(gate: Gate, app: ASGIApp) -> GateASGI:
    """An app of whatever kind, in a process that has the SDK: handlers of an app that the SDK made see the caller,
    and its sessions are bound to it."""
    return _AppASGI(gate, AuthContextMiddleware(app))


class GateMiddleware:
    """The message tier."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Run the message under the decision that covers it."""
        made = ctx.request.scope.get(DECISION) if ctx.request is not None else None
        if not isinstance(made, Decision):
            raise _error(refusal("no_decision"))
        try:
            call = self.gate.call_of_message(ctx.method, ctx.request_id, ctx.params, under=made)
        except Refused as refused:
            raise _error(refused, made.request_id) from None
        if made.claim(call):
            return await self._run(made, ctx, call_next)
        if ctx.method == "tools/list" or call.kind != "request":
            # The SDK lists the tools by itself before some calls: neither counted nor recorded.
            return await call_next(ctx)
        decision = await self.gate.judge_message(made, call)
        if decision.refusal is not None:
            await decision.kept()
            raise _error(decision.refusal, decision.request_id)
        return await self._run(decision, ctx, call_next)

    async def _run(self, decision: Decision, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        token = current_decision.set(decision)
        result, reason = "cancelled", None
        try:
            answer = await call_next(ctx)
            result = "tool_error" if _is_error(answer) else "success"
            return answer
        except MCPError as error:
            result, reason = "error", f"rpc{error.error.code}"
            raise
        except Exception:
            result, reason = "error", "exception"
            raise
        finally:
            current_decision.reset(token)
            if ctx.request_id is not None:
                await decision.aclose(result, reason=reason)


class _AppASGI(GateASGI):
    """The ASGI tier of an app in which the SDK's handlers may run: they find the caller where the SDK puts it."""

    def prepare(self, scope: Scope, decision: Decision) -> None:
        principal = decision.principal
        if principal is None:
            return
        # Also what binds a session of the older protocol to its principal: the SDK compares client, issuer and subject.
        scope["user"] = AuthenticatedUser(
            AccessToken(
                token=_WITHHELD,
                client_id=principal.client_id or principal.subject,
                scopes=list(principal.scopes),
                expires_at=int(principal.expires_at),
                resource=self.gate.resource,
                subject=principal.subject,
                claims=dict(principal.claims),
            )
        )


class _ServerASGI(_AppASGI):
    """The ASGI tier of a server whose message tier closes what it claims."""

    def finish(self, decision: Decision, outcome: OutcomeReader) -> None:
        if not decision.is_open or decision.call is None or decision.call.kind != "request":
            super().finish(decision, outcome)
        elif outcome.disconnected or outcome.status in (None, 202):
            # The message may still be on its way to the message tier, whose it then is.
            decision.leave("cancelled" if outcome.disconnected else "error", reason="dropped")
        else:
            # Whatever the message tier did not claim never ran.
            result, reason = outcome.result()
            decision.close("error" if result == "success" else result, reason=reason or "unclaimed")


def _is_error(answer: HandlerResult) -> bool:
    if isinstance(answer, BaseModel):
        return getattr(answer, "is_error", None) is True
    return isinstance(answer, dict) and answer.get("isError") is True


def _error(refused: Refused, request_id: str = "") -> MCPError:
    rendered = error_of(refused, request_id=request_id)
    return MCPError(rendered["code"], rendered["message"], rendered["data"])
