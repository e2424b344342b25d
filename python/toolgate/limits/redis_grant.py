"""An admission that Redis, a lease or a fallback gave, and what it takes to undo it."""

from __future__ import annotations

from typing import TypeAlias

from toolgate._core import Grant, Limiter
from toolgate.limits.lease_held import Lease
from toolgate.limits.redis_keys import Plan
from toolgate.limits.redis_script import Answer

__all__ = ["Leased", "Locally", "RemoteGrant", "Source"]

Leased: TypeAlias = "list[Lease | None]"
Locally: TypeAlias = "tuple[Limiter, Grant]"
Source: TypeAlias = "Answer | Lease | Leased | Locally"


class RemoteGrant:
    """An admission."""

    __slots__ = ("_plan", "_source", "remaining", "would_deny")

    def __init__(
        self, plan: Plan, remaining: tuple[int, ...], would_deny: tuple[str, ...] = (), source: Source | None = None
    ) -> None:
        self._plan = plan
        self._source = source
        """Who is told when it is undone: Redis, by its answer; the leases; or the limiter in this process. None when it
        was."""
        self.remaining = remaining
        """Whole tokens left, in the order of the charges: those held here and those that Redis had when it was last
        asked; zeros where nobody could be asked."""
        self.would_deny = would_deny
        """Keys of the observed charges that would have refused."""

    def __repr__(self) -> str:
        return f"RemoteGrant(remaining={self.remaining}, would_deny={self.would_deny})"
