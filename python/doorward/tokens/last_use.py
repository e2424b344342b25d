"""When each agent was last seen: kept in memory, and written to a file next to that of the agents at most once a
minute, by a timer, and when the gate is flushed or closed."""

from __future__ import annotations

import atexit
import logging
import re
from collections.abc import Container
from pathlib import Path
from typing import Final
from weakref import WeakSet

import anyio

from doorward import background, private_files
from doorward.tokens.toml_tables import written_instant

__all__ = ["INTERVAL", "LastUse", "last_use_file", "last_uses"]

INTERVAL: Final = 60.0
"""Seconds between two writes: as much is lost when the process is killed."""

_LINE: Final = re.compile(r"([0-9a-z]{12}) = ([0-9]{1,11})(?: #.*)?")

_log = logging.getLogger("doorward.tokens")


_in_use: Final[WeakSet[LastUse]] = WeakSet()
"""Those to write when the process ends."""


class LastUse:
    """The last use of each agent, in this process and, as far as the file knows, in others."""

    def __init__(self, agents_file: Path) -> None:
        self._path = last_use_file(agents_file)
        self._uses: dict[str, float] = {}
        self._known: Container[str] = ()
        self._written = float("-inf")
        self._is_due = False
        """Whether a use was noted since the last write."""
        self._waits = False
        """Whether a task waits to write it."""
        self._complained = False
        _in_use.add(self)

    def note(self, agent_id: str, known: Container[str], *, now: float) -> None:
        """The agent was seen; ``known``: whoever is not among these is forgotten. Nothing that goes wrong here is worth
        a call."""
        self._uses[agent_id] = now
        self._known, self._is_due = known, True
        if not 0 <= now - self._written < INTERVAL:
            self._written = now
            self.flush()
        elif not self._waits:
            self._write_later()

    def flush(self) -> None:
        """Write what was noted since the last write."""
        if self._is_due:
            self._is_due = False
            self._write(self._known)

    def _write_later(self) -> None:
        try:
            background.running_loop()
        except RuntimeError:
            return  # `flush` writes it
        self._waits = True
        background.start(self._write_after_interval)

    async def _write_after_interval(self) -> None:
        try:
            await anyio.sleep(INTERVAL)
            self.flush()
        finally:
            self._waits = False

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


@atexit.register
def _flush_all() -> None:
    """For a program that ends without closing its gate."""
    for each in list(_in_use):
        each.flush()
