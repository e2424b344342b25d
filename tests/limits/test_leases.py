"""Leases: what one process holds of a hot key, where it goes when it is not spent, and what is never leased."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable

import anyio
import anyio.to_thread
import pytest
from servers.standalone import RedisServer

from doorward import Charge
from doorward._redis import Patience
from doorward.errors import Limited, Unavailable
from doorward.limits import RedisLimiter
from doorward.limits.lease_held import LEASE_SECONDS, MOST_LEASED, Held, Lease

pytestmark = pytest.mark.anyio

LARGE = Charge("client", "10000/day")
LARGER = Charge("organization", "100000/day")
SMALL = Charge("tool", "99/day")
SLACK = 20
"""Tokens of a lease of a tenth of a burst, and some calls before the key is a hot one."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def leased(redis_server: RedisServer) -> AsyncIterator[RedisLimiter]:
    made = limiter(redis_server, "leased")
    yield made
    await made.aclose()


@pytest.fixture
async def exact(redis_server: RedisServer) -> AsyncIterator[RedisLimiter]:
    """What another instance sees."""
    made = limiter(redis_server, "exact")
    yield made
    await made.aclose()


def limiter(server: RedisServer, mode: str) -> RedisLimiter:
    made = RedisLimiter(server.url, mode=mode, on_error="deny")
    made._store.patience = Patience(connect=5.0, answer=5.0)
    return made


async def spend(limiter: RedisLimiter, calls: int, *charges: Charge) -> None:
    for _ in range(calls):
        await limiter.admit(domain="acme", charges=charges)


async def is_admitted(limiter: RedisLimiter, charge: Charge) -> bool:
    try:
        await spend(limiter, 1, charge)
    except Limited:
        return False
    return True


async def left(limiter: RedisLimiter, charge: Charge) -> int:
    look = Charge(charge.key, charge.limit, cost=0)
    return (await limiter.admit(domain="acme", charges=[look])).remaining[0]


async def test_a_hot_key_asks_seldom_and_loses_nothing(
    leased: RedisLimiter, exact: RedisLimiter, redis_server: RedisServer
) -> None:
    await spend(leased, 2_000, LARGE)
    assert redis_server.script_calls() < 100
    assert 7_500 - SLACK <= await left(exact, LARGE) <= 8_000
    await leased.aclose()
    assert await left(exact, LARGE) == 8_000


async def test_what_is_left_counts_what_is_held(leased: RedisLimiter) -> None:
    grants = [await leased.admit(domain="acme", charges=[LARGE]) for _ in range(100)]
    assert [grant.remaining for grant in grants] == [(9_999 - number,) for number in range(100)]


async def test_a_lease_that_ends_gives_back_what_nobody_spent(leased: RedisLimiter, exact: RedisLimiter) -> None:
    await spend(leased, 100, LARGE)
    assert await left(exact, LARGE) < 9_900
    with anyio.fail_after(LEASE_SECONDS + 10):
        while await left(exact, LARGE) < 9_900:
            await anyio.sleep(0.05)
    assert await left(exact, LARGE) == 9_900
    await spend(leased, 1, LARGE)
    assert await left(exact, LARGE) <= 9_899


async def test_all_layers_or_none(leased: RedisLimiter, exact: RedisLimiter) -> None:
    few = Charge("few", "200/day")
    await spend(leased, 200, few, LARGE)
    with pytest.raises(Limited) as limited:
        await spend(leased, 1, few, LARGE)
    assert limited.value.violated == ("few",)
    await spend(leased, 10, LARGE)
    await leased.aclose()
    assert (await left(exact, few), await left(exact, LARGE)) == (0, 9_790)


async def test_to_the_last_token_and_not_beyond(leased: RedisLimiter, exact: RedisLimiter) -> None:
    charge = Charge("client", "300/day")
    limiters = [leased, exact]
    admitted = sum([await is_admitted(limiters[number % 2], charge) for number in range(400)])
    for one in (leased, exact):
        await one.aclose()
    assert 300 - 300 // 20 <= admitted <= 300
    assert admitted + await left(exact, charge) == 300


async def test_a_flood_beyond_the_limit_never_reaches_redis(leased: RedisLimiter, redis_server: RedisServer) -> None:
    charge = Charge("client", "100/day")
    await spend(leased, 100, charge)
    before = redis_server.script_calls()
    waits = []
    for _ in range(500):
        with pytest.raises(Limited) as limited:
            await spend(leased, 1, charge)
        waits.append(limited.value.retry_after)
        assert (limited.value.code, limited.value.budget) == ("rate_limited", "client")
    assert all(wait is not None and 800 < wait <= 864 for wait in waits)
    # A refusal is believed for the time of a lease, since others may give back what they hold.
    assert redis_server.script_calls() - before < 10


async def test_what_never_fits_is_told_so_every_time(leased: RedisLimiter) -> None:
    for _ in range(3):
        with pytest.raises(Limited) as limited:
            await leased.admit(domain="acme", charges=[Charge("client", "100/day", cost=101)])
        assert (limited.value.code, limited.value.retry_after) == ("cost_exceeds_limit", None)


async def test_a_small_budget_is_decided_call_by_call(leased: RedisLimiter, redis_server: RedisServer) -> None:
    await spend(leased, 50, SMALL)
    assert redis_server.script_calls() >= 50
    before = redis_server.script_calls()
    await spend(leased, 20, SMALL, LARGE)
    assert redis_server.script_calls() == before + 20


async def test_a_key_that_is_not_hot_is_decided_call_by_call(leased: RedisLimiter, exact: RedisLimiter) -> None:
    await spend(leased, 1, LARGE)
    assert await left(exact, LARGE) == 9_999


