"""A Redis that is away, slow or cut off: nobody hangs, each policy admits what it says, and Redis is asked again soon.

What may be admitted meanwhile by one instance of N, in an outage of D seconds: `local` its share of the rate, `r*D/N`,
and the one token it begins with; `deny` nothing; `allow` everything.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import anyio
import pytest
from conftest import Tell
from servers.proxy import Proxy, proxied
from servers.standalone import RedisServer

import doorward
from doorward.errors import Limited, Unavailable
from doorward.limits import RedisLimiter

pytestmark = pytest.mark.anyio

POLICIES: Final = ("local", "deny", "allow")

RATE, BURST, INSTANCES = 10, 60, 4
CHARGES: Final = (doorward.Charge("key", f"{RATE * 60}/minute burst {BURST}"),)

CALLS: Final = 60

HANGING: Final = 2.0
"""Seconds: forty deadlines. What takes so long was not held up by other processes, it waits for something."""

RECOVERY: Final = 3.0
"""Seconds in which Redis must be asked again: three times what is promised, for machines that are busy."""


@dataclass
class World:
    """A server, and the network before it."""

    server: RedisServer
    network: Proxy


OUTAGES: Final[dict[str, tuple[Callable[[World], None], Callable[[World], None]]]] = {
    "killed": (lambda world: world.server.kill(), lambda world: world.server.start()),
    "stopped": (lambda world: world.server.pause(), lambda world: world.server.resume()),
    "swallowed": (lambda world: world.network.swallow(), lambda world: world.network.pass_on()),
    "reset": (lambda world: world.network.reset(), lambda world: world.network.pass_on()),
    "slow": (lambda world: world.network.delay(0.2), lambda world: world.network.pass_on()),
}
"""How it begins, and how it ends."""


@pytest.fixture
def world(start_redis: Callable[..., RedisServer]) -> Iterator[World]:
    server = start_redis()
    with proxied(server.port) as network:
        yield World(server, network)


@pytest.mark.parametrize(
    ("anyio_backend", "outage"),
    [*(("asyncio", outage) for outage in OUTAGES), ("trio", "killed"), ("trio", "stopped")],
)
async def test_an_outage_is_survived_by_the_policy_and_then_over(outage: str, world: World, tell: Tell) -> None:
    begin, end = OUTAGES[outage]
    limiters = {policy: limiter(world, policy) for policy in POLICIES}
    for policy in POLICIES:
        before = await spent(limiters[policy], policy, 5)
        assert before.outcomes == {"admitted": 5}
    assert world.server.script_calls() >= 5 * len(POLICIES)

    begin(world)
    began = time.monotonic()
    during = {policy: await spent(limiters[policy], policy, CALLS) for policy in POLICIES}
    seconds = time.monotonic() - began
    assert 1 <= during["local"].outcomes["admitted"] <= 1 + RATE * seconds / INSTANCES
    assert during["local"].outcomes.keys() <= {"admitted", "rate_limited"}
    assert during["deny"].outcomes == {"store_unavailable": CALLS}
    assert during["allow"].outcomes == {"admitted": CALLS}
    assert [spending.hung for spending in during.values()] == [0, 0, 0]

    end(world)
    back = [await recovered(world, limiters[policy], policy) for policy in POLICIES]
    tell(f"Redis decided again {max(back):.2f} s after the outage")
    for policy in POLICIES:
        await limiters[policy].aclose()


@pytest.mark.parametrize("policy", POLICIES)
async def test_start_does_not_wait_for_redis(policy: str, world: World) -> None:
    world.server.kill()
    limiter_ = limiter(world, policy)
    first = await spent(limiter_, policy, 1)
    assert first.outcomes == {"store_unavailable" if policy == "deny" else "admitted": 1}
    assert not first.hung
    world.server.start()
    await recovered(world, limiter_, policy)
    await limiter_.aclose()


async def test_a_restart_gives_no_more_than_one_new_burst(world: World) -> None:
    """Without persistence the server has forgotten what was spent: the one new burst is the price, stated."""
    limiter_ = limiter(world, "deny")
    before = world.server.microseconds()
    outcomes = (await spent(limiter_, "key", 2 * BURST)).outcomes
    world.server.restart()
    await recovered(world, limiter_, "other")
    outcomes += (await spent(limiter_, "key", 2 * BURST)).outcomes
    elapsed = (world.server.microseconds() - before) / 1e6
    assert BURST < outcomes["admitted"] <= 2 * BURST + RATE * elapsed
    await limiter_.aclose()


async def test_what_was_admitted_meanwhile_is_debited_afterwards(world: World) -> None:
    """Not so with `allow`, which is the operator's word that the limit does not matter then."""
    limiter_ = limiter(world, "local", instances=1)
    began = time.monotonic()
    admitted = (await spent(limiter_, "key", BURST // 2)).outcomes["admitted"]
    world.network.swallow()
    share = 0
    while share < 5:
        share += (await spent(limiter_, "key", 1)).outcomes["admitted"]
        await anyio.sleep(1 / RATE)
    world.network.pass_on()
    await recovered(world, limiter_, "other")
    # Redis has also done what was given up while the network held it back: that is lost to the caller, not gained.
    admitted += (await spent(limiter_, "key", 2 * BURST)).outcomes["admitted"]
    assert admitted + share <= BURST + RATE * (time.monotonic() - began)
    await limiter_.aclose()


@dataclass
class Spending:
    """What came of some calls."""

    outcomes: Counter[str]
    hung: int


def limiter(world: World, policy: str, *, instances: int = INSTANCES) -> RedisLimiter:
    """One of the instances."""
    return RedisLimiter(world.network.url, on_error=policy, instances=instances)


async def spent(limiter: RedisLimiter, domain: str, calls: int) -> Spending:
    """So many calls, ten at a time."""
    spending = Spending(Counter(), 0)
    numbers = iter(range(calls))

    async def some() -> None:
        for _ in numbers:
            start = time.monotonic()
            try:
                await limiter.admit(domain=domain, charges=CHARGES)
            except (Limited, Unavailable) as refused:
                spending.outcomes[refused.code] += 1
            else:
                spending.outcomes["admitted"] += 1
            spending.hung += time.monotonic() - start > HANGING

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(some)
    return spending


async def recovered(world: World, limiter: RedisLimiter, domain: str) -> float:
    """Seconds until Redis has decided a call again, by its own count and by the limiter's."""
    began = time.monotonic()
    while True:
        asked, guessed = world.server.script_calls(), limiter.fallbacks.total()
        await spent(limiter, f"{domain} again", 1)
        if limiter.fallbacks.total() == guessed and world.server.script_calls() > asked:
            return time.monotonic() - began
        assert time.monotonic() < began + RECOVERY, f"Redis was not asked again within {RECOVERY} s"
        await anyio.sleep(0.02)
