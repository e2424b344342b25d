"""The gate where fastmcp expects its own auth: ``FastMCP(auth=gate.auth())``, and the verifier alone."""

from __future__ import annotations

from typing import Any

from fastmcp import FastMCP
from fastmcp.server.auth import AccessToken, AuthProvider, TokenVerifier
from mcp.server.auth.middleware.bearer_auth import RequireAuthMiddleware
from starlette.middleware import Middleware

from doorward.adapters.fastmcp.installing import FastMCPASGI, install
from doorward.adapters.verifier import SDKVerifier
from doorward.adapters.wire import ASGIApp, Receive, Scope, Send, without_credentials
from doorward.gate import Gate

__all__ = ["FastMCPVerifier", "GateAuth"]


class FastMCPVerifier(TokenVerifier):
    """Who holds a token, for either SDK: fastmcp's verifiers and access tokens are the official SDK's as well."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._verifier = SDKVerifier(gate)

    async def verify_token(self, token: str) -> AccessToken | None:
        """None for a token that is not good. Raises `Unavailable` where that cannot be told now."""
        found = await self._verifier.verify_token(token)
        return None if found is None else AccessToken(**found.model_dump())


class GateAuth(AuthProvider):
    """The ASGI tier in the place of fastmcp's own authentication."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    async def verify_token(self, token: str) -> AccessToken | None:
        """Nobody's. Whoever asks has taken the place of the tier below, as `MultiAuth` does, and no message would be
        decided about; the verifier alone is `Gate.token_verifier`."""
        return None

    def get_middleware(self) -> list[Middleware]:
        """Around the whole app, as `Gate.protect` would stand."""
        return [Middleware(_Tier, gate=self.gate)]


class _Tier:
    """The ASGI tier inside of fastmcp's app; the message tier is put into its server before the first message."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._gate = gate
        self._tier = FastMCPASGI(gate, app)
        self._is_ready = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_ready:
            self._prepare(scope["app"])
        judged = scope
        if scope["type"] == "http":
            # fastmcp has taken hold of this scope before: from it handlers read headers, and proxies pass them on.
            judged = dict(scope)
            scope["headers"] = without_credentials(scope["headers"])
        await self._tier(judged, receive, send)

    def _prepare(self, app: Any) -> None:
        server: FastMCP[Any] = app.state.fastmcp_server
        self._tier.server = server
        install(self._gate, server).serve_over_http()
        self._tier.found_in(app)
        for route in app.router.routes:
            # It asks for credentials that were judged and taken away. Left where it is, it would refuse every request.
            if isinstance(getattr(route, "app", None), RequireAuthMiddleware):
                route.app = route.app.app
        self._is_ready = True
