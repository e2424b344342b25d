"""The simple pattern: one long-lived token for each agent, kept as a hash in a file."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from doorward.errors import refusal
from doorward.principal import Principal
from doorward.settings import Agents
from doorward.tokens.agent_tokens import AGENTS_ISSUER, digest_of, id_of
from doorward.tokens.agents_file import Agent, Hash, parse
from doorward.tokens.last_use import LastUse
from doorward.tokens.verified import Verified
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
        self._hashes = _by_hash(self._agents)
        self._generation = 0
        self._last_use = LastUse(self._file.path)

    @property
    def agents(self) -> tuple[Agent, ...]:
        """All agents in the file, revoked ones included."""
        return tuple(self._agents.values())

    @property
    def generation(self) -> int:
        """Another one whenever an agent was changed or taken out."""
        return self._generation

    def withdraw(self) -> None:
        """See `Voucher`."""
        self._generation += 1

    def verify(self, token: str, *, now: float) -> Verified:
        """Who the token's agent is. Raises `Unauthenticated`."""
        id_of(token)
        self.keep_up(now)
        # Read before the hashes are: a change in between makes the result look older than it is, never newer.
        generation = self._generation
        agent, kept = _holder(token, self._hashes, now)
        self._last_use.note(agent.id, self._agents, now=now)
        looked_at = self._file.looked_at
        return Verified(
            principal=_principal(agent, kept),
            voucher=self,
            generation=generation,
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
        before, self._agents = self._agents, self._file.value
        self._hashes = _by_hash(self._agents)
        if not before.items() <= self._agents.items():
            self._generation += 1


_NOTHING: Final = (
    Agent(id="", name="", scopes=(), organization=None, created=0.0, hashes=()),
    Hash(secrets.token_bytes(32), created=0.0, expires=0.0),
)
"""What stands in for a hash that is not there: the same work, and never a match."""


def holder(token: str, agents: Iterable[Agent], *, now: float) -> Principal:
    """Who the token's agent is, of these agents. Notes no use. Raises `Unauthenticated`."""
    return _principal(*_holder(token, _by_hash({agent.id: agent for agent in agents}), now))


def _holder(token: str, hashes: Mapping[bytes, tuple[Agent, Hash]], now: float) -> tuple[Agent, Hash]:
    agent_id, digest = id_of(token), digest_of(token)
    # Looked up by its hash, not by its id, a wrong secret and an agent that does not exist are the same miss; and
    # what is found or not is compared in constant time.
    agent, kept = hashes.get(digest, _NOTHING)
    if not hmac.compare_digest(kept.digest, digest) or agent.id != agent_id:
        raise refusal("unknown_agent", "no agent has this token")
    if agent.revoked is not None:
        raise refusal("token_revoked", "the agent was revoked")
    if now >= kept.expires:
        raise refusal("token_expired")
    return agent, kept


def _by_id(data: bytes) -> Mapping[str, Agent]:
    return {agent.id: agent for agent in parse(data)}


def _by_hash(agents: Mapping[str, Agent]) -> Mapping[bytes, tuple[Agent, Hash]]:
    return {kept.digest: (agent, kept) for agent in agents.values() for kept in agent.hashes}


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
