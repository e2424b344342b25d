"""The official SDK: both tiers around an `MCPServer` or a low-level `Server`."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Token
from typing import Any, ClassVar
from urllib.parse import urlsplit

from mcp.server import Server
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import MCPServer

from doorward.adapters import components
from doorward.adapters.asgi import GateASGI
from doorward.adapters.local import LocalCredential
from doorward.adapters.messages import CallerUser, GateMiddleware, install
from doorward.adapters.outcome import OutcomeReader
from doorward.adapters.paths import is_at, route_path
from doorward.adapters.running import NO_SECOND_OPINION, bare_app, guard_apps
from doorward.adapters.straight import straight
from doorward.adapters.wire import ASGIApp, Scope
from doorward.decision import Decision
from doorward.gate import Gate
from doorward.resource import spellings

__all__ = ["AppASGI", "ServerASGI", "is_server", "protect_app", "protect_local", "protect_server"]


def is_server(server: object) -> bool:
    """Whether this adapter knows the server."""
    return isinstance(server, MCPServer | Server)


def protect_server(gate: Gate, server: Any, **options: Any) -> GateASGI:
    """The server's Streamable HTTP app behind the gate. Raises `ValueError` for a server that brings auth of its
    own."""
    _check_bare(server)
    _install(gate, server).serve_over_http()
    path = options.setdefault("streamable_http_path", urlsplit(gate.resource).path or "/")
    options.setdefault("transport_security", NO_SECOND_OPINION)
    protected = ServerASGI(gate, bare_app(server, **options), server=server, path=path)
    if isinstance(server, MCPServer):
        guard_apps(server, lambda app, path: _tier(gate, app, server, path))
    return protected


def protect_local(gate: Gate, server: Any, credential: LocalCredential) -> None:
    """The server's messages that come without HTTP, behind the gate. Raises `ValueError` for a server that brings auth
    of its own."""
    _check_bare(server)
    _install(gate, server).serve_locally(credential)


def protect_app(gate: Gate, app: ASGIApp) -> GateASGI:
    """An app of whatever kind, in a process that has the SDK: handlers of an app that the SDK made see the caller,
    and its sessions are bound to it."""
    return AppASGI(gate, app)


class AppASGI(GateASGI):
    """The ASGI tier of an app in which the SDK's handlers may run: they find the caller where the SDK puts it."""

    token_type: ClassVar[type[AccessToken]] = AccessToken
    """What they look for."""

    def prepare(self, scope: Scope, decision: Decision) -> Token[Any] | None:
        # Also what binds a session of the older protocol to its principal: the SDK compares client, issuer and subject.
        if decision.principal is None:
            return None
        user = scope["user"] = CallerUser(self.gate, decision, decision.principal, self.token_type)
        return auth_context_var.set(user)


class ServerASGI(AppASGI):
    """The ASGI tier of a server whose message tier closes what it claims. ``path``: where the server was told to expect
    messages."""

    def __init__(self, gate: Gate, app: ASGIApp, *, server: Any = None, path: str | None = None) -> None:
        super().__init__(gate, app)
        self.server = server
        self._path = path
        self.messages_at = path
        """Where in the app they are expected; None where that is not known."""
        self._straight = None if path is None else straight(app, path)
        called = (urlsplit(each).path or "/" for each in spellings(gate.resource))
        self._called = tuple(dict.fromkeys(called if path is None else (path, *called)))

    async def tool_names(self) -> Sequence[str]:
        if not isinstance(self.server, MCPServer):
            return ()
        return [tool.name for tool in await self.server.list_tools()]

    def asks_clients(self, scope: Scope) -> bool:
        if self.messages_at is None:
            return False
        return self._is_for_us(scope) or route_path(scope) == self.messages_at

    def prepare(self, scope: Scope, decision: Decision) -> Token[Any] | None:
        if scope["path"] == self._path:
            # Wherever an app has mounted it: what comes before is part of its route.
            scope["root_path"] = ""
        elif self._path is not None and self._is_for_us(scope):
            # What clients call is the resource, whatever the server was told to call it. Also with the slash at its
            # end, to which `Mount` redirects.
            scope["path"] = scope.get("root_path", "").rstrip("/") + self._path
        return super().prepare(scope, decision)

    def app_for(self, scope: Scope, body: bytes) -> ASGIApp:
        # Prepared, its path is the server's own, below wherever that is mounted.
        way = self._straight
        if way is None or len(body) > way.max_body_bytes or not self._is_for_us(scope):
            return self._app
        scope.update(way.found, path_params={})
        return way.transport

    def _is_for_us(self, scope: Scope) -> bool:
        return self._path is not None and any(is_at(scope, path) for path in self._called)

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


def _tier(gate: Gate, app: ASGIApp, server: Any, path: str | None) -> GateASGI:
    """Around an app that the server makes of itself. Over the oldest transport, which has two paths, a call's POST ends
    before it runs."""
    return AppASGI(gate, app) if path is None else ServerASGI(gate, app, server=server, path=path)


def _install(gate: Gate, server: Any) -> GateMiddleware:
    if not isinstance(server, MCPServer):
        middleware = install(gate, server)
        components.install_below(gate, server)
        return middleware
    components.install(gate, server)
    return install(gate, server._lowlevel_server)


def _check_bare(server: Any) -> None:
    if isinstance(server, MCPServer) and (server.settings.auth is not None or server._token_verifier is not None):
        raise ValueError(
            "the server brings auth of its own: remove auth=, token_verifier= and auth_server_provider= "
            "from MCPServer(...), the gate takes their place"
        )
