"""A Cluster, where one call of a script reaches one slot, and Sentinels, behind which the master changes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import anyio
import pytest
from servers.cluster import Cluster, redis_cluster
from servers.sentinel import watched_redis

import toolgate
from toolgate.errors import Limited, Unavailable
from toolgate.limits import RedisLimiter

pytestmark = pytest.mark.anyio

CLIENT = toolgate.Charge("client", "100/day")
TOOL = toolgate.Charge("tool", "50/day")
TOTAL = toolgate.Charge("everybody", "10/day", shared=True)

BACK_SECONDS = 10
"""For a client to find the new master: a probe a second, and the Sentinel to be asked."""


@pytest.fixture(scope="module")
def _nodes() -> Iterator[Cluster]:
    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(_nodes: Cluster) -> Cluster:
    _nodes.clear()
    return _nodes


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_all_budgets_of_a_domain_are_one_script_call(cluster: Cluster) -> None:
    limiter = RedisLimiter(cluster.url, on_error="deny")
    await limiter.admit(domain="warm", charges=[CLIENT])  # loads the script where it is not known
    cluster.clear_counts()
    domains = [f"organization {number}" for number in range(30)]
    for domain in domains:
        grant = await limiter.admit(domain=domain, charges=[CLIENT, TOOL])
        assert grant.remaining == (99, 49)
    await limiter.aclose()
    assert sum(cluster.script_calls()) == len(domains)
    assert all(cluster.script_calls()), "the domains are spread over the nodes"


async def test_a_budget_of_everybody_is_one_more(cluster: Cluster) -> None:
    limiter = RedisLimiter(cluster.url, on_error="deny")
    domains = [f"organization {number}" for number in range(12)]
    for domain in domains:
        await admitted(limiter, domain, TOTAL)
    cluster.clear_counts()
    for domain in ("organization 0", "organization 1"):
        assert not await admitted(limiter, domain, TOTAL)
    assert sum(cluster.script_calls()) <= 2 * 2 + 2, "one a slot, and one to give back what the refusal must not cost"
    left = await limiter.admit(domain="organization 11", charges=[CLIENT])
    assert left.remaining == (99,), "what everybody's budget refused was not spent of the client's"
    await limiter.aclose()


async def admitted(limiter: RedisLimiter, domain: str, *more: toolgate.Charge) -> bool:
    """Whether a call of the client is."""
    try:
        await limiter.admit(domain=domain, charges=[CLIENT, *more])
    except Limited:
        return False
    return True


async def test_calls_resume_on_the_new_master(anyio_backend: str) -> None:
    with watched_redis() as watched:
        limiter = RedisLimiter(watched.url, on_error="deny")
        assert (await limiter.admit(domain="organization", charges=[CLIENT])).remaining == (99,)
        watched.master.client.wait(1, 1_000)
        await anyio.to_thread.run_sync(watched.fail_over)
        deadline = time.monotonic() + BACK_SECONDS
        while True:
            try:
                grant = await limiter.admit(domain="organization", charges=[CLIENT])
                break
            except Unavailable:
                assert time.monotonic() < deadline, f"no decision within {BACK_SECONDS} s of the failover"
                await anyio.sleep(0.05)
        assert grant.remaining == (98,), "the replica knew what had been spent"
        await limiter.aclose()
