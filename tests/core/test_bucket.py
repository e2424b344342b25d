"""A single bucket: which limits can be read, and what they promise."""

from __future__ import annotations

from types import ModuleType

import pytest
from conftest import Proof
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import SECOND, UNITS

from doorward.errors import Limited

MINUTE = UNITS["minute"]

READ = {
    "600/minute": (600, SECOND // 10),
    "600/minute burst 50": (50, SECOND // 10),
    "2000/day strict": (1_000, 86_400_000_000),
    "7/second": (7, 142_857_143),
    "3/hour strict": (1, 2_400 * SECOND),
    "1/hour strict": (1, 7_200 * SECOND),
    "1/second burst 1": (1, SECOND),
    "1000000000/second burst 9": (9, 1),
}

UNREADABLE = {
    "empty": "",
    "no unit": "600",
    "unknown unit": "600/week",
    "plural": "600/minutes",
    "capital": "600/Minute",
    "negative": "-1/minute",
    "signed": "+1/minute",
    "fraction": "0.5/minute",
    "grouped": "1_000/minute",
    "another alphabet": "٣/minute",
    "spaces": "600 / minute",
    "two spaces": "600/minute  strict",
    "trailing": "600/minute ",
    "line feed": "600/minute\n",
    "unknown option": "600/minute lenient",
    "burst without a number": "600/minute burst",
    "strict with a burst": "600/minute burst 5 strict",
    "null": "600/minute\0",
}

OUT_OF_BOUNDS = {
    "limit": ("1000000001/second", "a limit is at most 1000000000"),
    "digits without end": ("9" * 50 + "/second", "a limit is at most 1000000000"),
    "no burst": ("600/minute burst 0", "a burst is between 1 and the limit"),
    "burst over the limit": ("600/minute burst 601", "a burst is between 1 and the limit"),
    "burst of nothing": ("0/minute burst 1", "a burst is between 1 and the limit"),
    "length": ("600/minute" + " " * 100, "a limit is at most 64 characters"),
}


class Bucket:
    """One bucket of a limiter of its own."""

    def __init__(self, core: ModuleType, limit: str) -> None:
        self.core = core
        self.limit = limit
        self.limiter = core.Limiter()

    def spend(self, tick: int, *, cost: int = 1) -> int:
        """Tokens left. Raises `Limited`."""
        charge = self.core.Charge("k", self.limit, cost=cost)
        (left,) = self.limiter.admit(domain="d", charges=(charge,), tick=tick).remaining
        assert isinstance(left, int)
        return left

    def admits(self, tick: int, *, cost: int = 1) -> bool:
        try:
            self.spend(tick, cost=cost)
        except Limited:
            return False
        return True


@pytest.mark.parametrize(("limit", "expected"), READ.items(), ids=READ)
def test_a_limit_is_a_burst_and_a_period(core: ModuleType, limit: str, expected: tuple[int, int]) -> None:
    burst, period = expected
    bucket = Bucket(core, limit)
    assert bucket.spend(0, cost=0) == burst
    assert bucket.spend(0, cost=burst) == 0
    assert not bucket.admits(period - 1)
    assert bucket.admits(period)


@pytest.mark.parametrize("limit", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_limit_is_said_with_what_is(core: ModuleType, limit: str) -> None:
    with pytest.raises(ValueError, match='is not a limit: write "600/minute", "600/minute burst 50"'):
        core.Charge("k", limit)


@pytest.mark.parametrize(("limit", "message"), OUT_OF_BOUNDS.values(), ids=OUT_OF_BOUNDS)
def test_what_is_out_of_bounds_is_said_with_the_bound(core: ModuleType, limit: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        core.Charge("k", limit)


@pytest.mark.parametrize("limit", ["0/minute", "0/day strict"])
def test_a_limit_of_nothing_admits_nothing_ever(core: ModuleType, limit: str) -> None:
    bucket = Bucket(core, limit)
    for tick in (0, 10**6 * UNITS["day"] // 10**3):
        with pytest.raises(Limited) as refused:
            bucket.spend(tick)
        assert (refused.value.code, refused.value.retry_after) == ("cost_exceeds_limit", None)
    assert bucket.spend(0, cost=0) == 0


def test_a_retry_is_due_exactly_then(core: ModuleType) -> None:
    bucket = Bucket(core, "7/second")
    bucket.spend(1_000, cost=7)
    with pytest.raises(Limited) as refused:
        bucket.spend(1_000, cost=3)
    assert refused.value.retry_after is not None
    wait = round(refused.value.retry_after * SECOND)
    assert wait == 3 * 142_857_143
    assert not bucket.admits(1_000 + wait - 1, cost=3)
    assert bucket.admits(1_000 + wait, cost=3)


@pytest.mark.parametrize(("limit", "seconds"), [("2/second", 0.5), ("1/minute", 60.0), ("1/day", 86_400.0)])
def test_a_wait_that_a_float_can_hold_is_that_float(core: ModuleType, limit: str, seconds: float) -> None:
    bucket = Bucket(core, limit)
    while bucket.admits(0):
        pass
    with pytest.raises(Limited) as refused:
        bucket.spend(0)
    assert refused.value.retry_after == seconds


def test_a_tick_from_the_past_creates_no_tokens(core: ModuleType) -> None:
    bucket = Bucket(core, "60/minute")
    assert bucket.spend(MINUTE, cost=60) == 0
    assert not bucket.admits(0)
    assert not bucket.admits(MINUTE)
    assert bucket.spend(MINUTE + SECOND) == 0


def test_a_cost_of_n_is_n_single_calls_at_one_instant(core: ModuleType) -> None:
    @given(limit=st.sampled_from(["7/second", "9/minute burst 4"]), ticks=st.lists(st.integers(0, 10**9), max_size=20))
    def equal(limit: str, ticks: list[int]) -> None:
        at_once, single = Bucket(core, limit), Bucket(core, limit)
        now = 0
        for tick in ticks:
            now += tick
            cost = tick % 4 + 1
            if at_once.admits(now, cost=cost):
                assert all(single.admits(now) for _ in range(cost))
            assert at_once.spend(now, cost=0) == single.spend(now, cost=0)

    equal()


@pytest.mark.parametrize("option", ["", " burst 3", " strict"])
def test_no_window_holds_more_than_burst_and_refill(core: ModuleType, option: str, proof: Proof) -> None:
    @settings(max_examples=proof("histories", small=40, large=5_000))
    @given(amount=st.integers(3, 40), steps=st.lists(st.integers(0, 2 * SECOND), min_size=20, max_size=100))
    def bounded(amount: int, steps: list[int]) -> None:
        bucket = Bucket(core, f"{amount}/second{option}")
        burst = bucket.spend(0, cost=0)
        most = amount if option == " strict" else burst + amount
        now, admitted = 0, []
        for step in steps:
            now += step // (2 * amount)
            while bucket.admits(now):
                admitted.append(now)
        assert all(sum(start <= at <= start + SECOND for at in admitted) <= most for start in admitted)

    bounded()
