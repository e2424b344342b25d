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

from doorward.errors import Limited


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


def test_memory_does_not_grow_with_the_domains_ever_seen(core: ModuleType) -> None:
    limiter = core.Limiter()
    for domain in range(5_000):
        admits(limiter, core.Charge("k", "1/second"), domain * SECOND, domain=f"domain {domain}")
    assert len(limiter) < 150


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


# --- a table nobody may be refused for --------------------------------------------------------------------------------


def test_without_overflow_strangers_are_let_in_and_whoever_is_known_is_still_limited(core: ModuleType) -> None:
    limiter = core.Limiter(max_keys=10, overflow=False)
    known = core.Charge("known", "3/minute")
    assert [admits(limiter, known, 0) for _ in range(5)] == [True, True, True, False, False]
    for stranger in range(2_000):
        assert admits(limiter, core.Charge(f"stranger {stranger}", "3/minute"), 0)
    assert not admits(limiter, known, 0)
    assert (len(limiter), limiter.overflowed) == (10, 1_991)


def test_what_nobody_counts_costs_what_it_costs(core: ModuleType) -> None:
    limiter = core.Limiter(max_keys=1, overflow=False, initial=0)
    assert not admits(limiter, core.Charge("first", "3/minute"), 0)
    charges = [core.Charge("a", "3/minute", cost=3), core.Charge("b", "5/minute", shared=True)]
    for _ in range(3):
        grant = limiter.admit(domain="d", charges=charges, tick=0)
        assert grant.remaining == (0, 4)
    limiter.settle(grant, 9, tick=0)
    limiter.refund(grant)
    assert limiter.overflowed == 6
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=(core.Charge("a", "3/minute", cost=4),), tick=0)
    assert refused.value.retry_after is None
    assert not admits(limiter, core.Charge("c", "0/minute"), 0)


def test_the_overflow_is_counted(core: ModuleType) -> None:
    limiter = core.Limiter(max_keys=1)
    assert limiter.overflowed == 0
    for key in range(4):
        admits(limiter, core.Charge(f"k{key}", "1/day"), 0)
    assert limiter.overflowed == 3


# --- a bucket that begins with little ---------------------------------------------------------------------------------


def test_a_new_bucket_begins_with_so_many_tokens(core: ModuleType) -> None:
    limiter = core.Limiter(initial=1)
    charge, two = core.Charge("k", "60/minute"), core.Charge("l", "60/minute", cost=2)
    assert [admits(limiter, charge, tick) for tick in (0, 0, SECOND - 1, SECOND, SECOND)] == [1, 0, 0, 1, 0]
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=(two,), tick=0)
    assert refused.value.retry_after == 1.0
    assert not admits(limiter, two, SECOND - 1)
    assert admits(limiter, two, SECOND), "what was refused does not begin again"


def test_it_holds_no_more_than_the_burst_and_a_look_leaves_no_trace(core: ModuleType) -> None:
    limiter = core.Limiter(initial=50)
    assert limiter.admit(domain="d", charges=(core.Charge("k", "3/minute", cost=0),), tick=9).remaining == (3,)
    limiter = core.Limiter(initial=1)
    assert limiter.admit(domain="d", charges=(core.Charge("k", "3/minute", cost=0),), tick=9).remaining == (1,)
    assert len(limiter) == 0


def test_a_refusal_spends_nothing_of_the_others_that_begin(core: ModuleType) -> None:
    limiter = core.Limiter(initial=1)
    one, two = core.Charge("a", "60/minute"), core.Charge("b", "60/minute", cost=2)
    with pytest.raises(Limited):
        limiter.admit(domain="d", charges=(one, two), tick=0)
    assert admits(limiter, one, 0)


def test_newcomers_without_room_begin_with_little_too(core: ModuleType) -> None:
    limiter = core.Limiter(max_keys=1, initial=1)
    assert sum(admits(limiter, core.Charge(f"k{key}", "60/minute"), 0) for key in range(50)) == 2


# --- an attacker ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_keys", [1, 64, 1_000])
def test_at_the_bound_a_flood_gains_nothing_and_frees_no_victim(core: ModuleType, max_keys: int) -> None:
    """Whoever rotates ids gets, over and above the room there is, what all stripes of the overflow give once."""
    limiter, limit, burst = core.Limiter(max_keys=max_keys), "10/minute", 10
    victim = core.Charge("victim", limit)
    assert sum(admits(limiter, victim, 0) for _ in range(20)) == burst
    spent = core.Charge("fills", limit, cost=burst)
    for key in range(max_keys - 1):
        fills = core.Charge(f"fills {key}", limit, cost=burst)
        assert admits(limiter, fills, 0)
    assert len(limiter) == max_keys
    assert admits(limiter, spent, 0)
    got = sum(admits(limiter, core.Charge(f"fake {fake}", limit), 0) for fake in range(500))
    assert got == 0, "its stripe was spent"
    assert not admits(limiter, victim, 0)
    assert len(limiter) == max_keys


def test_another_issuers_callers_do_not_notice_a_flood(core: ModuleType) -> None:
    """Those who are there keep their buckets; newcomers of another domain meet another stripe, mostly."""
    limiter, limit = core.Limiter(max_keys=200), "10/minute"
    theirs = [core.Charge(f"caller {caller}", limit) for caller in range(100)]
    assert all(admits(limiter, caller, 0, domain="issuer b") for caller in theirs)
    for fake in range(3_000):
        admits(limiter, core.Charge(f"fake {fake}", limit), 0, domain="issuer a")
    for caller in theirs:
        assert [admits(limiter, caller, 0, domain="issuer b") for _ in range(10)] == [True] * 9 + [False]
    newcomer = core.Charge("newcomer", limit)
    heard = sum(admits(limiter, newcomer, 0, domain=f"issuer {issuer}") for issuer in range(128))
    assert heard >= 110, "of 64 stripes one is the attacker's"
