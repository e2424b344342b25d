"""Every kind of credential, told apart by its form alone, and revocation, which wins over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from doorward._core import token_issuer
from doorward.errors import Unauthenticated, Unavailable, refusal
from doorward.principal import Principal
from doorward.settings import Agents, Issuer, Revocation
from doorward.tokens.agent_tokens import is_agent_token, is_of_former_name
from doorward.tokens.agents import AgentTokens
from doorward.tokens.agents_file import Agent
from doorward.tokens.introspection import Introspector
from doorward.tokens.jwks import FetchedKeys
from doorward.tokens.jwt import AccessTokens
from doorward.tokens.keys import GivenKeys, Keys
from doorward.tokens.lifetimes import warn_of_long_lifetime
from doorward.tokens.revocation import Revocations
from doorward.tokens.shapes import with_shape
from doorward.tokens.unnamed_clients import warn_of_unnamed_client
from doorward.tokens.verified import Verified, Voucher

if TYPE_CHECKING:
    from doorward._redis import Store

__all__ = ["Tokens"]

MAX_TOKEN_BYTES: Final = 16_384
"""Of any credential: beyond what servers take as a header."""


class Tokens:
    """Authenticates bearer tokens for one resource."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        *,
        audiences: Sequence[str],
        organization_claim: str | None,
        agents: Agents | None = None,
        revocation: Revocation | None = None,
        alarm: Callable[[str], None],
        store: Store | None = None,
        prefix: str = "doorward",
        before: Tokens | None = None,
    ) -> None:
        """``alarm`` is told, by a slug, what an operator should know. Through the ``store`` the instances that use it
        under the same ``prefix`` tell each other what was revoked. ``before``: whom these succeed; what is configured
        as it was keeps what it fetched, and what was revoked stays so. Raises `ValueError` for a configuration that
        cannot be right."""
        opaque = [issuer.url for issuer in issuers if issuer.introspection is not None and issuer.introspection.opaque]
        if len(opaque) > 1:
            raise ValueError("issuers: at most one may introspect opaque tokens, or one would see the other's")
        self._leeway = {issuer.url: issuer.leeway for issuer in issuers}
        self._audiences = tuple(audiences)
        self._keys = {issuer.url: (issuer, self._keys_of(issuer, alarm, before)) for issuer in issuers}
        self._access_tokens = AccessTokens(
            {url: keys for url, (_, keys) in self._keys.items()}, organization_claim=organization_claim
        )
        self._organization_claim = organization_claim
        self._introspectors = {
            issuer.url: self._introspector_of(issuer, alarm, before)
            for issuer in issuers
            if issuer.introspection is not None
        }
        self._opaque = self._introspectors[opaque[0]] if opaque else None
        with _about("agents.file"):
            self._agents = None if agents is None else _agents_of(agents, alarm, before)
        revoked = None if before is None else before.revocations
        with _about("revocation.file"):
            self.revocations: Revocations = Revocations(
                revocation, alarm=alarm, store=store, prefix=prefix, before=revoked
            )

    async def authenticate(
        self,
        token: str,
        *,
        now: float,
        certificate_sha256: bytes | None,
        may_ask: Callable[[], None] = lambda: None,
        charge: Callable[[], None] = lambda: None,
        site: str | None = None,
    ) -> Verified:
        """What the token means. Never caches. ``may_ask`` is called before an issuer is asked about the token, and
        ``charge`` before its keys are fetched because of a signature that does not verify; both may refuse. ``site``:
        the address it came from (`site_of`), None where there is none. Raises `Unauthenticated`, or `Unavailable`
        where it cannot be told now."""
        await self.revocations.ready()
        verified = await self._verified(token, now, certificate_sha256, may_ask, charge, site)
        if self.revocations.cover(verified.principal, now=now):
            raise refusal("token_revoked", "the token or its holder was revoked")
        return verified

    def holds(self, verified: Verified, *, now: float, certificate_sha256: bytes | None) -> bool:
        """Whether a remembered answer still is the answer; where it is not, `authenticate` says what is."""
        return verified.holds(now=now, certificate_sha256=certificate_sha256) and self.revocations.spare(
            verified.principal, now=now
        )

    def has_withdrawn(self, verified: Verified, *, now: float) -> bool:
        """Whether the credential was revoked since, or the key that verified it withdrawn, or its agent changed. Asks
        no issuer."""
        if self._agents is not None:
            # Keys and revocations are looked at by requests that bring a token. While a stream is open none may come.
            self._agents.keep_up(now)
        return verified.standing.withdrawn or self.revocations.cover(verified.principal, now=now)

    @property
    def agents(self) -> tuple[Agent, ...]:
        """The agents in the file, revoked ones included; none where no file is configured."""
        return () if self._agents is None else self._agents.agents

    def flush(self) -> None:
        """Write when the agents were last seen."""
        if self._agents is not None:
            self._agents.flush()

    async def unreachable_issuers(self, *, now: float) -> list[str]:
        """Fetch the keys of each issuer whose keys are not known yet, and return the URLs of those that have none.
        ``now``: seconds since the epoch."""
        unreachable = []
        for url, (_, keys) in self._keys.items():
            try:
                await keys.published(now=now)
            except Unavailable:
                unreachable.append(url)
        return unreachable

    def give_way_to(self, successor: Tokens) -> None:
        """Now that ``successor`` authenticates, withdraw what only this configuration trusts: keys, agents, endpoints.
        What both trust stays valid."""
        self.flush()
        remain = list(successor._vouchers())
        keep = {standing for voucher in remain for standing in voucher.standings}
        for voucher in self._vouchers():
            if not any(voucher is each for each in remain):
                voucher.retire(keep=keep)

    def good_until(self, principal: Principal) -> float:
        """When the principal's token stops to count, leeway included; seconds since the epoch."""
        return principal.expires_at + self._leeway.get(principal.issuer, 0.0)

    def note_caller(self, principal: Principal, *, now: float) -> None:
        """Warn in the log of an issuer whose tokens live long or name no client. Agent tokens are meant to live long
        and always name one."""
        if principal.issuer in self._leeway:
            warn_of_long_lifetime(principal, now=now)
            warn_of_unnamed_client(principal)

    def _vouchers(self) -> Iterator[Voucher]:
        for _, keys in self._keys.values():
            yield keys
        yield from self._introspectors.values()
        if self._agents is not None:
            yield self._agents

    def _introspector_of(self, issuer: Issuer, alarm: Callable[[str], None], before: Tokens | None) -> Introspector:
        claim = self._organization_claim
        known = None if before is None else before._introspectors.get(issuer.url)
        if before is not None and known is not None:
            made_of = before._keys[issuer.url][0], before._audiences, before._organization_claim
            if made_of == (issuer, self._audiences, claim):
                return known
        return Introspector(issuer, self._audiences, organization_claim=claim, alarm=alarm)

    def _keys_of(self, issuer: Issuer, alarm: Callable[[str], None], before: Tokens | None) -> Keys:
        known = None if before is None else before._keys.get(issuer.url)
        if before is not None and known is not None and (known[0], before._audiences) == (issuer, self._audiences):
            # An issuer that is away just now must not be forgotten for a change that has nothing to do with it.
            return known[1]
        if issuer.jwks is not None:
            return GivenKeys(issuer, self._audiences, before=self._rotated(issuer, before))
        return FetchedKeys(issuer, self._audiences, alarm=alarm)

    def _rotated(self, issuer: Issuer, before: Tokens | None) -> GivenKeys | None:
        """The keys that were given for this issuer so far, where nothing but the keys has changed."""
        known = None if before is None else before._keys.get(issuer.url)
        if before is None or known is None or not isinstance(known[1], GivenKeys):
            return None
        same = _without_keys(known[0]) == _without_keys(issuer) and before._audiences == self._audiences
        return known[1] if same else None

    async def _verified(
        self,
        token: str,
        now: float,
        certificate_sha256: bytes | None,
        may_ask: Callable[[], None],
        charge: Callable[[], None],
        site: str | None,
    ) -> Verified:
        if len(token) > MAX_TOKEN_BYTES:
            raise refusal("token_too_large")
        if is_agent_token(token):
            # Never sent anywhere, and never taken for anything else.
            if self._agents is None:
                raise refusal("malformed_token", "agent tokens are not configured")
            return self._agents.verify(token, now=now)
        issuer = token_issuer(token)
        if issuer is None:
            if self._agents is not None and is_of_former_name(token):
                raise refusal(
                    "malformed_token",
                    "an agent token from before the project was renamed: issue another with `doorward tokens rotate`",
                )
            if self._opaque is None:
                raise refusal("malformed_token", "the token is not a JWT")
            may_ask()
            return await self._opaque.verify(token, now=now, certificate_sha256=certificate_sha256, site=site)
        verified = await self._verified_jwt(token, issuer, now, certificate_sha256, charge)
        introspector = self._introspectors.get(verified.principal.issuer)
        if introspector is not None and introspector.asks_about_jwts:
            return await introspector.confirmed(token, verified, now=now)
        return verified

    async def _verified_jwt(
        self, token: str, issuer: str, now: float, certificate_sha256: bytes | None, charge: Callable[[], None]
    ) -> Verified:
        try:
            return await self._access_tokens.verify(
                token, issuer, now=now, certificate_sha256=certificate_sha256, charge=charge
            )
        except Unauthenticated as refused:
            if issuer not in self._keys:
                raise
            raise with_shape(refused, token, self._keys[issuer][0], self._audiences) from None


def _agents_of(agents: Agents, alarm: Callable[[str], None], before: Tokens | None) -> AgentTokens:
    known = None if before is None else before._agents
    return known if known is not None and known.settings == agents else AgentTokens(agents, alarm=alarm)


def _without_keys(issuer: Issuer) -> list[object]:
    return [getattr(issuer, each.name) for each in fields(issuer) if each.name != "jwks"]


@contextmanager
def _about(argument: str) -> Iterator[None]:
    """What is wrong with a file is told by the name of the argument that names it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{argument} {error}") from None
