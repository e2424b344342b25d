"""Mode `exact`: all instances together are one bucket, whatever their clocks say and whatever scripts are flushed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import Proof, Tell
from remote.fleet import Fleet, Fleets, Spent
from remote.promises import Promise
from servers.standalone import RedisServer

INSTANCES = 4
AN_HOUR = 3_600.0
FLUSH_SECONDS = 0.01

MOSTLY_IN_TIME = 0.05
"""As a part of all calls: by `make prove` they have 50 ms each, which machines that do other things miss at times."""


@pytest.mark.parametrize("keys", [1, 1_000])
def test_nothing_is_admitted_beyond_the_limit_and_next_to_nothing_below(
    keys: int, fleet: Fleets, redis_server: RedisServer, proof: Proof, tell: Tell
) -> None:
    calls = proof(f"calls by each of {INSTANCES} processes", small=1_000, large=250_000)
    # Half of what is wanted, so that every key runs dry.
    limit = f"{max(1, INSTANCES * calls // keys // 2)}/day"
    with fleet(INSTANCES, redis_server.url, on_error="deny") as instances:
        outcome = measured(redis_server, instances, limit=limit, calls=calls, keys=keys)
        outcome.is_exact()
    tell(str(outcome))


def test_what_refills_meanwhile_is_had_and_no_more(
    fleet: Fleets, redis_server: RedisServer, proof: Proof, tell: Tell
) -> None:
    calls = proof(f"calls by each of {INSTANCES} processes", small=1_000, large=50_000)
    with fleet(INSTANCES, redis_server.url, on_error="deny") as instances:
        outcome = measured(redis_server, instances, limit="60000/minute burst 100", calls=calls)
        outcome.is_exact()
    tell(str(outcome))


def test_scripts_may_be_flushed_at_any_time(fleet: Fleets, redis_server: RedisServer, proof: Proof, tell: Tell) -> None:
    calls = proof("calls by each of 2 processes while scripts are flushed every 10 ms", small=1_000, large=100_000)
    with fleet(2, redis_server.url, on_error="deny") as instances, flushing(redis_server):
        outcome = measured(redis_server, instances, limit=f"{calls}/day", calls=calls)
        outcome.is_exact()
    flushes = redis_server.calls("script|flush")
    tell(f"{outcome}, {flushes} flushes")
    assert flushes > 1


@pytest.mark.parametrize("off", [AN_HOUR, -AN_HOUR], ids=["fast", "slow"])
def test_a_clock_that_is_an_hour_off_changes_nothing(off: float, fleet: Fleets, redis_server: RedisServer) -> None:
    # Patched in the process, before anything is imported there: all that limits in Python asks Python for the time.
    with (
        fleet(1, redis_server.url, on_error="deny", clock_off_by=off) as wrong,
        fleet(1, redis_server.url, on_error="deny") as right,
    ):
        together = Fleet([*wrong.instances, *right.instances])
        outcome = measured(redis_server, together, limit="600/minute burst 100", calls=300)
        outcome.is_exact()


class Outcome:
    """What was admitted, and what should have been."""

    def __init__(self, limit: str, spent: Spent, microseconds: int) -> None:
        self.spent = spent
        promise = Promise.of(limit)
        self._most = promise.most(microseconds)
        # A bucket gains nothing while it is full, so this counts from the first admission.
        self._least = promise.least(int(1e6 * (spent.last - spent.first)))

    def is_exact(self) -> None:
        """Each key within its own bounds, and nothing worse than a call that this machine could not do in 50 ms."""
        spent = self.spent
        assert spent.errors.keys() <= {"store_unavailable"}, spent.errors
        slow = spent.errors["store_unavailable"]
        assert max(spent.admitted) <= self._most, f"over-admitted: {self}"
        # Redis may have counted a call after the process had given it up: that token is nobody's.
        assert min(spent.admitted) >= self._least - slow, f"under-admitted: {self}"
        assert sum(spent.admitted) >= self._least * len(spent.admitted) - slow, f"under-admitted in all: {self}"
        assert slow <= MOSTLY_IN_TIME * (sum(spent.admitted) + spent.refused), f"hardly anything was decided: {self}"

    def __str__(self) -> str:
        admitted = self.spent.admitted
        each = f"{min(admitted):,} to {max(admitted):,} each" if len(admitted) > 1 else f"{admitted[0]:,}"
        slow = self.spent.errors["store_unavailable"]
        return f"admitted {each} of {self._least:,} to {self._most:,}, refused {self.spent.refused:,}, slow {slow}"


def measured(server: RedisServer, instances: Fleet, *, limit: str, calls: int, keys: int = 1) -> Outcome:
    """Spend, then let one instance have what is left: what is admitted in all is then known from both sides, by the
    server's clock."""
    instances.spend(limits=[limit], calls=1, domain="connects")
    before = server.microseconds()
    spent = instances.spend(limits=[limit], calls=calls, keys=keys)
    spent += Fleet(instances.instances[-1:]).spend(limits=[limit], calls=keys, keys=keys, tasks=1, dry=True)
    return Outcome(limit, spent, server.microseconds() - before)


@contextmanager
def flushing(server: RedisServer) -> Iterator[None]:
    """The server forgets all scripts every 10 ms."""
    over = threading.Event()

    def flush() -> None:
        while not over.wait(FLUSH_SECONDS):
            server.client.script_flush()

    thread = threading.Thread(target=flush)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
