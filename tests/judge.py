"""What judges both limiters: token buckets in exact rationals, written without a look at how the cores do it.

A bucket has a level in tokens that rises by one every `period` and is capped at `burst`. The only rounding is the
contract's own: a period is a whole number of nanoseconds, rounded up, and so is what was consumed when a limit changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

SECOND = 1_000_000_000
UNITS = {"second": SECOND, "minute": 60 * SECOND, "hour": 3_600 * SECOND, "day": 86_400 * SECOND}


@dataclass(frozen=True)
class Spend:
    """One charge, in the judge's words."""

    key: str
    limit: str
    cost: int = 1
    observe: bool = False
    shared: bool = False

    def bucket(self, domain: str) -> tuple[object, ...]:
        unit = self.limit.split("/")[1].split()[0]
        return (None if self.shared else domain, self.key, unit, self.observe)

    @property
    def rate(self) -> tuple[int, int]:
        """Period in nanoseconds, and burst."""
        amount, rest = self.limit.split("/")
        unit, *option = rest.split()
        limit, time = int(amount), UNITS[unit]
        if option == ["strict"]:
            return ceil(Fraction(time) / Fraction(limit, 2)) if limit else time, min(limit, max(limit // 2, 1))
        return ceil(Fraction(time, limit)) if limit else time, int(option[1]) if option else limit


@dataclass
class Verdict:
    """What the judge expects of both."""

    remaining: tuple[int, ...] = ()
    would_deny: tuple[str, ...] = ()
    violated: tuple[str, ...] = ()
    budget: str = ""
    wait: int | None = None
    """Nanoseconds; None also when it never fits."""
    spent: dict[tuple[object, ...], int] = field(default_factory=dict)


@dataclass
class _Level:
    tokens: Fraction
    at: int
    rate: tuple[int, int]

    def now(self, tick: int) -> Fraction:
        return min(Fraction(self.rate[1]), self.tokens + Fraction(tick - self.at, self.rate[0]))


class Judge:
    """The exact token bucket."""

    def __init__(self) -> None:
        self._levels: dict[tuple[object, ...], _Level] = {}

    def admit(self, domain: str, spends: list[Spend], tick: int) -> Verdict:
        totals: dict[tuple[object, ...], int] = {}
        rates: dict[tuple[object, ...], tuple[int, int]] = {}
        for spend in spends:
            bucket = spend.bucket(domain)
            totals[bucket] = totals.get(bucket, 0) + spend.cost
            rates[bucket] = spend.rate
        levels = {bucket: self._level(bucket, rate, tick) for bucket, rate in rates.items()}
        short = {bucket for bucket, total in totals.items() if total > 0 and total > levels[bucket]}
        buckets = [spend.bucket(domain) for spend in spends]

        def keys(observe: bool) -> tuple[str, ...]:
            found = (s.key for s, b in zip(spends, buckets, strict=True) if b in short and s.observe is observe)
            return tuple(dict.fromkeys(found))

        enforced = [bucket for bucket in totals if bucket in short and not bucket[3]]
        if enforced:
            waits = {bucket: self._wait(totals[bucket], levels[bucket], rates[bucket]) for bucket in enforced}
            worst = max(enforced, key=lambda bucket: float("inf") if waits[bucket] is None else waits[bucket])
            return Verdict(violated=keys(False), budget=str(worst[1]), wait=waits[worst])
        spent = {bucket: total for bucket, total in totals.items() if bucket not in short and total}
        for bucket, total in spent.items():
            self._levels[bucket] = _Level(levels[bucket] - total, tick, rates[bucket])
        remaining = tuple(floor(levels[bucket] - spent.get(bucket, 0)) for bucket in buckets)
        return Verdict(remaining=remaining, would_deny=keys(True), spent=spent)

    def refund(self, verdict: Verdict, tick: int) -> None:
        for bucket, total in verdict.spent.items():
            level = self._levels[bucket]
            tokens = min(Fraction(level.rate[1]), level.now(tick) + total)
            self._levels[bucket] = _Level(tokens, tick, level.rate)

    def _level(self, bucket: tuple[object, ...], rate: tuple[int, int], tick: int) -> Fraction:
        level = self._levels.get(bucket)
        period, burst = rate
        if level is None or burst == 0:
            return Fraction(burst)
        if level.rate != rate:
            used = Fraction(ceil((level.rate[1] - level.now(tick)) * period), period)
            self._levels[bucket] = level = _Level(burst - min(used, Fraction(burst)), tick, rate)
        return level.now(tick)

    @staticmethod
    def _wait(total: int, level: Fraction, rate: tuple[int, int]) -> int | None:
        return None if total > rate[1] else ceil((total - level) * rate[0])
