"""Files of agents for tests: made, rotated and revoked as the command does it, at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from doorward.settings import Agents
from doorward.tokens import agents_changes, agents_file
from doorward.tokens.agents import AgentTokens
from doorward.tokens.agents_file import Agent

NOW = 1_800_000_000.0
DAY = 86_400.0


class AgentsFile:
    """A file of agents."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch(mode=0o600)

    def create(self, name: str = "nightly", **given: Any) -> str:
        """A new agent's token."""
        settings = {"scopes": ["mcp:tools:read"], "organization": "acme", "lifetime": 30 * DAY, "now": NOW, **given}
        return self._change(lambda agents: agents_changes.create(agents, name, **settings))

    def rotate(self, name: str = "nightly", *, now: float, overlap: float = DAY, lifetime: float | None = None) -> str:
        """Its next token."""
        return self._change(
            lambda agents: agents_changes.rotate(agents, name, overlap=overlap, lifetime=lifetime, now=now)
        )

    def revoke(self, name: str = "nightly", *, now: float) -> None:
        """The end of its tokens."""
        self._change(lambda agents: agents_changes.revoke(agents, name, now=now))

    def agent(self, name: str = "nightly") -> Agent:
        """What the file keeps of it."""
        return agents_changes.find(agents_file.read(self.path), name)

    def tokens(self, **given: Any) -> AgentTokens:
        """What verifies them."""
        return AgentTokens(Agents(str(self.path)), **given)

    def _change(self, change: Any) -> str:
        token = ""

        def changed(agents: Any) -> Any:
            nonlocal token
            result = change(agents)
            token = result.token
            return result.agents

        agents_file.change(self.path, changed)
        return token
