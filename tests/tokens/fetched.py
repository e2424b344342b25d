"""Keys that are fetched from an issuer, and the tokens verified with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
from minting import AUDIENCE, NOW, claims, mint, signing_key
from tokens.misbehaving import Misbehaving

from doorward import Issuer, Limited, Refused, background
from doorward.tokens.jwks import FetchedKeys
from doorward.tokens.jwt import AccessTokens
from doorward.tokens.keys import Published
from doorward.tokens.verified import Verified

A, B = signing_key("ES256", "A"), signing_key("ES256", "B")


class Subject:
    """The keys of that issuer, the tokens verified with them, and the alarms raised."""

    def __init__(self, server: Misbehaving, **options: Any) -> None:
        issuer = Issuer(server.url, **{"algorithms": ["ES256"], "jwks_url": f"{server.url}/jwks", **options})
        self.alarms: list[str] = []
        self.charged = 0
        self.is_over_budget = False
        self.on_charge: Callable[[], None] = lambda: None
        self.server = server
        self.keys = FetchedKeys(issuer, [AUDIENCE], alarm=self.alarms.append, spawn=self._spawn)
        self._looking: list[anyio.Event] = []
        self.tokens = AccessTokens({server.url: self.keys}, organization_claim=None)

    @property
    def fetches(self) -> int:
        """How often the issuer was asked for its keys."""
        return self.server.counts["jwks"]

    async def verify(self, key: Any = A, *, now: float = NOW, kid: Any = None) -> str:
        """``accepted``, or the slug of the refusal. ``kid``: another one than the key's, `ABSENT` for none."""
        try:
            await self.verified(key, now=now, kid=kid)
        except Refused as refused:
            return refused.code
        return "accepted"

    async def verified(self, key: Any = A, *, now: float = NOW, kid: Any = None) -> Verified:
        """What a token of that key means."""
        header = {"kid": kid} if kid else None
        token = mint(claims(iss=self.server.url, exp=now + 600, iat=now), key=key, header=header)
        return await self.tokens.verify(token, self.server.url, now=now, certificate_sha256=None, charge=self._charge)

    def _charge(self) -> None:
        self.charged += 1
        self.on_charge()
        if self.is_over_budget:
            raise Limited("too_many_failures", retry_after=1.0)

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

    async def published(self, now: float) -> Published:
        """The keys at a time."""
        return await self.keys.published(now=now)
