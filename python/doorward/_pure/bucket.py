"""One token bucket: integer arithmetic, nothing else.

The twin of ``rust/bucket.rs``, where the essay stands. A bucket is the instant at which it would be full again; a token
takes ``period`` nanoseconds to come back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["MAX_DEBT", "MAX_INSTANCES", "MAX_LIMIT", "Bucket", "Limit", "Rate"]

MAX_LIMIT: Final = 1_000_000_000
"""Above a billion a second a token would take less than one nanosecond, our unit."""

MAX_INSTANCES: Final = 10_000
"""More processes than anybody runs side by side."""

MAX_DEBT: Final = 1
"""Full bursts a bucket may be below empty when a call turns out to cost more than it was charged, so that nobody is
locked out for longer than two refills."""

_UNKNOWN: Final = 2**64 - 1
"""So much was given back that the native core has lost count."""

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

    def share(self, instances: int) -> Rate:
        """The share of one of so many processes that count apart. Where there are more of them than tokens each has
        one: together they may burst that much, but they never refill faster than the limit."""
        return Rate(self.period * instances, min(max(self.burst // instances, 1), self.burst))

    @property
    def capacity(self) -> int:
        """Nanoseconds in which an empty bucket fills."""
        return self.period * self.burst


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
    """When it would be full again, in ticks."""
    rate: Rate
    last: int = 0
    """The last tick at which it was spent from."""
    since: int = 0
    """Since when it has not been full: tells the spends of this busy period from earlier ones."""
    given: int = 0
    """Nanoseconds given back in this busy period."""

    @classmethod
    def full(cls, rate: Rate) -> Bucket:
        """A full bucket."""
        return cls(0, rate)

    @classmethod
    def lacking(cls, rate: Rate, backlog: int, now: int) -> Bucket:
        """A bucket that is full in so many nanoseconds."""
        return cls(now + backlog, rate, now, now)

    @classmethod
    def holding(cls, rate: Rate, tokens: int, now: int) -> Bucket:
        """A bucket that begins with at most so many tokens."""
        return cls.lacking(rate, rate.period * max(rate.burst - tokens, 0), now)

    def force(self, tokens: int, now: int) -> Bucket:
        """The bucket after ``tokens`` were taken that it may not have: it is in debt then, but never deeper than
        `MAX_DEBT` or than it is."""
        if tokens == 0:
            return self
        period, capacity = self.rate.period, self.rate.capacity
        full_at = min(max(self.full_at, now) + period * tokens, now + capacity * (1 + MAX_DEBT))
        full_at, last = max(full_at, self.full_at), max(self.last, now)
        if self.full_at <= now:
            return Bucket(full_at, self.rate, last, now)
        return self._replace(full_at=full_at, last=last)

    def give(self, back: int, *, cost: int, tick: int, then: Bucket) -> Bucket:
        """The bucket after ``back`` of the ``cost`` tokens were not needed that were spent at ``tick`` and left it as
        ``then``. What it gets is what time has not given it, by the larger of two lower bounds: the time since the
        spend, and first spent is first back."""
        full_at, rate, last, since, given = self
        if (since, rate) != (then.since, then.rate):
            return self
        young = rate.period * cost - max(last - tick, 0)
        queued = 0 if given == _UNKNOWN else then.full_at - (given - then.given) - last
        back = min(rate.period * back, max(young, queued, 0))
        return Bucket(full_at - back, rate, last, since, min(given + back, _UNKNOWN))

    def unless_full(self, rate: Rate, now: int) -> Bucket:
        """The bucket; if it is full, under this rate. Whether one was dropped since it was full is chance, and so must
        not matter: with it goes whatever limit it had last."""
        return Bucket.full(rate) if self.full_at <= now else self

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
        # A period of its own: what was spent at another rate is not given back at this one.
        return Bucket(now + min(backlog, rate.capacity), rate, max(now, self.last), max(now, self.since + 1))

    def spend(self, cost: int, now: int) -> Bucket | int | None:
        """The bucket after ``cost`` tokens were taken; or the nanoseconds until it holds them, if nobody else comes; or
        None, when it never does. A cost of 0 only looks."""
        full_at, rate, last, since, given = self
        period, burst = rate
        if cost > burst:
            return None
        if cost == 0:
            return self
        if full_at <= now:
            full_at, since, given = now, now, 0
        full_at += period * cost
        early = full_at - now - period * burst
        return early if early > 0 else Bucket(full_at, rate, last if last > now else now, since, given)


def _rate(time: int, limit: int, burst: int) -> Rate:
    """``limit`` tokens a ``time``; a limit of 0 admits nothing, so that its period does not matter."""
    return Rate(-(-time // max(limit, 1)), burst)
