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

from toolgate.adapters.asgi import DECISION, GateASGI, Scope
from toolgate.adapters.outcome import OutcomeReader
from toolgate.decision import Decision, current_decision
from toolgate.errors import Refused, refusal
from toolgate.gate import Gate
from toolgate.rendering import error_of

__all__ = ["GateMiddleware", "is_server", "protect_server"]

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
    options.setdefault("transport_security", _transport_security(gate))
    return _ServerASGI(gate, AuthContextMiddleware(server.streamable_http_app(**options)))


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
            call = self.gate.call_of_message(ctx.method, ctx.request_id, ctx.params)
        except Refused as refused:
            raise _error(refused, made.request_id) from None
        if made.claim(call):
            return await self._run(made, ctx, call_next)
        if ctx.method == "tools/list" or call.kind != "request":
            # The SDK lists the tools by itself before some calls: neither counted nor recorded.
            return await call_next(ctx)
        decision = await self.gate.judge_message(made, call)
        if decision.refusal is not None:
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


class _ServerASGI(GateASGI):
    """The ASGI tier of a server whose message tier closes what it claims."""

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

    def finish(self, decision: Decision, outcome: OutcomeReader) -> None:
        call = decision.call
        if call is not None and call.kind == "request" and (outcome.disconnected or outcome.status in (None, 202)):
            # The message may still be on its way to the message tier, whose it then is; dropped on the way, it
            # records itself.
            return
        super().finish(decision, outcome)


def _transport_security(gate: Gate) -> TransportSecuritySettings:
    """The gate's own hosts and origins: it has checked them, and the SDK's default answers 421 to a public host
    name."""
    hosts = [spelling for host in gate.transport.allowed_hosts for spelling in (host, f"{host}:*")]
    loopback = [f"{host}:*" for host in ("127.0.0.1", "localhost", "[::1]")] if gate.transport.any_loopback else []
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[*hosts, *loopback],
        allowed_origins=[*gate.transport.allowed_origins, *(f"http://{host}" for host in loopback)],
    )


def _is_error(answer: HandlerResult) -> bool:
    if isinstance(answer, BaseModel):
        return getattr(answer, "is_error", None) is True
    return isinstance(answer, dict) and answer.get("isError") is True


def _error(refused: Refused, request_id: str = "") -> MCPError:
    rendered = error_of(refused, request_id=request_id)
    return MCPError(rendered["code"], rendered["message"], rendered["data"])
