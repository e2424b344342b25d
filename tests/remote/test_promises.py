"""The bounds themselves: what keeps a promise passes, and one admission more does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remote.promises import Promise, excess

TEN_A_SECOND = Promise.of("600/minute burst 20")


@pytest.mark.parametrize(
    ("limit", "microseconds", "most", "least"),
    [
        ("600/minute", 0, 600, 599),
        ("600/minute burst 50", 1_000_000, 60, 59),
        ("1000/second burst 1", 999, 1, 1),
        ("86400/day burst 1000", 10_000_000, 1_010, 1_008),
    ],
)
def test_a_limit_as_numbers(limit: str, microseconds: int, most: int, least: int) -> None:
    assert (Promise.of(limit).most(microseconds), Promise.of(limit).least(microseconds)) == (most, least)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ([], -20),
        ([5.0] * 20, 0),
        ([5.0] * 23, 3),
        ([*[0.0] * 20, *[2.0] * 20], 0),
        ([*[0.0] * 20, *[1.0] * 20], 10),
        ([*[0.0] * 5, *[100.0] * 21, *[200.0] * 5], 1),
    ],
    ids=["nothing", "a burst", "three too many", "refilled", "half refilled", "in the middle"],
)
def test_the_worst_window(at: list[float], expected: float) -> None:
    assert excess(TEN_A_SECOND, [(time, time) for time in at]) == pytest.approx(expected)


def test_what_may_have_happened_outside_a_window_is_not_in_it() -> None:
    assert excess(TEN_A_SECOND, [*[(5.0, 5.0)] * 20, *[(4.0, 6.0)] * 5]) == 0


@given(st.lists(st.integers(0, 100), min_size=1, max_size=60))
def test_the_worst_window_is_that_of_all_windows(tenths: list[int]) -> None:
    at = sorted(tenth / 10 for tenth in tenths)
    worst = max(
        sum(start <= time <= end for time in at) - TEN_A_SECOND.per_second * (end - start)
        for start in at
        for end in at
        if start <= end
    )
    assert excess(TEN_A_SECOND, [(time, time) for time in at]) == pytest.approx(worst - TEN_A_SECOND.burst)
