"""Just the verifier, for servers that keep the SDK's own authentication."""

from __future__ import annotations

from mcp.server.auth.provider import AccessToken

from doorward.adapters.messages import access_token
from doorward.errors import Unauthenticated
from doorward.gate import Gate

__all__ = ["SDKVerifier"]


class SDKVerifier:
    """Who holds a token (`mcp.server.auth.provider.TokenVerifier`). No rule, no budget and no record: see
    ``docs/adapters.md``."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def verify_token(self, token: str) -> AccessToken | None:
        """None for a token that is not good. Raises `Unavailable` where that cannot be told now: an outage is not a
        bad token."""
        try:
            return access_token(self._gate, await self._gate.authenticate(token))
        except Unauthenticated:
            return None
