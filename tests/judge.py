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
    instances: int = 1

    def bucket(self, domain: str) -> tuple[object, ...]:
        unit = self.limit.split("/")[1].split()[0]
        return (None if self.shared else domain, self.key, unit, self.observe)

    @property
    def rate(self) -> tuple[int, int]:
        """Period in nanoseconds, and burst, of one process's share."""
        period, burst = self._whole_rate
        return period * self.instances, min(burst, max(burst // self.instances, 1))

    @property
    def _whole_rate(self) -> tuple[int, int]:
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
    spent: dict[tuple[object, ...], Spent] = field(default_factory=dict)


@dataclass(frozen=True)
class Spent:
    """What one call took of one bucket, and how that was then."""

    tokens: int
    charges: int
    """That cost something."""
    tick: int
    busy: object
    returned: Fraction
    queue: Fraction
    """Tokens that are to come back until this spend has."""
    rate: tuple[int, int]


@dataclass
class _Level:
    tokens: Fraction
    at: int
    rate: tuple[int, int]
    last: int = 0
    """The tick of the last spend."""
    busy: object = None
    """This busy period: since the bucket was last full, or had another rate."""
    returned: Fraction = Fraction()
    """Tokens refunded in it."""

    def now(self, tick: int) -> Fraction:
        return min(Fraction(self.rate[1]), self.tokens + Fraction(tick - self.at, self.rate[0]))

    def move(self, tick: int, by: Fraction) -> None:
        self.tokens = self.now(tick) + by
        self.at = tick


class Judge:
    """The exact token bucket."""

    def __init__(self) -> None:
        self._levels: dict[tuple[object, ...], _Level] = {}

    def admit(self, domain: str, spends: list[Spend], tick: int) -> Verdict:
        totals: dict[tuple[object, ...], int] = {}
        charges: dict[tuple[object, ...], int] = {}
        rates: dict[tuple[object, ...], tuple[int, int]] = {}
        for spend in spends:
            bucket = spend.bucket(domain)
            totals[bucket] = totals.get(bucket, 0) + spend.cost
            charges[bucket] = charges.get(bucket, 0) + (spend.cost > 0)
            rates[bucket] = spend.rate
        levels = {bucket: self._tokens(bucket, rate, tick) for bucket, rate in rates.items()}
        short = {bucket for bucket, total in totals.items() if total > 0 and total > levels[bucket]}
        buckets = [spend.bucket(domain) for spend in spends]

        def keys(observe: bool) -> tuple[str, ...]:
            found = (s.key for s, b in zip(spends, buckets, strict=True) if b in short and s.observe is observe)
            return tuple(dict.fromkeys(found))

        enforced = [bucket for bucket in totals if bucket in short and not bucket[3]]
        if enforced:
            waits = {bucket: self._wait(totals[bucket], levels[bucket], rates[bucket]) for bucket in enforced}
            worst = max(enforced, key=lambda bucket: _never_last(waits[bucket]))
            return Verdict(violated=keys(False), budget=str(worst[1]), wait=waits[worst])
        taken = {bucket: total for bucket, total in totals.items() if bucket not in short and total}
        spent = {
            bucket: self._spend(bucket, rates[bucket], total, charges[bucket], tick) for bucket, total in taken.items()
        }
        remaining = tuple(max(floor(levels[bucket] - taken.get(bucket, 0)), 0) for bucket in buckets)
        return Verdict(remaining=remaining, would_deny=keys(True), spent=spent)

    def settle(self, verdict: Verdict, actual: int, tick: int) -> None:
        """Each charge that cost something costs ``actual``. More goes to one full burst of debt at most; less gives
        back what neither time has, since the spend, nor the queue it stood in."""
        for bucket, spent in verdict.spent.items():
            level, change = self._levels[bucket], spent.charges * actual - spent.tokens
            if level.now(tick) == level.rate[1]:
                # Full, and so as good as none: it has the limit that the call was charged under.
                level.tokens, level.at, level.rate = Fraction(spent.rate[1]), tick, spent.rate
            period, burst = level.rate
            if change > 0:
                self._begin(level, tick)
                level.move(tick, -max(min(Fraction(change), level.now(tick) + burst), Fraction()))
                level.last = tick
            elif level.busy is spent.busy:
                since = Fraction(level.last - spent.tick, period)
                young = spent.tokens - since
                queued = spent.queue - since - (level.returned - spent.returned)
                back = max(min(Fraction(-change), max(young, queued)), Fraction())
                level.returned += back
                level.tokens += back

    def restart(self, tick: int, base: int) -> None:
        """At ``tick``, which from now on is called ``base``; nothing is known of any spend, but what it left."""
        for bucket, level in self._levels.items():
            self._levels[bucket] = _Level(level.now(tick), base, level.rate, base, object())

    @property
    def known(self) -> int:
        """Buckets that were ever spent from."""
        return len(self._levels)

    def not_full(self, tick: int) -> int:
        """Buckets from which something is missing."""
        return sum(level.now(tick) < level.rate[1] for level in self._levels.values())

    def _spend(self, bucket: tuple[object, ...], rate: tuple[int, int], total: int, charges: int, tick: int) -> Spent:
        level = self._levels.setdefault(bucket, _Level(Fraction(rate[1]), tick, rate))
        self._begin(level, tick)
        level.move(tick, Fraction(-total))
        level.last = tick
        return Spent(total, charges, tick, level.busy, level.returned, rate[1] - level.tokens, rate)

    @staticmethod
    def _begin(level: _Level, tick: int) -> None:
        """A new busy period, if the bucket is full."""
        if level.now(tick) == level.rate[1]:
            level.busy, level.returned = object(), Fraction()

    def _tokens(self, bucket: tuple[object, ...], rate: tuple[int, int], tick: int) -> Fraction:
        level = self._levels.get(bucket)
        period, burst = rate
        if level is None or burst == 0:
            return Fraction(burst)
        if level.rate != rate:
            used = Fraction(ceil((level.rate[1] - level.now(tick)) * period), period)
            tokens = burst - min(used, Fraction(burst))
            self._levels[bucket] = level = _Level(tokens, tick, rate, max(level.last, tick), object())
        return level.now(tick)

    @staticmethod
    def _wait(total: int, level: Fraction, rate: tuple[int, int]) -> int | None:
        return None if total > rate[1] else ceil((total - level) * rate[0])


def _never_last(wait: float | None) -> float:
    return float("inf") if wait is None else wait
