"""What a limiter costs when it holds a million buckets, and how long the slowest decisions take."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from random import Random
from typing import Any

import pytest
from benches.contest import CALLS, CORES, OURS, Measure, Tell, many
from pytest_benchmark.fixture import BenchmarkFixture

LIMIT = "1000000000/day"
MANY = 1_000_000
THREADS = 8

Charges = Sequence[Any]


@pytest.fixture(autouse=True)
def _uncollected() -> Iterator[None]:
    """A million charges are the benchmark's own, and the collector would look at all of them again and again."""
    gc.disable()
    yield
    gc.enable()


def filled(
    core: Any, *, keys: int, budgets: int, together: Callable[[Any], Charges] = tuple
) -> tuple[Any, list[Charges]]:
    """A limiter with so many buckets, and the charges of all callers in no order."""
    limiter = core.Limiter(max_keys=10 * MANY)
    calls = [
        together([core.Charge(f"{budget} of client {client}", LIMIT) for budget in range(budgets)])
        for client in range(keys // budgets)
    ]
    for charges in calls:
        limiter.admit(domain="acme", charges=charges, tick=0)
    Random(7).shuffle(calls)
    return limiter, calls


def admitting(limiter: Any, calls: list[Charges]) -> Callable[[], Any]:
    following = cycle(calls).__next__
    return lambda: limiter.admit(domain="acme", charges=following(), tick=0)


def looking(_: Any, calls: list[Charges]) -> Callable[[], Any]:
    """What a caller's own objects take to come from memory."""
    following = cycle(calls).__next__
    return lambda: [charge.cost for charge in following()]


def counting(_: Any, calls: list[Charges]) -> Callable[[], Any]:
    """The least that anybody does in Python: one dict of all keys."""
    following = cycle(calls).__next__
    known = {charge.key: 0 for charges in calls for charge in charges}

    def count() -> None:
        for charge in following():
            known[charge.key] += 1

    return count


IN_A_TUPLE = f"{OURS}, charges in a tuple"


DOINGS = {
    OURS: admitting,
    IN_A_TUPLE: admitting,
    "looking at the charges alone": looking,
    "counting in a dict": counting,
}


@pytest.mark.parametrize("keys", [1_000, MANY])
@pytest.mark.parametrize("budgets", [1, 6])
@pytest.mark.parametrize("name", DOINGS)
def test_admit_among_many_keys(keys: int, budgets: int, name: str, measure: Measure) -> None:
    core = CORES[OURS]
    together = core.Charges if name == OURS else tuple
    contestant = DOINGS[name](*filled(core, keys=keys, budgets=budgets, together=together))
    group = f"admit: {budgets} buckets, by anyone of all callers, of a thousand keys where not said otherwise"
    measure(group, name if keys == 1_000 else f"{name}, a million keys", many(contestant), decisions=CALLS)


@pytest.mark.parametrize("keys", [1_000, MANY])
def test_admit_those_who_come_often_among_many_keys(keys: int, measure: Measure) -> None:
    """Most of a million buckets are somebody's who is not here now."""
    core = CORES[OURS]
    limiter, calls = filled(core, keys=keys, budgets=6, together=core.Charges)
    name = OURS if keys == 1_000 else f"{OURS}, a million keys"
    group = "admit: 6 buckets, by one of 160 callers"
    measure(group, name, many(admitting(limiter, calls[:160])), decisions=CALLS)


FILLING = """
from pathlib import Path
from doorward._rust import Charge, Limiter
limiter, keys, per_domain = Limiter(max_keys=10_000_000), {keys}, {per_domain}
charges = [Charge(f"client {{key}}", "1000000000/day") for key in range(min(per_domain, 6))]
pages = lambda: int(Path("/proc/self/statm").read_text().split()[1])
before = pages()
for key in range(keys):
    charge = charges[key % per_domain] if per_domain <= 6 else Charge(f"client {{key}}", "1000000000/day")
    limiter.admit(domain=f"domain {{key // per_domain}}", charges=(charge,), tick=0)
print((pages() - before) * 4_096)
"""


@pytest.mark.parametrize("per_domain", [MANY, 6, 2, 1])
def test_memory(per_domain: int, benchmark: BenchmarkFixture, tell: Tell) -> None:
    """Of a process of its own, as this one has memory to spare."""
    program = FILLING.format(keys=MANY, per_domain=per_domain)
    run = [sys.executable, "-c", program]
    done = benchmark.pedantic(lambda: subprocess.run(run, check=True, capture_output=True), rounds=1)
    tell(f"memory: {MANY:,} buckets, {per_domain:,} in a domain: {int(done.stdout) / 2**20:.0f} MiB (goal 150)")


@pytest.mark.parametrize("name", CORES)
@pytest.mark.parametrize("grows", [False, True], ids=["the same buckets", "new buckets"])
def test_the_slowest_of_eight_threads(name: str, grows: bool, benchmark: BenchmarkFixture, tell: Tell) -> None:
    core, calls = CORES[name], 20_000
    limiter = core.Limiter(max_keys=10 * MANY)
    took: list[int] = []

    def run(thread: int) -> None:
        keys = calls if grows else 1
        charges = [tuple(core.Charge(f"{thread} {key} {b}", LIMIT) for b in range(6)) for key in range(keys)]
        own = timed(limiter, charges * (calls // keys), time.perf_counter_ns)
        took.extend(own)

    def all_of_them() -> None:
        threads = [threading.Thread(target=run, args=(thread,)) for thread in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    benchmark.pedantic(all_of_them, rounds=1)
    what = "new buckets" if grows else "the same buckets"
    tell(f"{THREADS} threads, {what}, {name}, by the wall clock: {percentiles(took)}")


@pytest.mark.parametrize("name", CORES)
def test_the_slowest_while_it_grows(name: str, benchmark: BenchmarkFixture, tell: Tell) -> None:
    """Of processor time, since a busy machine has others to run."""
    core = CORES[name]
    limiter = core.Limiter(max_keys=10 * MANY)
    charges = [(core.Charge(f"client {key}", LIMIT),) for key in range(MANY)]
    took = benchmark.pedantic(lambda: timed(limiter, charges, time.thread_time_ns), rounds=1)
    tell(f"a million new buckets, {name}, of processor time: {percentiles(took)}")


@pytest.mark.parametrize("keys", [100_000, MANY])
def test_decisions_during_a_snapshot(keys: int, benchmark: BenchmarkFixture, tell: Tell) -> None:
    limiter, calls = filled(CORES[OURS], keys=keys, budgets=1)
    took: list[int] = []
    done = threading.Event()

    def decide() -> None:
        while not done.is_set():
            took.extend(timed(limiter, calls[:1_000], time.perf_counter_ns))

    thread = threading.Thread(target=decide)
    thread.start()
    started = time.perf_counter()
    size = benchmark.pedantic(lambda: sum(map(len, limiter.snapshot_pieces(tick=0))), rounds=1)
    seconds = time.perf_counter() - started
    done.set()
    thread.join()
    tell(f"a snapshot of {keys:,} buckets: {size / 2**20:.0f} MiB in {seconds:.2f} s; meanwhile {percentiles(took)}")


def timed(limiter: Any, calls: Sequence[Charges], clock: Callable[[], int]) -> list[int]:
    """How long each decision takes, in nanoseconds."""
    took = []
    for charges in calls:
        started = clock()
        limiter.admit(domain="acme", charges=charges, tick=0)
        took.append(clock() - started)
    return took


def percentiles(took: list[int]) -> str:
    """The slow end, in microseconds."""
    took.sort()
    at = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999}
    parts = [f"{name} {took[int(len(took) * part)] / 1_000:.1f}" for name, part in at.items()]
    return f"{', '.join(parts)}, slowest {took[-1] / 1_000:.0f} us"
