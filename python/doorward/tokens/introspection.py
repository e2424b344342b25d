"""Introspection (RFC 7662): what an issuer says about a token, for tokens that say nothing themselves and for JWTs
that may have been revoked.

Nothing good is remembered here: whoever remembers a `Verified` finds in it until when the answer is believed. What is
bad is remembered for a little while, or every replay of a dead token would cost its issuer a question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import anyio

from doorward._core import TokenCache
from doorward.errors import Unauthenticated, Unavailable, refusal
from doorward.principal import Principal
from doorward.settings import Issuer
from doorward.tokens.answers import Answer, Judge
from doorward.tokens.client_auth import client_authentication
from doorward.tokens.documents import parse_document
from doorward.tokens.fetch import DEADLINE, Fetcher, unavailable
from doorward.tokens.flights import Flights, Full
from doorward.tokens.verified import Standing, Verified, organization_of

__all__ = [
    "BACK_OFF_SECONDS",
    "MAX_ANSWER_BYTES",
    "MAX_IN_FLIGHT",
    "MAX_REFUSED",
    "REFUSED_SECONDS",
    "Introspector",
    "Posting",
]

MAX_IN_FLIGHT: Final = 64
"""Questions to one issuer at a time. An endpoint that hangs holds this many callers, and refuses the others at once."""

MAX_ANSWER_BYTES: Final = 16 * 1024
"""More than the claims of the largest JWT. What is remembered of a token weighs what its answer takes in memory."""

MAX_TOKEN_BYTES: Final = 16_384
"""As for a JWT."""

MAX_REFUSED: Final = 10_000
"""Refused tokens remembered; some 4 MiB."""

REFUSED_SECONDS: Final = 30.0
"""How long a refusal is remembered. Not longer, because a token that has just been issued may reach the endpoint later
than this server."""

BACK_OFF_SECONDS: Final = 1.0
"""How long a token is not asked about again after the endpoint failed for it. For that token alone: were it for all of
them, one that makes the endpoint stumble would shut everybody out."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750 section 2.1: nothing else can have come from an issuer."""

_FINAL: Final = frozenset(
    {
        "token_inactive",
        "token_expired",
        "token_lifetime_too_long",
        "invalid_audience",
        "invalid_claim",
        "invalid_issuer",
        "invalid_type",
        "missing_claim",
    }
)
"""Refusals that neither time nor another certificate would change."""


class Posting(Protocol):
    """How a question reaches its endpoint."""

    async def post(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str], max_bytes: int) -> bytes:
        """The body of the answer. Raises `Unavailable`."""


