"""Mode `leased`: tokens are paid for in Redis before they are spent, so hoarding moves admissions, and makes none.

The bound for a window of w seconds: `b + r*w + min(r*tau, N*q)`, with a lease of at most q tokens for at most tau
seconds in each of N instances.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
from conftest import Proof, Tell
from remote.fleet import Fleet, Fleets
from remote.promises import Promise, excess
from servers.standalone import RedisServer

from doorward.limits.lease_held import LEASE_SECONDS, most_leased

INSTANCES = 4


@pytest.mark.parametrize("limit", ["60000/minute burst 500", "400/hour"], ids=["N*q", "r*tau"])
def test_hoarders_who_fire_at_once_stay_within_the_bound(
    limit: str, fleet: Fleets, redis_server: RedisServer, proof: Proof, tell: Tell
) -> None:
    rounds = proof("times that all instances hoard and then fire", small=2, large=100)
    promise: Any = Promise.of(limit)  # which is a bucket as far as it matters here
    moved = min(promise.per_second * LEASE_SECONDS, INSTANCES * most_leased(promise))
    found = []
    with fleet(INSTANCES, redis_server.url, mode="leased", on_error="deny") as instances:
        instances.spend(limits=[limit], calls=1, domain="connects")
        for number in range(rounds):
            spend = partial(instances.spend, limits=[limit], domain=f"round {number}", timed=True)
            before = redis_server.microseconds()
            # A few calls as fast as can be, which earn the largest leases; the bucket has refilled before these run
            # out, as far as it can; then everything at once.
            times = spend(calls=promise.burst // INSTANCES // 3).times
            time.sleep(LEASE_SECONDS / 2)
            times += spend(seconds=LEASE_SECONDS / 4).times
            assert len(times) <= promise.most(redis_server.microseconds() - before), "all in all nothing is made"
            found.append(excess(promise, times))
    tell(f"{limit}: at most {max(found):+.1f} beyond the bucket in any window, of {moved:.1f} that leases can move")
    assert max(found) <= moved


@pytest.mark.parametrize("off", [3_600.0, -3_600.0], ids=["fast", "slow"])
def test_a_clock_that_is_an_hour_off_makes_nothing(off: float, fleet: Fleets, redis_server: RedisServer) -> None:
    limit = "6000/minute burst 100"
    with (
        fleet(1, redis_server.url, mode="leased", on_error="deny", clock_off_by=off) as wrong,
        fleet(1, redis_server.url, mode="leased", on_error="deny") as right,
    ):
        before = redis_server.microseconds()
        spent = Fleet([*wrong.instances, *right.instances]).spend(limits=[limit], calls=500)
        assert 100 <= sum(spent.admitted) <= Promise.of(limit).most(redis_server.microseconds() - before)


def test_a_hot_key_asks_redis_less_often_than_it_decides(fleet: Fleets, redis_server: RedisServer, tell: Tell) -> None:
    with fleet(1, redis_server.url, mode="leased", on_error="deny") as instances:
        spent = instances.spend(limits=["600000/minute"], calls=20_000, tasks=50)
        slow = spent.errors.total()
    asked = redis_server.script_calls()
    tell(f"{asked:,} calls of Redis for {sum(spent.admitted):,} admissions")
    assert sum(spent.admitted) == 20_000 - slow
    assert asked < 20_000 / 5


def test_a_killed_instance_loses_no_more_than_its_lease(fleet: Fleets, redis_server: RedisServer, tell: Tell) -> None:
    limit, burst = "2000/day", 2_000
    with (
        fleet(1, redis_server.url, mode="leased", on_error="deny") as doomed,
        fleet(1, redis_server.url, on_error="deny") as heir,
    ):
        before = redis_server.microseconds()
        first = doomed.spend(limits=[limit], calls=burst // 2)
        doomed.instances[0].kill()
        rest = heir.spend(limits=[limit], calls=1, tasks=1, dry=True)
        elapsed = redis_server.microseconds() - before
    admitted = sum(first.admitted) + sum(rest.admitted)
    promise: Any = Promise.of(limit)
    lease = most_leased(promise)
    tell(f"{burst - admitted} of at most {lease} tokens died with the instance")
    slow = first.errors.total() + rest.errors.total()
    assert burst - lease - slow <= admitted <= Promise.of(limit).most(elapsed)


def test_what_was_leased_and_not_spent_comes_back(fleet: Fleets, redis_server: RedisServer) -> None:
    limit, burst = "2000/day", 2_000
    with (
        fleet(1, redis_server.url, mode="leased", on_error="deny") as hoarder,
        fleet(1, redis_server.url, on_error="deny") as heir,
    ):
        first = hoarder.spend(limits=[limit], calls=burst // 2)
        time.sleep(1.5 * LEASE_SECONDS)
        rest = heir.spend(limits=[limit], calls=1, tasks=1, dry=True)
    together = first + rest
    assert sum(together.admitted) >= burst - together.errors.total()


def test_near_the_end_leases_shrink_and_all_that_there_is_is_had(
    fleet: Fleets, redis_server: RedisServer, proof: Proof
) -> None:
    calls = proof(f"calls by each of {INSTANCES} processes", small=500, large=100_000)
    limit = f"{INSTANCES * calls // 2}/day"
    with fleet(INSTANCES, redis_server.url, mode="leased", on_error="deny") as instances:
        before = redis_server.microseconds()
        spent = instances.spend(limits=[limit], calls=calls)
        spent += instances.spend(limits=[limit], calls=1, tasks=1, dry=True)
        promise, elapsed = Promise.of(limit), redis_server.microseconds() - before
    assert promise.least(0) - spent.errors.total() <= sum(spent.admitted) <= promise.most(elapsed)
