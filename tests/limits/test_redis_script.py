"""The script against the exact judge, in lockstep through random histories on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from conftest import Proof, Tell
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule, run_state_machine_as_test
from judge import Judge, Spend, Verdict
from servers.standalone import RedisServer

from doorward import Charge
from doorward._redis import Patience
from doorward.errors import Limited
from doorward.limits import RedisLimiter

SECOND = 1_000_000
"""In microseconds, the unit of the script."""

UNITS = {"second": SECOND, "minute": 60 * SECOND, "hour": 3_600 * SECOND, "day": 86_400 * SECOND}
HOUR = 3_600_000
"""In milliseconds."""

WIND_UP = """
local endless = 0
for _, key in ipairs(redis.call('KEYS', '*')) do
  endless = endless + (redis.call('PTTL', key) > 0 and 0 or 1)
  redis.call('PEXPIRE', key, ARGV[1])
end
return endless
"""

START = 1_795_000_000 * SECOND

LIMITS = [
    "3/second",
    "7/second burst 2",
    "7/second strict",
    "2/second",
    "60/minute burst 5",
    "5/minute",
    "0/minute",
    "4/day strict",
    "1/day strict",
    "7/day",
    "1000000/second",
]
STEPS = [0, 1, SECOND // 7, SECOND // 2 - 1, SECOND, 30 * SECOND, 3_600 * SECOND]
counts = {"decisions": 0, "refused": 0, "refunds": 0, "settled": 0}


class MicroSpend(Spend):
    """A charge whose period is rounded up to microseconds."""

    @property
    def _whole_rate(self) -> tuple[int, int]:
        amount, rest = self.limit.split("/")
        unit, *option = rest.split()
        limit, time = int(amount), UNITS[unit]
        if option == ["strict"]:
            return ceil(Fraction(time) / Fraction(limit, 2)) if limit else time, min(limit, max(limit // 2, 1))
        return ceil(Fraction(time, limit)) if limit else time, int(option[1]) if option else limit


spends = st.builds(
    MicroSpend,
    key=st.sampled_from(["client:a", "client:b", "tool:x"]),
    limit=st.sampled_from(LIMITS),
    cost=st.sampled_from([1, 1, 1, 1, 0, 2, 3, 6]),
    observe=st.booleans(),
    shared=st.sampled_from([False, False, False, True]),
)


class Remote:
    """A limiter whose clock stands still until it is moved, and a loop of its own."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._limiter = RedisLimiter(server.url, on_error="deny")
        self._limiter._store.patience = Patience(connect=5.0, answer=5.0)
        self.now = START

    def admit(self, domain: str, spends: list[Spend]) -> Any:
        charges = [Charge(s.key, s.limit, cost=s.cost, observe=s.observe, shared=s.shared) for s in spends]
        return self._run(self._limiter.admit(domain=domain, charges=charges))

    def refund(self, grant: Any) -> None:
        self._run(self._limiter.refund(grant))

    def settle(self, grant: Any, actual: int) -> None:
        self._run(self._limiter.settle(grant, actual))

    def close(self) -> None:
        self._run(self._limiter.aclose())
        self._loop.close()

    def clear(self) -> None:
        self._server.client.flushall()

    def _run(self, doing: Any) -> Any:
        # Only tests have another clock than the server's.
        self._limiter._buckets._now = str(self.now)
        try:
            return self._loop.run_until_complete(doing)
        finally:
            self._wind_up()

    def _wind_up(self) -> None:
        """Every key ends by itself, by the server's clock, which goes on while ours stands still."""
        assert self._server.client.eval(WIND_UP, 0, HOUR) == 0, "a key without an end"


class Lockstep(RuleBasedStateMachine):
    """Any sequence of calls gets the judge's answer."""

    grants = Bundle("grants")
    remote: Remote

    def __init__(self) -> None:
        super().__init__()
        self.remote.clear()
        self.remote.now = START
        self.judge = Judge()

    @rule(target=grants, domain=st.sampled_from(["acme", "bolt"]), calls=st.lists(spends, max_size=5))
    def admit(self, domain: str, calls: list[Spend]) -> tuple[Any, Verdict]:
        counts["decisions"] += 1
        rates: dict[tuple[object, ...], tuple[int, int]] = {}
        if any(rates.setdefault(call.bucket(domain), call.rate) != call.rate for call in calls):
            with pytest.raises(ValueError, match="one bucket cannot have two limits in one call"):
                self.remote.admit(domain, calls)
            return None, Verdict()
        verdict = self.judge.admit(domain, calls, self.remote.now)
        if not verdict.violated:
            grant = self.remote.admit(domain, calls)
            assert grant.remaining == verdict.remaining
            assert grant.would_deny == verdict.would_deny
            return grant, verdict
        counts["refused"] += 1
        with pytest.raises(Limited) as refused:
            self.remote.admit(domain, calls)
        limited = refused.value
        assert (limited.violated, limited.budget) == (verdict.violated, verdict.budget)
        assert limited.code == ("cost_exceeds_limit" if verdict.wait is None else "rate_limited")
        assert microseconds(limited.retry_after) == verdict.wait
        return None, Verdict()

    @rule(step=st.sampled_from(STEPS))
    def advance(self, step: int) -> None:
        self.remote.now += step

    @rule(grant=consumes(grants), twice=st.booleans())
    def refund(self, grant: tuple[Any, Verdict], twice: bool) -> None:
        granted, verdict = grant
        if granted is not None:
            for _ in range(1 + twice):
                self.remote.refund(granted)
            self.judge.settle(verdict, 0, self.remote.now)
            counts["refunds"] += bool(verdict.spent)

    @rule(grant=consumes(grants), actual=st.sampled_from([0, 1, 2, 5, 50, 10**9]), twice=st.booleans())
    def settle(self, grant: tuple[Any, Verdict], actual: int, twice: bool) -> None:
        granted, verdict = grant
        if granted is not None:
            self.remote.settle(granted, actual)
            if twice:
                self.remote.refund(granted)
            self.judge.settle(verdict, actual, self.remote.now)
            counts["settled"] += bool(verdict.spent)


def microseconds(seconds: float | None) -> int | None:
    """The whole microseconds of a wait, which must not be early by the least fraction of one."""
    if seconds is None:
        return None
    whole = round(seconds * SECOND)
    assert Fraction(seconds) >= Fraction(whole, SECOND)
    return whole


@pytest.fixture
def remote(redis_server: RedisServer) -> Iterator[Remote]:
    made = Remote(redis_server)
    yield made
    made.close()


@pytest.mark.usefixtures("patient")
def test_the_script_gives_the_answers_of_the_exact_judge(remote: Remote, proof: Proof, tell: Tell) -> None:
    histories = proof("histories of up to 50 calls", small=60, large=3_000)
    counts.update(dict.fromkeys(counts, 0))
    Lockstep.remote = remote
    whatever = settings(
        max_examples=histories, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(Lockstep, settings=whatever)
    tell("admit.lua against the exact judge: " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))
    assert all(counts.values()), "a history without any refusal or refund proves little"
