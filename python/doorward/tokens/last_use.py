"""When each agent was last seen, to the minute: kept in memory, now and then in a file beside that of the agents."""

from __future__ import annotations

import logging
import re
from collections.abc import Container
from pathlib import Path
from typing import Final

from doorward import private_files
from doorward.tokens.toml_tables import written_instant

__all__ = ["INTERVAL", "LastUse", "last_use_file", "last_uses"]

INTERVAL: Final = 60.0
"""Seconds between two writes: as much is forgotten when the process dies."""

_LINE: Final = re.compile(r"([0-9a-z]{12}) = ([0-9]{1,11})(?: #.*)?")

_log = logging.getLogger("doorward.tokens")


class LastUse:
    """The last use of each agent, in this process and, as far as the file knows, in others."""

    def __init__(self, agents_file: Path) -> None:
        self._path = last_use_file(agents_file)
        self._uses: dict[str, float] = {}
        self._written = float("-inf")
        self._complained = False

    def note(self, agent_id: str, known: Container[str], *, now: float) -> None:
        """The agent was seen; ``known``: whoever is not among these is forgotten. Nothing that goes wrong here is worth
        a call."""
        self._uses[agent_id] = now
        if not 0 <= now - self._written < INTERVAL:
            self._written = now
            self._write(known)

    def _write(self, known: Container[str]) -> None:
        uses = last_uses(self._path)
        for agent_id, seen in self._uses.items():
            uses[agent_id] = max(seen, uses.get(agent_id, 0.0))
        self._uses = {agent_id: seen for agent_id, seen in uses.items() if agent_id in known}
        try:
            lines = [f"{agent_id} = {int(seen)} # {written_instant(seen)}\n" for agent_id, seen in self._uses.items()]
            private_files.replace(self._path, ["".join(lines).encode()], durable=False)
        except (OSError, OverflowError, ValueError) as error:
            if not self._complained:
                _log.warning("%s: the last use of agents is not kept: %s", self._path, type(error).__name__)
            self._complained = True


def last_use_file(agents_file: Path) -> Path:
    """Where the last uses of the agents of a file are kept."""
    return agents_file.with_name(f"{agents_file.name}.last-used")


def last_uses(path: Path) -> dict[str, float]:
    """What the file says, as far as it can be read: seconds since the epoch by agent."""
    try:
        data, _ = private_files.read(path, anybodys=True)
    except (OSError, ValueError):
        return {}
    lines = map(_LINE.fullmatch, data.decode("ascii", "replace").splitlines())
    return {line[1]: float(line[2]) for line in lines if line is not None}
