"""What one process holds of one bucket: a lease, how hot the key is, and what was refused a moment ago."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from anyio import Event

from doorward._core import Holding
from doorward.limits.redis_keys import Bucket

__all__ = ["LEASE_SECONDS", "MOST_LEASED", "Held", "Lease", "most_leased"]

LEASE_SECONDS: Final = 1.0
"""Counted from when a lease was asked for, so that no network makes it longer."""

MOST_LEASED: Final = 1_000
"""Tokens: at a hundred thousand calls a second Redis is asked a hundred times."""

_PART: Final = 20
"""A lease is at most this part of a burst: a small budget is not laid up in one instance."""

_LEAST: Final = 5
"""Below, leasing saves little: budgets with a burst of less than a hundred are decided call by call."""

_HOT: Final = 2.0
"""Tokens spent in the time of a lease that make a key a hot one."""


@dataclass(slots=True, eq=False)
class Lease:
    """What one answer granted, and what it takes to give some of it back."""

    granted: int
    at: float
    after: tuple[float, ...]


class Held(Holding):
    """One bucket, as far as it is held here."""

    __slots__ = (
        *("__weakref__", "_asked", "_blocked_cost", "_blocked_told", "_blocked_until", "_counted", "_most", "_seen"),
        "asking",
    )

    lease: Lease | None

    def __new__(cls, most: int) -> Held:
        return super().__new__(cls)

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._seen = 0.0
        self._asked = 0.0
        self._counted = 0
        self._blocked_cost = 0
        self._blocked_until = 0.0
        self._blocked_told: float | None = 0.0
        self.asking: Event | None = None
        """Somebody asks for more; it is set when there is an answer."""

    def wanted(self, need: int, now: float) -> int:
        """How many to ask for when ``need`` are needed: what was spent lately in the time of a lease."""
        self._look_back(now)
        return max(need, min(self._most, math.ceil(self._seen))) if self._seen >= _HOT else need

    def begin(self, lease: Lease, tokens: int, sent: float) -> None:
        """Hold so many tokens of a lease that was asked for at ``sent``."""
        self.lease, self.tokens, self.until = lease, tokens, sent + LEASE_SECONDS
        self._counted = 0

    def end(self, now: float) -> int:
        """The lease is over. How many of its tokens nobody spent."""
        self._look_back(now)
        unspent, self.tokens, self.lease, self._counted = self.tokens, 0, None, 0
        return unspent

    def block(self, cost: int, wait: int, *, sent: float, received: float) -> None:
        """So much was refused, for so many microseconds or, when negative, for ever. It is believed for the time of a
        lease: others may give back what they hold."""
        seconds = LEASE_SECONDS if wait < 0 else wait / 1e6
        self._blocked_cost = cost
        # Never longer than Redis would refuse; and whoever is told to wait is not told too little.
        self._blocked_until = sent + min(seconds, LEASE_SECONDS)
        self._blocked_told = None if wait < 0 else received + seconds

    def blocked(self, cost: int, now: float) -> int:
        """The microseconds for which so much is known to be refused, -1 when for ever; 0 when it is not known."""
        if now >= self._blocked_until or cost < self._blocked_cost or not cost:
            return 0
        return -1 if self._blocked_told is None else max(math.ceil((self._blocked_told - now) * 1e6), 1)

    def unblock(self) -> None:
        """Something was given back: what was refused may not be now."""
        self._blocked_until = 0.0

    def forget(self) -> None:
        """A forked process holds nothing: its parent does."""
        self.tokens, self.lease, self.until, self.asking = 0, None, 0.0, None

    def _look_back(self, now: float) -> None:
        """Count what was spent, and let what is long ago fade."""
        spent = self.lease.granted - self.tokens if self.lease is not None else 0
        self._seen = self._seen * math.exp(min(self._asked - now, 0.0) / LEASE_SECONDS) + max(spent - self._counted, 0)
        self._asked, self._counted = now, spent


def most_leased(bucket: Bucket) -> int:
    """The largest lease of a bucket; 0 where there is none."""
    most = min(bucket.burst // _PART, MOST_LEASED)
    return most if most >= _LEAST else 0
