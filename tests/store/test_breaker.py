"""When nobody is asked any more, and when somebody is again."""

from __future__ import annotations

from doorward._redis.breaker import FAILURES, Breaker


def test_it_opens_after_failures_in_a_row_alone() -> None:
    breaker = Breaker()
    for _ in range(10):
        assert [breaker.failed(0.0) for _ in range(FAILURES - 1)] == [False] * (FAILURES - 1)
        assert not breaker.succeeded()
    assert not breaker.is_open
    assert [breaker.failed(0.0) for _ in range(FAILURES)] == [False] * (FAILURES - 1) + [True]
    assert breaker.is_open


def test_it_says_once_that_it_opens_and_once_that_it_closes() -> None:
    breaker = Breaker()
    assert [breaker.failed(0.0) for _ in range(2 * FAILURES)].count(True) == 1
    assert [breaker.succeeded() for _ in range(3)] == [True, False, False]


def test_attempts_come_about_once_a_second_and_not_all_at_once() -> None:
    waits = set()
    for _ in range(100):
        breaker = Breaker()
        for _ in range(FAILURES):
            breaker.failed(1_000.0)
        waits.add(breaker.wait(1_000.0))
        assert breaker.wait(2_000.0) == 0.0
    assert min(waits) >= 0.75
    assert max(waits) < 1.0, "or nobody would use a store within a second of its return"
    assert len(waits) > 50
