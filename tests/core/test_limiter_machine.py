"""Both limiters and the exact judge, in lockstep through random histories."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from math import ceil
from typing import Any

from conftest import Proof, Tell
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, precondition, rule, run_state_machine_as_test
from judge import SECOND, Judge, Spend, Verdict

from doorward import _pure
from doorward.errors import Limited

NATIVE = find_spec("doorward._rust") is not None
LIMITS = [
    "3/second",
    "7/second burst 2",
    "7/second strict",
    "2/second",
    "60/minute burst 5",
    "5/minute",
    "0/minute",
    "4/day strict",
    "1000000000/second",
]
counts = {"decisions": 0, "refused": 0, "refunds": 0, "settled": 0, "restarts": 0}

spends = st.builds(
    Spend,
    key=st.sampled_from(["client:a", "client:b", "tool:x"]),
    limit=st.sampled_from(LIMITS),
    cost=st.sampled_from([1, 1, 1, 1, 0, 2, 3, 6]),
    observe=st.booleans(),
    shared=st.sampled_from([False, False, False, True]),
    instances=st.sampled_from([1, 1, 1, 2, 3]),
)


class Lockstep(RuleBasedStateMachine):
    """Any sequence of calls gets three times the same answer."""

    grants = Bundle("grants")

    def __init__(self) -> None:
        super().__init__()
        self.cores = cores()
        self.limiters = [core.Limiter(max_keys=1_000) for core in self.cores]
        self.judge = Judge()
        self.tick = 0
        self.decided = 0

    @rule(target=grants, domain=st.sampled_from(["acme", "bolt"]), calls=st.lists(spends, max_size=5))
    def admit(self, domain: str, calls: list[Spend]) -> tuple[list[Any], Verdict]:
        outcomes, verdict = self.decide(domain, calls)
        return [*zip(self.limiters, outcomes, strict=False)], verdict

    def decide(self, domain: str, calls: list[Spend]) -> tuple[list[Any], Verdict]:
        outcomes = [outcome(core, limiter, domain, calls, self.tick) for core, limiter in self.both()]
        counts["decisions"] += 1
        self.decided += 1
        buckets: dict[tuple[object, ...], tuple[int, int]] = {}
        if any(buckets.setdefault(call.bucket(domain), call.rate) != call.rate for call in calls):
            assert [type(result) for result in outcomes] == [ValueError] * len(outcomes)
            assert len({str(result) for result in outcomes}) == 1
            return [], Verdict()
        verdict = self.judge.admit(domain, calls, self.tick)
        if verdict.violated:
            counts["refused"] += 1
            for result in outcomes:
                assert isinstance(result, Limited)
                assert (result.violated, result.budget) == (verdict.violated, verdict.budget)
                assert nanoseconds(result.retry_after) == verdict.wait
                assert result.code == ("cost_exceeds_limit" if verdict.wait is None else "rate_limited")
            return [], Verdict()
        for result in outcomes:
            assert not isinstance(result, Exception), result
            assert result.remaining == verdict.remaining
            assert result.would_deny == verdict.would_deny
        return outcomes, verdict

    @rule(step=st.sampled_from([0, 1, SECOND // 7, SECOND // 2 - 1, SECOND, 30 * SECOND, 3_600 * SECOND]))
    def advance(self, step: int) -> None:
        self.tick += step

    @rule(grant=consumes(grants), twice=st.booleans())
    def refund(self, grant: tuple[list[Any], Verdict], twice: bool) -> None:
        granted, verdict = grant
        for limiter, result in granted:
            limiter.refund(result)
            if twice:
                limiter.refund(result)
        self.judged(granted, verdict, 0)
        counts["refunds"] += bool(verdict.spent)

    @rule(grant=consumes(grants), actual=st.sampled_from([0, 1, 2, 5, 50, 10**9]), twice=st.booleans())
    def settle(self, grant: tuple[list[Any], Verdict], actual: int, twice: bool) -> None:
        granted, verdict = grant
        for limiter, result in granted:
            limiter.settle(result, actual, tick=self.tick)
            if twice:
                limiter.refund(result)
        self.judged(granted, verdict, actual)
        counts["settled"] += bool(verdict.spent)

    def judged(self, granted: list[Any], verdict: Verdict, actual: int) -> None:
        """What a limiter before the last restart was told is lost."""
        if any(limiter is self.limiters[0] for limiter, _ in granted):
            self.judge.settle(verdict, actual, self.tick)

    @precondition(lambda self: self.decided > 5)
    @rule(away=st.sampled_from([-5, 0, 1, SECOND, 90 * SECOND]), base=st.sampled_from([0, 0, 10**15]))
    def restart(self, away: int, base: int) -> None:
        """The wall clock tells how long it took; the tick may begin anywhere."""
        self.decided = 0
        snapshots = [limiter.snapshot(tick=self.tick) for limiter in self.limiters]
        self.judge.restart(self.tick + max(away, 0), base)
        self.tick = base
        self.limiters = [core.Limiter(max_keys=1_000) for core in self.cores]
        for limiter, snapshot in zip(self.limiters, snapshots, strict=True):
            limiter.restore(snapshot, tick=self.tick, elapsed=away)
        counts["restarts"] += 1

    def teardown(self) -> None:
        """Which of the full buckets were dropped is chance; all that are not full are there."""
        for limiter in self.limiters:
            assert self.judge.not_full(self.tick) <= len(limiter) <= self.judge.known

    def both(self) -> Iterator[tuple[Any, Any]]:
        return zip(self.cores, self.limiters, strict=True)


def cores() -> list[Any]:
    """The twin, and the native core where it is built."""
    if not NATIVE:
        return [_pure]
    from doorward import _rust

    return [_rust, _pure]


def outcome(core: Any, limiter: Any, domain: str, calls: list[Spend], tick: int) -> Any:
    """The grant, or the exception instead of it."""
    charges = [
        core.Charge(
            call.key,
            call.limit,
            cost=call.cost,
            observe=call.observe,
            shared=call.shared,
            instances=call.instances,
        )
        for call in calls
    ]
    try:
        together = core.Charges(charges) if len(charges) % 2 else charges
        return limiter.admit(domain=domain, charges=together, tick=tick)
    except (Limited, ValueError) as refused:
        return refused


def nanoseconds(seconds: float | None) -> int | None:
    """The whole nanoseconds of a wait, which must not be early by the least fraction of one."""
    if seconds is None:
        return None
    whole = round(seconds * SECOND)
    assert Fraction(seconds) >= Fraction(whole, SECOND)
    assert ceil(Fraction(seconds) * SECOND) - whole <= 1
    return whole


def test_both_cores_give_the_answers_of_the_exact_judge(proof: Proof, tell: Tell) -> None:
    histories = proof("histories of up to 50 calls", small=60, large=5_000)
    counts.update(dict.fromkeys(counts, 0))
    whatever = settings(
        max_examples=histories, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(Lockstep, settings=whatever)
    tell("limiter against the exact judge: " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))
    assert all(counts.values()), "a history without any refusal or refund proves little"
