"""The simple pattern: one long-lived token for each agent, kept as a hash in a file."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from doorward.errors import refusal
from doorward.principal import Principal
from doorward.settings import Agents
from doorward.tokens.agent_tokens import AGENTS_ISSUER, digest_of, id_of
from doorward.tokens.agents_file import Agent, Hash, parse
from doorward.tokens.last_use import LastUse
from doorward.tokens.verified import Standing, Verified
from doorward.tokens.watched import INTERVAL, Watched

__all__ = ["AgentTokens", "holder"]


class AgentTokens:
    """The agents of one file. It is read again when it changes; what cannot be read never replaces what could."""

    def __init__(self, settings: Agents, *, alarm: Callable[[str], None] | None = None) -> None:
        """``alarm`` is told ``agents_file_unreadable`` when the file goes bad. Raises `ValueError` that names the
        file."""
        self.settings = settings
        try:
            self._file = Watched(settings.file, _by_id, alarm=alarm, slug="agents_file_unreadable")
        except ValueError as error:
            raise ValueError(f"{error} (`doorward tokens create` writes files of agents)") from None
        self._agents = self._file.value
        self._tokens = _by_hash(self._agents, before={})
        self._last_use = LastUse(self._file.path)

    @property
    def agents(self) -> tuple[Agent, ...]:
        """All agents in the file, revoked ones included."""
        return tuple(self._agents.values())

    @property
    def standings(self) -> Collection[Standing]:
        """See `Voucher`."""
        return [each.standing for each in self._tokens.values()]

    def retire(self, *, keep: Container[Standing]) -> None:
        """See `Voucher`."""
        for standing in self.standings:
            if standing not in keep:
                standing.withdraw()

    def verify(self, token: str, *, now: float) -> Verified:
        """Who the token's agent is. Raises `Unauthenticated`."""
        id_of(token)
        self.keep_up(now)
        found = _holder(token, self._tokens, now)
        self._last_use.note(found.agent.id, self._agents, now=now)
        looked_at = self._file.looked_at
        return Verified(
            principal=_principal(found.agent, found.kept),
            standing=found.standing,
            # Good until the next look at the file is due: whoever remembers this comes back then, also when the clock
            # was set back.
            not_before=looked_at,
            fresh_until=looked_at + INTERVAL,
        )

    def flush(self) -> None:
        """Write when the agents were last seen."""
        self._last_use.flush()

    def keep_up(self, now: float) -> None:
        """Look whether the file is another one, where that is due."""
        if not self._file.look(now):
            return
        before, self._agents = self._tokens, self._file.value
        self._tokens = _by_hash(self._agents, before=before)
        keep = set(self.standings)
        for token in before.values():
            if token.standing not in keep:
                token.standing.withdraw()


@dataclass(frozen=True, slots=True)
class _Token:
    agent: Agent
    kept: Hash
    standing: Standing

    @property
    def means(self) -> Agent:
        """The agent without its tokens: a rotation changes the tokens, and nothing about the agent."""
        return replace(self.agent, hashes=())


_NOTHING: Final = _Token(
    Agent(id="", name="", scopes=(), organization=None, created=0.0, hashes=()),
    Hash(secrets.token_bytes(32), created=0.0, expires=0.0),
    Standing(),
)
"""What stands in for a hash that is not there: the same work, and never a match."""


def holder(token: str, agents: Iterable[Agent], *, now: float) -> Principal:
    """Who the token's agent is, of these agents. Notes no use. Raises `Unauthenticated`."""
    found = _holder(token, _by_hash({agent.id: agent for agent in agents}, before={}), now)
    return _principal(found.agent, found.kept)


def _holder(token: str, tokens: Mapping[bytes, _Token], now: float) -> _Token:
    agent_id, digest = id_of(token), digest_of(token)
    # Looked up by its hash, not by its id, a wrong secret and an agent that does not exist are the same miss; and
    # what is found or not is compared in constant time.
    found = tokens.get(digest, _NOTHING)
    agent, kept = found.agent, found.kept
    if not hmac.compare_digest(kept.digest, digest) or agent.id != agent_id:
        raise refusal("unknown_agent", "no agent has this token")
    if agent.revoked is not None:
        raise refusal("token_revoked", "the agent was revoked")
    if now >= kept.expires:
        raise refusal("token_expired")
    return found


def _by_id(data: bytes) -> Mapping[str, Agent]:
    return {agent.id: agent for agent in parse(data)}


def _by_hash(agents: Mapping[str, Agent], *, before: Mapping[bytes, _Token]) -> Mapping[bytes, _Token]:
    """The tokens by their hash. One that means the same as ``before`` keeps its standing, also where a rotation made it
    end earlier."""
    tokens = {}
    for agent in agents.values():
        for kept in agent.hashes:
            token = _Token(agent, kept, Standing(good_until=kept.expires))
            known = before.get(kept.digest)
            if known is not None and known.means == token.means:
                known.standing.good_until = kept.expires
                token = replace(token, standing=known.standing)
            tokens[kept.digest] = token
    return tokens


def _principal(agent: Agent, kept: Hash) -> Principal:
    return Principal(
        issuer=AGENTS_ISSUER,
        subject=agent.id,
        # Reads well in a record; budgets hang on it and the id together, so that a name used twice mixes nothing.
        client_id=agent.name,
        organization=agent.organization,
        scopes=agent.scopes,
        # Tells the two tokens of a rotation apart: a part of a public hash, and no part of the token.
        token_id=f"{agent.id}-{kept.digest[:4].hex()}",
        expires_at=kept.expires,
    )
