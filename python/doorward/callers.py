"""Who: from the credentials of a request to its caller; remembered, and looked at again on every request."""

from __future__ import annotations

from sys import getsizeof
from typing import Final

from doorward._core import Recognised, Recogniser, TokenCache
from doorward.addresses import site_of
from doorward.audit import principal_fragment, unverified_fragment
from doorward.errors import Refused, Unauthenticated
from doorward.limits import FailedAttempts, Spending
from doorward.policy import Policy
from doorward.request import Request
from doorward.tokens import Tokens, Verified, named
from doorward.transport import LARGEST_SIZE, Transport, bearer_token

__all__ = ["Caller", "Callers"]

_NO_FAILURE: Final = frozenset({"missing_credentials", "unsupported_scheme", "token_expired"})
"""Refusals that no attacker learns from: an honest client meets them every hour."""


_CALLER_BYTES: Final = 1_536
"""What a caller weighs beside what its token says: objects, the effective scopes, the rules it has met."""


class Caller:
    """A verified credential with everything about its principal that stays the same from call to call."""

    __slots__ = ("effective", "fragment", "good_until", "principal", "spendings", "verified")

    def __init__(self, verified: Verified, effective: frozenset[str], good_until: float) -> None:
        self.verified = verified
        self.principal = verified.principal
        self.effective = effective
        self.fragment = principal_fragment(verified.principal)
        self.good_until = good_until
        self.spendings: dict[int, Spending] = {}
        """What its calls spend under each rule that has nothing against them, by the rule's identity."""

    @property
    def weight(self) -> int:
        """The bytes it takes to remember it: claims that are small grow thirtyfold when they become objects."""
        return _CALLER_BYTES + sum(map(len, self.fragment)) + getsizeof(self.principal.claims)


class Callers:
    """Authenticates requests: step 3 of a decision."""

    def __init__(self, tokens: Tokens, policy: Policy, failures: FailedAttempts, transport: Transport) -> None:
        self._tokens = tokens
        self._policy = policy
        self._failures = failures
        self._transport = transport
        self._remembered: TokenCache[Caller] = TokenCache()
        self._recogniser = Recogniser(
            self._remembered,
            hosts=transport.allowed_hosts,
            max_body_bytes=min(transport.max_body_bytes, LARGEST_SIZE),
        )

    def recognise(self, headers: object, *, scheme: str, peer: str | None, now: float) -> Recognised[Caller] | None:
        """The cached caller of a POST without a query, if its headers allow skipping `Transport.check` and its
        token is still valid. None means "take the slow path", which is `of`."""
        seen = self._recogniser.recognise(headers, scheme=scheme, peer=peer, now=now)
        if seen is None or not self._tokens.holds(seen.caller.verified, now=now, certificate_sha256=None):
            return None
        return seen

    async def of(self, request: Request, *, now: float, tick: int) -> Caller:
        """The caller of a request. Raises `Unauthenticated`, `Limited` for an address that fails too often, or
        `Unavailable` where it cannot be told now."""
        attempt = _Attempt(self._failures, self._transport, request, tick)
        try:
            token = bearer_token(request)
            certificate = self._transport.certificate(request)
            caller = self._remembered.get(token, now=now)
            if caller is None:
                self._failures.pace(self._transport.address(request), tick=tick)
            if caller is None or not self._tokens.holds(caller.verified, now=now, certificate_sha256=certificate):
                caller = await self._verified(attempt, token, now, certificate)
        except Unauthenticated as refused:
            if refused.code not in _NO_FAILURE:
                attempt.charge()
            raise
        return caller

    @staticmethod
    def unverified(request: Request, refused: Refused) -> tuple[str, str] | None:
        """Who a refused request claims to come from, for its record; None where that is anybody's guess."""
        if not isinstance(refused, Unauthenticated) or refused.code == "missing_credentials":
            return None
        try:
            found = named(bearer_token(request), refused)
        except Refused:
            return None
        return None if found is None else unverified_fragment(**found._asdict())

    async def holder_of(self, token: str, *, now: float) -> Caller:
        """Whose token it is, where no connection and so no address belongs to it: nobody's failures count against
        anybody. Raises `Unauthenticated`, or `Unavailable` where it cannot be told now."""
        token = bearer_token(Request(headers=(("authorization", f"Bearer {token}"),)))
        caller = self._remembered.get(token, now=now)
        if caller is None or not self._tokens.holds(caller.verified, now=now, certificate_sha256=None):
            verified = await self._tokens.authenticate(token, now=now, certificate_sha256=None)
            caller = self._remember(token, verified, now=now)
        return caller

    def forget(self) -> None:
        """Remember nobody: every token is verified anew."""
        self._remembered.clear()

    async def _verified(self, attempt: _Attempt, token: str, now: float, certificate: bytes | None) -> Caller:
        verified = await self._tokens.authenticate(
            token,
            now=now,
            certificate_sha256=certificate,
            may_ask=attempt.may_ask,
            charge=attempt.charge,
            site=site_of(attempt.address),
        )
        return self._remember(token, verified, now=now)

    def _remember(self, token: str, verified: Verified, *, now: float) -> Caller:
        principal = verified.principal
        self._tokens.note_caller(principal, now=now)
        caller = Caller(verified, self._policy.effective(principal.scopes), self._tokens.good_until(principal))
        self._remembered.put(token, caller, expires_at=principal.expires_at, weight=caller.weight)
        return caller


class _Attempt:
    """One request's failed authentication, which is counted against its address once at most."""

    __slots__ = ("_failures", "_is_charged", "_request", "_tick", "_transport")

    def __init__(self, failures: FailedAttempts, transport: Transport, request: Request, tick: int) -> None:
        self._failures = failures
        self._transport = transport
        self._request = request
        self._tick = tick
        self._is_charged = False

    @property
    def address(self) -> str:
        """Where the request came from."""
        return self._transport.address(self._request)

    def may_ask(self) -> None:
        """Raises `Limited` when the address has no failure left."""
        self._failures.ensure_left(self.address, tick=self._tick)

    def charge(self) -> None:
        """Count the failure. Raises `Limited` when the address is over its budget."""
        if not self._is_charged:
            self._is_charged = True
            self._failures.record(self.address, tick=self._tick)
