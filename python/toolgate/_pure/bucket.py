"""One token bucket: integer arithmetic, nothing else.

The twin of ``rust/bucket.rs``, where the essay stands. A bucket is the instant at which it would be full again; a token
takes ``period`` nanoseconds to come back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["MAX_LIMIT", "Bucket", "Limit", "Rate"]

MAX_LIMIT: Final = 1_000_000_000
"""Above a billion a second a token would take less than one nanosecond, our unit."""

_MAX_LIMIT_TEXT: Final = 64
"""The longest text that can be a limit, with room to spare; longer ones are not echoed."""

_SECOND: Final = 1_000_000_000
_UNITS: Final = {"second": _SECOND, "minute": 60 * _SECOND, "hour": 3_600 * _SECOND, "day": 86_400 * _SECOND}
_FORMS: Final = '"600/minute", "600/minute burst 50" or "2000/day strict", with second, minute, hour or day'
_LIMIT: Final = re.compile(r"([0-9]+)/(second|minute|hour|day)(?: burst ([0-9]+)| (strict))?")


class Rate(NamedTuple):
    """How fast a bucket fills and how much it holds."""

    period: int
    """Nanoseconds until a spent token is back."""
    burst: int
    """Tokens of a full bucket; 0 admits nothing."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A parsed limit."""

    rate: Rate
    unit: str

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Parse what an operator wrote."""
        if not isinstance(text, str):
            raise TypeError("a limit is a str")
        if len(text) > _MAX_LIMIT_TEXT or len(text.encode()) > _MAX_LIMIT_TEXT:
            raise ValueError(f"a limit is at most {_MAX_LIMIT_TEXT} characters; write {_FORMS}")
        match = _LIMIT.fullmatch(text)
        if match is None:
            raise ValueError(f'"{text}" is not a limit: write {_FORMS}')
        limit, unit, time = int(match[1]), match[2], _UNITS[match[2]]
        if limit > MAX_LIMIT:
            raise ValueError(f'"{text}": a limit is at most {MAX_LIMIT}')
        if match[4]:
            # A limit of one keeps a burst of one: it then refills every second unit, which is still half.
            return cls(_rate(2 * time, limit, min(max(limit // 2, 1), limit)), unit)
        burst = int(match[3]) if match[3] else limit
        if match[3] and not 1 <= burst <= limit:
            raise ValueError(f'"{text}": a burst is between 1 and the limit, which is what it is without one')
        return cls(_rate(time, limit, burst), unit)


class Bucket(NamedTuple):
    """One bucket at rest."""

    full_at: int
    rate: Rate

    @classmethod
    def full(cls, rate: Rate) -> Bucket:
        """A full bucket."""
        return cls(0, rate)

    def refund(self, tokens: int) -> Bucket:
        """The bucket after ``tokens`` were given back; it never holds more than its burst, since whatever lies before
        the next ``now`` is full."""
        return Bucket(max(self.full_at - self.rate.period * tokens, 0), self.rate)

    def remaining(self, now: int) -> int:
        """Whole tokens left."""
        period, burst = self.rate
        return max(period * burst - max(self.full_at - now, 0), 0) // period

    def convert(self, rate: Rate, now: int) -> Bucket:
        """The bucket under another rate, with consumed tokens still consumed, and nobody locked out for longer than one
        refill."""
        if self.rate == rate:
            return self
        backlog = -(-max(self.full_at - now, 0) * rate.period // self.rate.period)
        return Bucket(now + min(backlog, rate.period * rate.burst), rate)

    def spend(self, cost: int, now: int) -> Bucket | int | None:
        """The bucket after ``cost`` tokens were taken; or the nanoseconds until it holds them, if nobody else comes; or
        None, when it never does. A cost of 0 only looks."""
        full_at, (period, burst) = self
        if cost > burst:
            return None
        if cost == 0:
            return self
        full_at = max(full_at, now) + period * cost
        early = full_at - now - period * burst
        return early if early > 0 else Bucket(full_at, self.rate)


def _rate(time: int, limit: int, burst: int) -> Rate:
    """``limit`` tokens a ``time``; a limit of 0 admits nothing, so that its period does not matter."""
    return Rate(-(-time // max(limit, 1)), burst)