async def test_an_observed_budget_that_is_over_stops_nobody_and_asks_nobody(
    leased: RedisLimiter, redis_server: RedisServer
) -> None:
    observed = Charge("client", "100/day", observe=True)
    grants = [await leased.admit(domain="acme", charges=[LARGE, observed]) for _ in range(500)]
    assert [bool(grant.would_deny) for grant in grants] == [False] * 100 + [True] * 400
    assert redis_server.script_calls() < 100


async def test_what_is_refunded_is_there_again(leased: RedisLimiter, exact: RedisLimiter) -> None:
    for _ in range(100):
        grant = await leased.admit(domain="acme", charges=[LARGE, LARGER])
        await leased.refund(grant)
        await leased.refund(grant)
    await leased.aclose()
    assert (await left(exact, LARGE), await left(exact, LARGER)) == (10_000, 100_000)


@pytest.mark.parametrize("actual", [0, 1, 3, 30])
async def test_what_is_settled_later_is_told_to_redis(actual: int, leased: RedisLimiter, exact: RedisLimiter) -> None:
    await spend(leased, 20, LARGE)
    grants = [await leased.admit(domain="acme", charges=[LARGE]) for _ in range(5)]
    await leased.aclose()
    for grant in grants:
        await leased.settle(grant, actual)
    await leased.aclose()
    # What time gives back while a token is out is not given a second time, which may cost the part of one.
    assert 10_000 - 20 - 5 * actual - 1 <= await left(exact, LARGE) <= 10_000 - 20 - 5 * actual


async def test_many_at_once_ask_once(leased: RedisLimiter, exact: RedisLimiter) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(200):
            group.start_soon(spend, leased, 5, LARGE)
    most = 10_000 // 20
    assert 10_000 - 1_000 - most <= await left(exact, LARGE)
    await leased.aclose()
    assert await left(exact, LARGE) == 9_000


async def test_whoever_is_cancelled_while_asking_costs_nothing_but_its_own_token(
    leased: RedisLimiter, exact: RedisLimiter
) -> None:
    await spend(leased, 50, LARGE)
    for _ in range(50):
        with anyio.move_on_after(0):
            await spend(leased, 40, LARGE)
    await leased.admit(domain="acme", charges=[LARGE])
    await leased.aclose()
    assert 10_000 - 51 - 50 * 40 <= await left(exact, LARGE) <= 10_000 - 51


async def test_leases_outlive_redis_and_end_when_they_said(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    one = limiter(server, "leased")
    await spend(one, 400, LARGE)
    (held, _), *_ = next(iter(one._plans._known.values())).held
    server.kill()
    before = held.tokens
    await spend(one, before, LARGE)
    assert (before > 0, held.tokens) == (True, 0)
    with pytest.raises(Unavailable):
        await spend(one, 1, LARGE)
    await one.aclose()


async def test_another_thread_asks_redis_itself(
    leased: RedisLimiter, redis_server: RedisServer, anyio_backend: str
) -> None:
    await spend(leased, 400, LARGE)
    before = redis_server.script_calls()

    async def elsewhere() -> None:
        await spend(leased, 20, LARGE)
        await leased.aclose()

    await anyio.to_thread.run_sync(lambda: anyio.run(elsewhere, backend=anyio_backend))
    assert redis_server.script_calls() >= before + 20


async def test_a_key_held_under_two_limits_is_given_back_for_both(leased: RedisLimiter, exact: RedisLimiter) -> None:
    await spend(leased, 50, LARGE)
    await spend(leased, 50, Charge("client", "20000/day"))
    await leased.aclose()
    # A conversion begins anew what may be given back, so the first lease's rest is lost, and nothing is made.
    assert 20_000 - 100 - 500 <= await left(exact, Charge("client", "20000/day")) <= 20_000 - 100


async def test_a_forked_process_holds_nothing(leased: RedisLimiter) -> None:
    await spend(leased, 400, LARGE)
    (held, _), *_ = next(iter(leased._plans._known.values())).held
    assert held.tokens > 0
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"%d" % held.tokens)
        os._exit(0)
    os.waitpid(child, 0)  # noqa: ASYNC222 - it ends at once
    assert os.read(read, 100) == b"0"
    for end in (read, write):
        os.close(end)


# --- one bucket, as far as it is held ---------------------------------------------------------------------------------


def test_a_lease_grows_with_what_is_spent_and_fades_with_what_is_not() -> None:
    held = Held(MOST_LEASED)
    asked = []
    for _ in range(12):
        asked.append(held.wanted(1, 1_000.0))
        held.begin(Lease(asked[-1], 0, (0, 0, 0)), 0, 1_000.0)
    assert asked == sorted(asked)
    assert (asked[0], asked[-1]) == (1, MOST_LEASED)
    held.end(1_000.0)
    assert held.wanted(1, 1_000.0 + 5 * LEASE_SECONDS) < MOST_LEASED / 50
    assert held.wanted(1, 1_000.0 + 20 * LEASE_SECONDS) == 1


def test_a_refusal_is_believed_for_this_cost_and_for_a_moment() -> None:
    held = Held(MOST_LEASED)
    held.block(3, 600_000_000, sent=1_000.0, received=1_000.1)
    assert (held.blocked(2, 1_000.2), held.blocked(0, 1_000.2)) == (0, 0)
    assert held.blocked(3, 1_000.2) == pytest.approx(599_900_000, abs=10)
    assert held.blocked(4, 1_000.0 + LEASE_SECONDS) == 0
    held.block(3, 1_000, sent=1_000.0, received=1_000.1)
    assert held.blocked(3, 1_000.002) == 0