class Introspector:
    """Asks one issuer about its tokens."""

    def __init__(
        self,
        issuer: Issuer,
        audiences: Sequence[str],
        *,
        organization_claim: str | None,
        alarm: Callable[[str], None],
        fetcher: Posting | None = None,
    ) -> None:
        """``alarm`` is told ``introspection_unreachable`` or ``introspection_malformed`` when a question fails, and
        ``introspection_saturated`` when one is not asked.

        Raises `ValueError` for settings that cannot be right, and `ModuleNotFoundError` where a private key cannot sign
        for want of a library."""
        settings = issuer.introspection
        if settings is None:
            raise ValueError("introspection is not configured for the issuer")
        self.asks_about_jwts = settings.jwts
        self._issuer = issuer.url
        self._url = settings.url
        self._believed_seconds = settings.max_revocation_delay
        self._organization_claim = organization_claim
        self._alarm = alarm
        self._judge = Judge(issuer, audiences)
        self._client = client_authentication(settings, alarm=alarm)
        # The endpoint's own origin and not the issuer's: it was configured as well, and may lie elsewhere.
        self._fetcher = fetcher or Fetcher(settings.url)
        # Anybody can make up opaque tokens by the thousand: a JWT that is asked about has room of its own.
        share = MAX_IN_FLIGHT // (settings.opaque + settings.jwts)
        self._opaque_flights: Flights[_Reply] = Flights(max_in_flight=share)
        self._jwt_flights: Flights[_Reply] = Flights(max_in_flight=share)
        self._refused: TokenCache[tuple[str, str]] = TokenCache(max_entries=MAX_REFUSED)
        # One for all its tokens: none is withdrawn by itself, the answers grow old instead (`Verified.fresh_until`).
        self._standing = Standing()

    @property
    def standings(self) -> Collection[Standing]:
        """See `Voucher`."""
        return (self._standing,)

    def retire(self, *, keep: Container[Standing]) -> None:
        """See `Voucher`."""
        if self._standing not in keep:
            self._standing.withdraw()

    async def verify(
        self, token: str, *, now: float, certificate_sha256: bytes | None, site: str | None = None
    ) -> Verified:
        """What an opaque token means. ``site``: where it came from, since nothing else is known of its holder yet; one
        has a share of the questions. Raises `Unauthenticated`, and `Unavailable` where its issuer does not tell."""
        answer, asked_at = await self._answer(token, now, self._opaque_flights, site)
        try:
            subject, expires_at = self._judge.check(answer, now=now, certificate_sha256=certificate_sha256)
            principal = self._principal(answer, subject, expires_at)
        except Unauthenticated as refused:
            self._remember(token, refused, asked_at)
            raise
        return Verified(
            principal=principal,
            standing=self._standing,
            # A clock that steps back would make the answer look fresh for longer than it is.
            not_before=asked_at,
            fresh_until=asked_at + self._believed_seconds,
            certificate_sha256=answer.certificate_sha256,
        )

    async def confirmed(self, token: str, verified: Verified, *, now: float) -> Verified:
        """What is verified of a JWT, as long as its issuer does not say that it counts no more."""
        answer, asked_at = await self._answer(token, now, self._jwt_flights, verified.principal.identity)
        try:
            self._judge.check_beside_jwt(answer, now=now, certificate_sha256=verified.certificate_sha256)
        except Unauthenticated as refused:
            self._remember(token, refused, asked_at)
            raise
        if answer.subject not in (None, verified.principal.subject):
            self._alarm("introspection_malformed")
            raise unavailable("the answer is about another subject than the token")
        return replace(
            verified,
            not_before=max(verified.not_before, asked_at),
            fresh_until=min(verified.fresh_until, asked_at + self._believed_seconds),
        )

    async def _answer(
        self, token: str, now: float, flights: Flights[_Reply], asker: str | None
    ) -> tuple[Answer, float]:
        """The answer, and when it was asked for."""
        if len(token) > MAX_TOKEN_BYTES:
            raise refusal("token_too_large")
        if _TOKEN.fullmatch(token) is None:
            raise refusal("malformed_token", "no issuer makes tokens of such characters")
        remembered = self._refused.get(token, now=now)
        if remembered is not None:
            raise refusal(*remembered)
        try:
            reply = await flights.answer(token, lambda: self._ask(token, now), asker=asker)
        except Full:
            self._alarm("introspection_saturated")
            raise unavailable(
                "too many questions to the introspection endpoint wait, in all or for this caller"
            ) from None
        if reply.refused is not None:
            self._remember(token, reply.refused, reply.asked_at)
            raise refusal(reply.refused.code, reply.refused.detail)
        if reply.answer is None:
            raise unavailable(reply.failure)
        return reply.answer, reply.asked_at

    async def _ask(self, token: str, now: float) -> _Reply:
        form = {"token": token, "token_type_hint": "access_token", **self._client.form(now=now)}
        body = None
        # An answer on its way for longer than answers are believed would be too old when it comes.
        with anyio.move_on_after(min(DEADLINE, self._believed_seconds)):
            try:
                body = await self._fetcher.post(
                    self._url, form, headers=self._client.headers(), max_bytes=MAX_ANSWER_BYTES
                )
            except Unavailable as failed:
                return self._failed(token, now, "introspection_unreachable", failed.detail)
        if body is None:
            return self._failed(token, now, "introspection_unreachable", "the introspection endpoint took too long")
        try:
            return _Reply(Answer.read(parse_document(body)), now)
        except ValueError as wrong:  # in fixed words
            return self._failed(token, now, "introspection_malformed", f"the introspection endpoint's answer: {wrong}")
        except Unauthenticated as refused:
            return _Reply(None, now, refused=refused)

    def _failed(self, token: str, now: float, alarm: str, failure: str) -> _Reply:
        self._alarm(alarm)
        self._refused.put(token, ("issuer_unavailable", failure), expires_at=now + BACK_OFF_SECONDS)
        return _Reply(None, now, failure)

    def _remember(self, token: str, refused: Unauthenticated, asked_at: float) -> None:
        if refused.code in _FINAL:
            self._refused.put(token, (refused.code, refused.detail), expires_at=asked_at + REFUSED_SECONDS)

    def _principal(self, answer: Answer, subject: str, expires_at: float) -> Principal:
        return Principal(
            issuer=self._issuer,
            subject=subject,
            client_id=answer.client_id,
            organization=organization_of(answer.claims, self._organization_claim),
            scopes=answer.scopes,
            token_id=answer.token_id,
            expires_at=expires_at,
            claims=answer.claims,
        )


@dataclass(frozen=True, slots=True)
class _Reply:
    """What came of one question: an answer, why there is none, or what is wrong with the token it is about."""

    answer: Answer | None
    asked_at: float
    failure: str = ""
    refused: Unauthenticated | None = None
