"""Keys that are fetched from an issuer, and the tokens verified with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
from minting import AUDIENCE, NOW, claims, mint, signing_key
from tokens.misbehaving import Misbehaving

from doorward import Issuer, Refused, background
from doorward._core import Verifier
from doorward.tokens.jwks import FetchedKeys
from doorward.tokens.jwt import AccessTokens

A, B = signing_key("ES256", "A"), signing_key("ES256", "B")


class Subject:
    """The keys of that issuer, the tokens verified with them, and the alarms raised."""

    def __init__(self, server: Misbehaving, **options: Any) -> None:
        issuer = Issuer(server.url, **{"algorithms": ["ES256"], "jwks_url": f"{server.url}/jwks", **options})
        self.alarms: list[str] = []
        self.server = server
        self.keys = FetchedKeys(issuer, [AUDIENCE], alarm=self.alarms.append, spawn=self._spawn)
        self._looking: list[anyio.Event] = []
        self.tokens = AccessTokens({server.url: self.keys}, organization_claim=None)

    @property
    def fetches(self) -> int:
        """How often the issuer was asked for its keys."""
        return self.server.counts["jwks"]

    async def verify(self, key: Any = A, *, now: float = NOW, kid: str | None = None) -> str:
        """``accepted``, or the slug of the refusal."""
        token = mint(claims(iss=self.server.url, exp=now + 600, iat=now), key=key, header={"kid": kid} if kid else None)
        try:
            await self.tokens.verify(token, self.server.url, now=now, certificate_sha256=None)
        except Refused as refused:
            return refused.code
        return "accepted"

    @property
    def is_looking(self) -> bool:
        """Whether anything is done in the background."""
        return any(not done.is_set() for done in self._looking)

    async def looked(self) -> None:
        """Wait for what is done in the background."""
        while self._looking:
            await self._looking.pop().wait()

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        done = anyio.Event()

        async def told() -> None:
            try:
                await work()
            finally:
                done.set()

        self._looking.append(done)
        background.start(told)

    async def verifier(self, now: float) -> Verifier:
        """The verifier at a time."""
        return await self.keys.verifier(now=now)
