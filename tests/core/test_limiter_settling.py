"""What is given back, and what a call costs in the end."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from conftest import Proof
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import SECOND

from doorward.errors import Limited


class Bucket:
    """One bucket of a limiter of its own; a token a second, ten at most."""

    def __init__(self, core: ModuleType, limit: str = "60/minute burst 10", **charge: Any) -> None:
        self.core = core
        self.limit = limit
        self.charge = charge
        self.limiter = core.Limiter()

    def spend(self, cost: int, second: int = 0) -> Any:
        charge = self.core.Charge("k", self.limit, cost=cost, **self.charge)
        return self.limiter.admit(domain="d", charges=(charge,), tick=second * SECOND)

    def left(self, second: int = 0) -> int:
        return int(self.spend(0, second).remaining[0])

    def wait(self, cost: int, second: int = 0) -> float | None:
        """Seconds until so many tokens are there."""
        with pytest.raises(Limited) as refused:
            self.spend(cost, second)
        return refused.value.retry_after


@pytest.fixture(params=[{}, {"observe": True}, {"shared": True}], ids=["own", "observed", "shared"])
def bucket(core: ModuleType, request: pytest.FixtureRequest) -> Bucket:
    return Bucket(core, **request.param)


# --- giving back ------------------------------------------------------------------------------------------------------


def test_what_time_has_given_back_is_not_given_again(bucket: Bucket) -> None:
    """Without that, nineteen tokens would be spent in one instant."""
    first = bucket.spend(10)
    bucket.spend(9, 9)
    bucket.limiter.refund(first)
    assert bucket.left(9) == 1


def test_a_refund_after_the_bucket_was_full_gives_nothing(bucket: Bucket) -> None:
    first = bucket.spend(5)
    bucket.spend(10, 5)
    bucket.limiter.refund(first)
    assert bucket.left(5) == 0


@pytest.mark.parametrize("backwards", [False, True])
def test_whoever_asks_at_once_gets_all_of_it_in_any_order(bucket: Bucket, backwards: bool) -> None:
    grants = [bucket.spend(3) for _ in range(3)]
    for grant in grants[:: -1 if backwards else 1]:
        bucket.limiter.refund(grant)
    assert bucket.left() == 10


def test_behind_a_queue_all_of_it_is_given_back_later_too(bucket: Bucket) -> None:
    bucket.spend(8)
    grant = bucket.spend(2)
    bucket.spend(4, 4)
    bucket.limiter.refund(grant)
    assert bucket.left(4) == 2


def test_a_bucket_under_another_limit_gives_nothing_back_of_the_first(core: ModuleType) -> None:
    bucket = Bucket(core)
    grant = bucket.spend(10)
    bucket.limit = "120/minute burst 20"
    assert bucket.left() == 10
    bucket.limiter.refund(grant)
    assert bucket.left() == 10


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), st.integers(1, 5)),
        st.tuples(st.just("wait"), st.integers(0, 3 * SECOND)),
        st.tuples(st.just("refund"), st.integers(0, 10)),
        st.tuples(st.just("settle"), st.integers(0, 10)),
    ),
    max_size=30,
)


def test_no_window_holds_more_than_its_bucket_of_what_was_not_given_back(core: ModuleType, proof: Proof) -> None:
    @settings(max_examples=proof("histories", small=150, large=20_000))
    @given(limit=st.sampled_from(["1/second", "3/second", "5/second", "120/minute burst 5"]), steps=STEPS)
    def bounded(limit: str, steps: list[tuple[str, int]]) -> None:
        limiter, tick = core.Limiter(), 0
        spent: list[tuple[int, int]] = []
        grants: list[tuple[int, Any]] = []
        (burst,) = limiter.admit(domain="d", charges=(core.Charge("k", limit, cost=0),), tick=0).remaining
        for step, number in steps:
            if step == "wait":
                tick += number
            elif step == "spend":
                charge = core.Charge("k", limit, cost=min(number, burst))
                try:
                    grants.append((len(spent), limiter.admit(domain="d", charges=(charge,), tick=tick)))
                except Limited:
                    continue
                spent.append((tick, charge.cost))
            elif grants:
                at, grant = grants.pop(number % len(grants))
                kept = number % (spent[at][1] + 1) if step == "settle" else 0
                limiter.settle(grant, kept, tick=tick) if step == "settle" else limiter.refund(grant)
                spent[at] = (spent[at][0], kept)
        period = {"1/second": SECOND, "3/second": 333_333_334, "5/second": SECOND // 5}.get(limit, SECOND // 2)
        for first, (start, _) in enumerate(spent):
            total = 0
            for at, tokens in spent[first:]:
                total += tokens
                assert (total - burst) * period <= at - start

    bounded()


# --- a cost known afterwards ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "actual", "left"),
    [(1, 4, 6), (4, 1, 9), (4, 0, 10), (3, 3, 7), (1, 10, 0)],
    ids=["more", "less", "nothing", "the same", "all"],
)
def test_a_call_costs_what_it_turned_out_to_cost(bucket: Bucket, cost: int, actual: int, left: int) -> None:
    grant = bucket.spend(cost)
    bucket.limiter.settle(grant, actual, tick=0)
    assert bucket.left() == left


def test_debt_is_bounded_by_one_more_burst(core: ModuleType) -> None:
    bucket = Bucket(core)
    first, second = bucket.spend(1), bucket.spend(1)
    bucket.limiter.settle(first, 15, tick=0)
    assert (bucket.left(), bucket.wait(1)) == (0, 7.0)
    bucket.limiter.settle(second, 10**9, tick=0)
    assert (bucket.left(), bucket.wait(1), bucket.wait(10)) == (0, 11.0, 20.0)


def test_what_is_more_is_taken_when_it_is_known_though_the_bucket_is_full_or_forgotten(core: ModuleType) -> None:
    bucket = Bucket(core)
    grant = bucket.spend(1)
    for key in range(20):
        other = core.Charge(f"other {key}", "1/second")
        bucket.limiter.admit(domain="d", charges=(other,), tick=60 * SECOND + key * SECOND)
    bucket.limiter.settle(grant, 8, tick=80 * SECOND)
    assert bucket.left(80) == 3


@pytest.mark.parametrize(
    ("seconds", "left"),
    [
        pytest.param(0, 1, id="not full yet: under its last limit, so in debt by one burst of that"),
        pytest.param(1, 0, id="full: under the limit of the call"),
    ],
)
def test_whether_a_full_bucket_was_forgotten_does_not_matter(core: ModuleType, seconds: int, left: int) -> None:
    limiter, tick = core.Limiter(), seconds * SECOND
    grant = limiter.admit(domain="acme", charges=[core.Charge("a", "3/second")], tick=0)
    limiter.admit(domain="acme", charges=[core.Charge("a", "1/second", cost=0)], tick=tick)
    limiter.settle(grant, 4, tick=tick)
    again = limiter.admit(domain="acme", charges=[core.Charge("a", "3/second", cost=0)], tick=tick)
    assert again.remaining == (left,)


def test_every_charge_that_cost_something_is_settled(core: ModuleType) -> None:
    limiter = core.Limiter()
    charges = [
        core.Charge("a", "10/minute", cost=2),
        core.Charge("a", "10/minute", cost=1),
        core.Charge("b", "10/minute", cost=0),
        core.Charge("c", "10/minute", observe=True),
        core.Charge("d", "1/minute", cost=2, observe=True),
        core.Charge("e", "10/minute", shared=True),
    ]
    grant = limiter.admit(domain="d", charges=charges, tick=0)
    limiter.settle(grant, 4, tick=0)
    look = [core.Charge(c.key, c.limit, cost=0, observe=c.observe, shared=c.shared) for c in charges]
    assert limiter.admit(domain="d", charges=look, tick=0).remaining == (2, 2, 10, 6, 1, 6)


@pytest.mark.parametrize("first", ["refund", "settle"])
@pytest.mark.parametrize("again", ["refund", "settle"])
def test_once_in_all(bucket: Bucket, first: str, again: str) -> None:
    grant = bucket.spend(4)
    end = {"refund": bucket.limiter.refund, "settle": lambda grant: bucket.limiter.settle(grant, 6, tick=0)}
    end[first](grant)
    left = bucket.left()
    end[again](grant)
    assert bucket.left() == left


def test_another_limiters_grant_is_not_settled(core: ModuleType) -> None:
    grant = Bucket(core).spend(1)
    with pytest.raises(ValueError, match="the grant is another limiter's"):
        core.Limiter().settle(grant, 1, tick=0)


@pytest.mark.parametrize(
    ("actual", "tick", "error"),
    [(-1, 0, ValueError), (10**9 + 1, 0, ValueError), (2**70, 0, ValueError), (1, -1, ValueError), (1.0, 0, TypeError)],
)
def test_what_no_call_can_cost_is_refused_and_the_grant_stays_open(
    core: ModuleType, actual: Any, tick: int, error: type[Exception]
) -> None:
    bucket = Bucket(core)
    grant = bucket.spend(4)
    with pytest.raises(error):
        bucket.limiter.settle(grant, actual, tick=tick)
    bucket.limiter.refund(grant)
    assert bucket.left() == 10
