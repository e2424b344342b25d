"""Budgets on a real Redis on the loopback, over TCP: one budget, three by minute and day, and many calls at once.

All contestants are asynchronous, as servers are, except `limits` with its synchronous client, its quickest way of all.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import limits
import pyrate_limiter
import pytest
import redis.asyncio
import throttled.asyncio
from benches.contest import OURS, Measure

import doorward
from doorward.limits import RedisLimiter

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from servers.patience import PATIENT
from servers.standalone import RedisServer

# Of the peers, not all say how to close what they opened.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BUDGETS = ("client:agent-7", "tool:delete_*:agent-7", "organization:acme")
MINUTE, DAY = 90_000_000, 100_000_000
"""So many that nothing is ever refused."""

DECISIONS, TASKS = 200, 50

Admit = Callable[[], Awaitable[Any]]


class Contest:
    """One event loop, one server, and what was opened in it."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.loop = asyncio.new_event_loop()
        self.close: list[Callable[[], Awaitable[Any]]] = []

    def closes(self, client: Any) -> None:
        """A client of redis-py's, whoever made its pool: left open, its connections complain when the run ends."""
        self.close.append(client.connection_pool.disconnect)

    def run(self, admit: Admit, *, tasks: int = 1) -> None:
        """So many decisions in all."""
        self.loop.run_until_complete(_run(admit, tasks))


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that does other things at times is measured, not refused."""
    monkeypatch.setattr("doorward._redis.store.Patience", lambda: PATIENT)


def ours(contest: Contest, budgets: tuple[str, ...], mode: str) -> Admit:
    """All budgets by minute and day, all or nothing, in one script."""
    limiter = RedisLimiter(contest.server.url, mode=mode, on_error="deny")
    contest.close.append(limiter.aclose)
    charges = _charges(budgets)
    return lambda: limiter.admit(domain="acme", charges=charges)


def in_process(_: Contest, budgets: tuple[str, ...]) -> Admit:
    """What leases are measured by: the same budgets without Redis."""
    limiter, charges, tick = doorward.Limiter(), _charges(budgets), time.monotonic_ns

    async def admit() -> Any:
        return limiter.admit(domain="acme", charges=charges, tick=tick())

    return admit


def limits_asynchronous(contest: Contest, budgets: tuple[str, ...]) -> Admit:
    """A call a budget, one window, the cheapest strategy."""
    storage = limits.aio.storage.RedisStorage(f"async+{contest.server.url}", implementation="redispy")
    contest.closes(storage.bridge.get_connection())
    hit, limit = limits.aio.strategies.FixedWindowRateLimiter(storage).hit, limits.parse(f"{DAY}/minute")

    async def admit() -> bool:
        return all([await hit(limit, budget) for budget in budgets])

    return admit


def limits_synchronous(contest: Contest, budgets: tuple[str, ...]) -> Admit:
    """The same, blocking the loop: no server could do that."""
    storage = limits.storage.RedisStorage(contest.server.url)
    hit, limit = limits.strategies.FixedWindowRateLimiter(storage).hit, limits.parse(f"{DAY}/minute")

    async def admit() -> bool:
        return all(hit(limit, budget) for budget in budgets)

    return admit


def throttled_py(contest: Contest, budgets: tuple[str, ...]) -> Admit:
    """A token bucket in Lua, a call a budget, one window."""
    store = throttled.asyncio.RedisStore(server=contest.server.url)
    contest.closes(store._backend.get_client())
    quota = throttled.rate_limiter.per_min(MINUTE, burst=MINUTE)
    limiters = [
        throttled.asyncio.Throttled(key=budget, using="token_bucket", quota=quota, store=store) for budget in budgets
    ]

    async def admit() -> bool:
        return not any([(await limiter.limit()).limited for limiter in limiters])

    return admit


def pyrate(contest: Contest, budgets: tuple[str, ...]) -> Admit:
    """Both windows of a budget in one script, a call a budget, as its token bucket keeps no log of every call."""
    client = redis.asyncio.Redis.from_url(contest.server.url)
    contest.closes(client)
    rates = [
        pyrate_limiter.Rate(MINUTE, pyrate_limiter.Duration.MINUTE),
        pyrate_limiter.Rate(DAY, pyrate_limiter.Duration.DAY),
    ]
    store = pyrate_limiter.buckets.redis_state.RedisStateStore
    limiters = [
        pyrate_limiter.Limiter(
            pyrate_limiter.StateBucket(rates, pyrate_limiter.TokenBucket(), store=store(client, f"pyrate:{budget}"))
        )
        for budget in budgets
    ]

    async def admit() -> bool:
        return all([await limiter.try_acquire_async(blocking=False) for limiter in limiters])

    return admit


CONTESTANTS: dict[str, Callable[[Contest, tuple[str, ...]], Admit]] = {
    OURS: lambda contest, budgets: ours(contest, budgets, "exact"),
    f"{OURS}, leased": lambda contest, budgets: ours(contest, budgets, "leased"),
    f"{OURS}, in process": in_process,
    "limits": limits_asynchronous,
    "limits, blocking": limits_synchronous,
    "throttled-py": throttled_py,
    "pyrate-limiter": pyrate,
}

SHAPES = {
    "one budget": (BUDGETS[:1], 1),
    "three budgets": (BUDGETS, 1),
    f"three budgets, {TASKS} tasks at once": (BUDGETS, TASKS),
}
"""Ours by minute and day; the others as their functions say."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    running = RedisServer()
    yield running
    running.close()


@pytest.fixture
def contest(server: RedisServer) -> Iterator[Contest]:
    server.clear()
    contest = Contest(server)
    yield contest
    for close in contest.close:
        contest.loop.run_until_complete(close())
    contest.loop.close()


@pytest.mark.parametrize("name", CONTESTANTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_admit_on_redis(name: str, shape: str, contest: Contest, measure: Measure) -> None:
    budgets, tasks = SHAPES[shape]
    admit = CONTESTANTS[name](contest, budgets)
    assert contest.loop.run_until_complete(admit())
    measure(f"on Redis: {shape}", name, lambda: contest.run(admit, tasks=tasks), decisions=DECISIONS)
    assert contest.loop.run_until_complete(admit()), "a contestant that refuses does less than it should"


@pytest.mark.parametrize("name", [OURS, "in process"])
@pytest.mark.parametrize("tasks", [1, TASKS])
@pytest.mark.parametrize("budgets", [BUDGETS[:1], BUDGETS], ids=["one budget", "three budgets"])
def test_a_hot_key(name: str, tasks: int, budgets: tuple[str, ...], contest: Contest, measure: Measure) -> None:
    """Leased against the same budgets in process, which it may take twice as long as."""
    admit = ours(contest, budgets, "leased") if name == OURS else in_process(contest, budgets)
    for _ in range(50):
        contest.run(admit, tasks=tasks)
    measure(
        f"a hot key, leased: {len(budgets)} budgets, {tasks} at once",
        name,
        lambda: contest.run(admit, tasks=tasks),
        decisions=DECISIONS,
    )


def _charges(budgets: tuple[str, ...]) -> tuple[doorward.Charge, ...]:
    return tuple(doorward.Charge(key, limit) for key in budgets for limit in (f"{MINUTE}/minute", f"{DAY}/day"))


async def _run(admit: Admit, tasks: int) -> None:
    async def some() -> None:
        for _ in range(DECISIONS // tasks):
            await admit()

    if tasks == 1:
        await some()
    else:
        await asyncio.gather(*(some() for _ in range(tasks)))
