"""The corners of the script's arithmetic, each against the limiter in process; periods here are whole microseconds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from servers.standalone import RedisServer

import doorward
from doorward import Charge
from doorward._redis import Patience
from doorward.errors import Limited
from doorward.limits import RedisLimiter
from doorward.limits.redis_script import command, read

pytestmark = pytest.mark.anyio

SECOND = 1_000_000
START = 1_795_000_000 * SECOND

CLIENT = "5/minute"
"""A token every twelve seconds."""

Step = tuple[Any, ...]

HISTORIES: dict[str, list[Step]] = {
    "a debt is one burst at most": [("admit", CLIENT, 1), ("settle", 0, 50), ("admit", CLIENT, 1)],
    "a debt of a full bucket": [("admit", CLIENT, 1), ("wait", 60), ("settle", 0, 50), ("admit", CLIENT, 1)],
    "a debt that is not full": [("admit", CLIENT, 1), ("settle", 0, 7), ("admit", CLIENT, 1), ("wait", 36)],
    "the young are given back": [("admit", CLIENT, 3), ("wait", 5), ("settle", 0, 0), ("admit", CLIENT, 5)],
    "and the old in their turn": [
        ("admit", CLIENT, 2),
        ("admit", CLIENT, 3),
        ("wait", 12),
        ("admit", CLIENT, 1),
        ("wait", 24),
        ("admit", CLIENT, 2),
        ("settle", 1, 0),
        ("admit", CLIENT, 5),
    ],
    "nothing of an earlier time": [
        ("admit", CLIENT, 5),
        ("wait", 60),
        ("admit", CLIENT, 5),
        ("settle", 0, 0),
        ("admit", CLIENT, 1),
    ],
    "nothing of another rate": [
        ("admit", CLIENT, 5),
        ("admit", "20/minute", 1),
        ("settle", 0, 0),
        ("admit", "20/minute", 15),
    ],
    "twice what was given back": [
        ("admit", CLIENT, 2),
        ("admit", CLIENT, 2),
        ("settle", 0, 1),
        ("settle", 1, 0),
        ("admit", CLIENT, 5),
    ],
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def remote(redis_server: RedisServer) -> AsyncIterator[RedisLimiter]:
    made = RedisLimiter(redis_server.url, on_error="deny")
    made._store.patience = Patience(connect=5.0, answer=5.0)
    yield made
    await made.aclose()


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
async def test_a_corner_is_that_of_the_limiter_in_process(history: list[Step], remote: RedisLimiter) -> None:
    here, now = doorward.Limiter(), START
    grants: list[tuple[Any, Any]] = []
    for step in history:
        remote._buckets._now = str(now)
        if step[0] == "wait":
            now += step[1] * SECOND
        elif step[0] == "settle":
            local, far = grants[step[1]]
            here.settle(local, step[2], tick=now * 1_000)
            await remote.settle(far, step[2])
        else:
            charges = [Charge("client", step[1], cost=step[2])]
            local, far = inside(here, charges, now), await outside(remote, charges)
            assert told(far) == told(local)
            grants.append((local, far))


def inside(limiter: doorward.Limiter, charges: list[Charge], now: int) -> Any:
    try:
        return limiter.admit(domain="acme", charges=charges, tick=now * 1_000)
    except Limited as limited:
        return limited


async def outside(limiter: RedisLimiter, charges: list[Charge]) -> Any:
    try:
        return await limiter.admit(domain="acme", charges=charges)
    except Limited as limited:
        return limited


def told(outcome: Any) -> Any:
    return outcome.retry_after if isinstance(outcome, Limited) else outcome.remaining


async def test_a_clock_that_was_set_back_locks_nobody_out_for_longer_than_two_refills(remote: RedisLimiter) -> None:
    charges = [Charge("client", CLIENT, cost=5)]
    remote._buckets._now = str(START + 3_600 * SECOND)
    await remote.admit(domain="acme", charges=charges)
    remote._buckets._now = str(START)
    assert told(await outside(remote, [Charge("client", CLIENT)])) == 60 + 12


async def test_more_than_a_call_needs_is_half_of_what_is_there(remote: RedisLimiter) -> None:
    plan = remote._plans.of("acme", [Charge("client", "20/day")])
    (bucket,) = plan.buckets
    granted = []
    for want in (4, 100, 100, 100, 100, 100, 100):
        words = (bucket.period, bucket.burst, 1, want, 0)
        reply = await remote.store.ask(command("spend", [bucket.name], words, now=remote._buckets._now))
        granted += read(reply, 1).granted
    assert granted == [4, 8, 4, 2, 1, 1, 0]
