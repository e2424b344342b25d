"""What a token bucket promises, in whole tokens, by one clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}


class Promise(NamedTuple):
    """A limit as its two numbers."""

    per_second: float
    burst: int

    @classmethod
    def of(cls, limit: str) -> Promise:
        """Of a limit such as ``600/minute burst 50``."""
        amount, rest = limit.split("/")
        unit, *option = rest.split()
        return cls(int(amount) / UNITS[unit], int(option[1]) if option else int(amount))

    def most(self, microseconds: int) -> int:
        """How many tokens there ever were, from full, within that time."""
        return self.burst + int(self.per_second * microseconds / 1e6)

    def least(self, microseconds: int) -> int:
        """How many of them must have been had where somebody always wanted one: all but one in a thousand."""
        return int(0.999 * (self.burst + self.per_second * microseconds / 1e6))


def excess(promise: Promise, times: Sequence[tuple[float, float]]) -> float:
    """By how much the worst window of all has more admissions than a bucket would have allowed in it.

    An admission happened somewhere between its call and its answer, so only those count in a window that lie in it
    with both.
    """
    by_end = sorted((end, start) for start, end in times)
    worst = 0.0
    for opens, _ in times:
        inside = 0
        for end, start in by_end:
            if start >= opens:
                inside += 1
                worst = max(worst, inside - promise.per_second * (end - opens))
    return worst - promise.burst
