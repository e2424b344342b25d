"""What an attacker, many threads and little memory do not change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
from conftest import Proof
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import SECOND, UNITS

from toolgate import _pure
from toolgate.errors import Limited


def admits(limiter: Any, charge: Any, tick: int, *, domain: str = "d") -> bool:
    try:
        limiter.admit(domain=domain, charges=(charge,), tick=tick)
    except Limited:
        return False
    return True


def test_rotating_identities_gains_nothing(core: ModuleType) -> None:
    """An LRU of 1,000 keys gave this attacker 600 calls instead of 70."""
    limiter = core.Limiter(max_keys=1_000)
    attacker = core.Charge("attacker", "60/minute burst 10")
    got = fakes = 0
    for step in range(600):
        tick = step * SECOND // 10
        got += admits(limiter, attacker, tick)
        for _ in range(20):
            fakes += 1
            admits(limiter, core.Charge(f"fake {fakes}", "60/minute burst 10"), tick)
        assert len(limiter) <= 1_000
    assert got <= 70


def test_a_flood_changes_no_decision_for_those_who_are_there(core: ModuleType, proof: Proof) -> None:
    calls = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, SECOND), st.integers(0, 30)), max_size=40)

    @settings(max_examples=proof("histories", small=20, large=2_000))
    @given(calls=calls)
    def unchanged(calls: list[tuple[str, int, int]]) -> None:
        quiet, flooded = core.Limiter(), core.Limiter(max_keys=3)
        victims = {key: core.Charge(key, "4/second burst 3", cost=3) for key in "abc"}
        for key in victims:
            assert admits(quiet, victims[key], 0)
            assert admits(flooded, victims[key], 0)
        tick = 0
        for key, step, flood in calls:
            tick += step // 20
            for fake in range(flood):
                admits(flooded, core.Charge(f"{tick} {fake}", "4/second"), tick)
            # Victims whose own bucket is full again may have to share; until then they are never touched.
            if tick < 3 * SECOND // 4:
                single = core.Charge(key, "4/second burst 3")
                assert admits(quiet, single, tick) == admits(flooded, single, tick)

    unchanged()


def test_newcomers_without_room_share_one_budget(core: ModuleType) -> None:
    limiter = core.Limiter(max_keys=1)
    assert admits(limiter, core.Charge("first", "1/day"), 0)
    newcomers = [core.Charge(f"n{i}", "5/minute") for i in range(20)]
    assert sum(admits(limiter, newcomer, 0) for newcomer in newcomers) == 5
    assert len(limiter) == 1


def test_newcomers_of_one_call_share_it_too(core: ModuleType) -> None:
    limiter = core.Limiter(max_keys=1)
    admits(limiter, core.Charge("first", "1/day"), 0)
    both = (core.Charge("x", "5/minute", cost=2), core.Charge("y", "5/minute", cost=2))
    grant = limiter.admit(domain="d", charges=both, tick=0)
    assert grant.remaining == (1, 1)
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=both, tick=0)
    assert refused.value.violated == ("x", "y")
    limiter.refund(grant)
    assert limiter.admit(domain="d", charges=both, tick=0).remaining == (1, 1)


def test_a_full_limiter_has_room_again_when_buckets_are(core: ModuleType) -> None:
    limiter = core.Limiter(max_keys=50)
    for key in range(60):
        admits(limiter, core.Charge(f"old {key}", "60/minute"), 0, domain=f"domain {key}")
    assert len(limiter) == 50
    later = UNITS["minute"]
    for key in range(50):
        assert admits(limiter, core.Charge(f"new {key}", "1/minute"), later + key, domain=f"domain {key % 7}")
        assert not admits(limiter, core.Charge(f"new {key}", "1/minute"), later + key, domain=f"domain {key % 7}")


def test_memory_does_not_grow_with_the_keys_ever_seen(core: ModuleType) -> None:
    limiter = core.Limiter()
    for key in range(5_000):
        admits(limiter, core.Charge(f"key {key}", "1/second"), key * SECOND, domain=f"domain {key % 100}")
    assert len(limiter) < 150


def test_memory_does_not_grow_with_the_domains_ever_seen() -> None:
    """The native core's table of domains is private: its own test is in ``rust/limiter/sweep.rs``."""
    limiter = _pure.Limiter()
    for domain in range(2_000):
        admits(limiter, _pure.Charge("k", "1/second"), domain * SECOND, domain=f"domain {domain}")
    assert len(limiter._domains) == len(limiter._rounds) < 20


def test_too_many_limits_without_room_are_refused_not_let_in(core: ModuleType) -> None:
    limiter = core.Limiter(max_keys=1)
    admits(limiter, core.Charge("first", "1/day"), 0)
    admitted = [admits(limiter, core.Charge("k", f"{limit}/day"), 0) for limit in range(10, 4_200)]
    assert sum(admitted) == 4_096
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=(core.Charge("k", "10000/day"),), tick=0)
    assert refused.value.retry_after == 8.64


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_eight_threads_get_together_exactly_the_burst(core: ModuleType, shared: bool, proof: Proof) -> None:
    calls = proof("calls", small=4_000, large=400_000)
    limiter = core.Limiter()
    charge = core.Charge("k", f"{calls // 2}/day", shared=shared)

    def run(thread: int) -> int:
        domain = f"domain {thread % 2}" if shared else "d"
        return sum(admits(limiter, charge, 0, domain=domain) for _ in range(calls // 8))

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(run, range(8))) == calls // 2
