"""Every kind of credential, told apart by its form alone, and revocation, which wins over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toolgate.errors import refusal
from toolgate.settings import Agents, Issuer, Revocation
from toolgate.tokens.agents import AgentTokens, is_agent_token
from toolgate.tokens.introspection import Introspector
from toolgate.tokens.jwks import FetchedKeys
from toolgate.tokens.jwt import AccessTokens, is_jwt
from toolgate.tokens.keys import GivenKeys, Keys
from toolgate.tokens.revocation import Revocations
from toolgate.tokens.verified import Verified

__all__ = ["Tokens"]


class Tokens:
    """Authenticates bearer tokens for one resource."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        *,
        audiences: Sequence[str],
        organization_claim: str | None,
        agents: Agents | None,
        revocation: Revocation | None,
        alarm: Callable[[str], None],
    ) -> None:
        """``alarm`` is told by a slug what an operator should know. Raises `ValueError` for a configuration that cannot be
        right."""
        keys: dict[str, Keys] = {
            issuer.url: GivenKeys(issuer, audiences) if issuer.jwks is not None else FetchedKeys(issuer, audiences, alarm)
            for issuer in issuers
        }
        self._access_tokens = AccessTokens(keys, organization_claim=organization_claim)
        introspecting = [issuer for issuer in issuers if issuer.introspection is not None]
        self._introspectors = {
            issuer.url: Introspector(issuer, audiences, organization_claim=organization_claim, alarm=alarm)
            for issuer in introspecting
        }
        self._agents = AgentTokens(agents) if agents is not None else None
        self.revocations = Revocations(revocation)
