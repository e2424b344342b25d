"""A Cluster, where one call of a script reaches one slot, and Sentinels, behind which the master changes."""

from __future__ import annotations

import time
from contextlib import suppress

import anyio
import pytest
from servers.cluster import Cluster
from servers.sentinel import watched_redis

import doorward
from doorward.errors import Limited, Unavailable
from doorward.limits import RedisLimiter

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patient")]

CLIENT = doorward.Charge("client", "100/day")
TOOL = doorward.Charge("tool", "50/day")
TOTAL = doorward.Charge("everybody", "10/day", shared=True)

BACK_SECONDS = 10
"""For a client to find the new master: a probe a second, and the Sentinel to be asked."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_all_budgets_of_a_domain_are_one_script_call(cluster: Cluster) -> None:
    limiter = await connected(cluster)
    domains = [f"organization {number}" for number in range(30)]
    for domain in domains:
        assert (await limiter.admit(domain=domain, charges=[CLIENT, TOOL])).remaining == (99, 49)
    await limiter.aclose()
    assert sum(cluster.script_calls()) == len(domains)
    assert all(cluster.script_calls()), "the domains are spread over the nodes"


async def test_a_budget_of_everybody_is_one_more(cluster: Cluster) -> None:
    limiter = await connected(cluster)
    domains = [f"organization {number}" for number in range(12)]
    assert [await admitted(limiter, domain, TOTAL) for domain in domains] == [True] * 10 + [False] * 2
    # A slot is one call; what the first gave is given back where the second refuses.
    assert sum(cluster.script_calls()) <= 10 * 2 + 2 * 3
    left = await limiter.admit(domain="organization 11", charges=[CLIENT])
    assert left.remaining == (99,), "what everybody's budget refused was not spent of the client's"
    await limiter.aclose()


async def connected(cluster: Cluster) -> RedisLimiter:
    """A limiter that knows all nodes, each of which knows the script."""
    limiter = RedisLimiter(cluster.url, on_error="deny")
    for number in range(30):
        await eventually(limiter, f"warm {number}")
    cluster.clear_counts()
    return limiter


async def eventually(limiter: RedisLimiter, domain: str) -> tuple[int, ...]:
    """What is left after a decision, which takes more than one deadline while nodes are not known."""
    deadline = time.monotonic() + BACK_SECONDS
    while True:
        with suppress(Unavailable):
            return (await limiter.admit(domain=domain, charges=[CLIENT])).remaining
        assert time.monotonic() < deadline, f"no decision within {BACK_SECONDS} s"
        await anyio.sleep(0.05)


async def admitted(limiter: RedisLimiter, domain: str, *more: doorward.Charge) -> bool:
    """Whether a call of the client is."""
    try:
        await limiter.admit(domain=domain, charges=[CLIENT, *more])
    except Limited:
        return False
    return True


async def test_calls_resume_on_the_new_master() -> None:
    with watched_redis() as watched:
        limiter = RedisLimiter(watched.url, on_error="deny")
        assert await eventually(limiter, "organization") == (99,)
        watched.copied()
        await anyio.to_thread.run_sync(watched.fail_over)
        assert await eventually(limiter, "organization") == (98,), "the replica knew what had been spent"
        await limiter.aclose()
