"""An introspector that asks an endpoint of the test's, and an answer that is right until a test says otherwise."""

from __future__ import annotations

from typing import Any

from minting import ABSENT, AUDIENCE, ISSUER, NOW
from tokens.endpoint import Endpoint

from doorward.errors import Refused
from doorward.principal import Principal
from doorward.settings import Introspection, Issuer, Secret
from doorward.tokens.introspection import Introspector
from doorward.tokens.verified import Standing, Verified

TOKEN = "opaque-token.of~some+length/=="
CERTIFICATE = bytes(range(32))
THUMBPRINT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
UNAVAILABLE = "issuer_unavailable"


def good(**changes: Any) -> dict[str, Any]:
    """An answer that is right, with changes; `ABSENT` leaves a member out."""
    answer = {
        "active": True,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "client_id": "agent-1",
        "scope": "read write",
        "exp": NOW + 600,
        "iat": NOW - 10,
        "token_type": "Bearer",
    }
    return {name: value for name, value in (answer | changes).items() if value is not ABSENT}


class Asking:
    """An introspector of the endpoint, and what it raised the alarm about."""

    def __init__(self, served: Endpoint, **settings: Any) -> None:
        self.alarms: list[str] = []
        issuer: dict[str, Any] = {
            name: settings.pop(name) for name in ("leeway", "max_token_lifetime", "subject") if name in settings
        }
        organization_claim = settings.pop("organization_claim", None)
        fetcher = settings.pop("fetcher", None)
        given: dict[str, Any] = {"url": served.url, "client_id": "mcp", "secret": Secret(b"hunter2")} | settings
        self.introspector = Introspector(
            Issuer(ISSUER, ["ES256"], introspection=Introspection(**given), **({"leeway": 0} | issuer)),
            [AUDIENCE, f"{AUDIENCE}/"],
            organization_claim=organization_claim,
            alarm=self.alarms.append,
            fetcher=fetcher,
        )

    async def verify(self, token: str = TOKEN, *, now: float = NOW, certificate: bytes | None = None) -> Verified:
        return await self.introspector.verify(token, now=now, certificate_sha256=certificate)

    async def verdict(self, token: str = TOKEN, *, now: float = NOW, certificate: bytes | None = None) -> str:
        """``accepted``, or the slug of the refusal."""
        try:
            await self.verify(token, now=now, certificate=certificate)
        except Refused as refused:
            return refused.code
        return "accepted"


def verified_jwt(**changes: Any) -> Verified:
    """A JWT whose signature was verified."""
    principal = Principal(ISSUER, "user-1", "agent-1", None, ("read",), "t-1", expires_at=NOW + 600)
    usual: dict[str, Any] = {"principal": principal, "standing": Standing(), "not_before": NOW - 40}
    return Verified(**(usual | changes))
