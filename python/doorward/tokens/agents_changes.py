"""What `doorward tokens` does to the agents: each change takes them all and gives them all, and the time is an
argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from doorward import checks
from doorward.tokens.agent_tokens import digest_of, new_id, new_token
from doorward.tokens.agents_file import Agent, Hash, check_name

__all__ = ["LONGEST", "Changed", "NoSuchAgent", "create", "find", "revoke", "rotate"]

LONGEST: Final = 3650 * 86_400.0
"""Seconds that a token may live. "Never" is how long a lost one would be good for."""


class NoSuchAgent(ValueError):
    """No agent is meant, or more than one."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The agents after a change, and the one it was about."""

    agents: tuple[Agent, ...]
    agent: Agent
    token: str = field(default="", repr=False)
    """The new token, where there is one: nobody can tell it a second time."""


def create(
    agents: Sequence[Agent],
    name: str,
    *,
    scopes: Sequence[str],
    organization: str | None,
    lifetime: float,
    now: float,
) -> Changed:
    """A new agent. Raises `ValueError`."""
    check_name("the name", name)
    if organization is not None:
        check_name("the organization", organization)
    if any(each.name == name and each.revoked is None for each in agents):
        raise ValueError("an agent of this name is there already: rotate or revoke it, or take another name")
    agent_id = new_id()
    token, kept = _new(agent_id, lifetime=lifetime, now=now)
    agent = Agent(
        id=agent_id,
        name=name,
        scopes=checks.scopes("scopes", list(scopes)),
        organization=organization,
        created=kept.created,
        hashes=(kept,),
    )
    return Changed((*agents, agent), agent, token)


def rotate(agents: Sequence[Agent], which: str, *, overlap: float, lifetime: float | None, now: float) -> Changed:
    """A new token for an agent; the one before counts until ``overlap`` is over, and any older one ends now. Without a
    ``lifetime`` the new one lives as long as the one before was to. Raises `ValueError`."""
    agent = find(agents, which)
    if agent.revoked is not None:
        raise ValueError("this agent was revoked: create another one")
    newest = agent.hashes[0]
    token, kept = _new(agent.id, lifetime=newest.expires - newest.created if lifetime is None else lifetime, now=now)
    before = replace(newest, expires=min(newest.expires, float(int(now + overlap))))
    changed = replace(agent, hashes=(kept, before) if before.expires > now else (kept,))
    return Changed(_with(agents, changed), changed, token)


def revoke(agents: Sequence[Agent], which: str, *, now: float) -> Changed:
    """End an agent's tokens. It stays in the file, so that its callers are told why. Raises `ValueError`."""
    agent = find(agents, which)
    changed = agent if agent.revoked is not None else replace(agent, revoked=float(int(now)))
    return Changed(_with(agents, changed), changed)


def find(agents: Sequence[Agent], which: str) -> Agent:
    """The agent of this id, or else of this name. Raises `NoSuchAgent`."""
    found = [each for each in agents if each.id == which]
    found = found or [each for each in agents if each.name == which]
    found = [each for each in found if each.revoked is None] or found
    if not found:
        raise NoSuchAgent("no agent has this id or name: `doorward tokens list` shows them")
    if len(found) > 1:
        raise NoSuchAgent("more than one agent has this name: give the id")
    return found[0]


def _new(agent_id: str, *, lifetime: float, now: float) -> tuple[str, Hash]:
    if not 1 <= lifetime <= LONGEST:
        raise ValueError(f"a token lives from a second to {LONGEST / 86_400:.0f} days")
    token = new_token(agent_id)
    created = float(int(now))  # as the file will say it
    return token, Hash(digest_of(token), created, created + float(int(lifetime)))


def _with(agents: Sequence[Agent], changed: Agent) -> tuple[Agent, ...]:
    return tuple(changed if each.id == changed.id else each for each in agents)
