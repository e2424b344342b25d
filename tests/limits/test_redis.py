"""Budgets in Redis: the answers of the limiter in process, from a clock and a memory that all processes share."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from servers.standalone import RedisServer, free_port

import doorward
from doorward import Charge
from doorward._redis import Patience, StoreRefused
from doorward.errors import Limited, Unavailable
from doorward.extras import install
from doorward.limits import RedisLimiter
from doorward.limits.redis_keys import Plans
from doorward.limits.redis_script import limited, read

pytestmark = pytest.mark.anyio

PATIENT = Patience(connect=5.0, answer=5.0)
"""Where the answer is tested, and not how long it takes on a machine that others use too."""

NARROW = Charge("client", "2/day")
WIDE = Charge("organization", "9/day", cost=2)
SHARED = Charge("everybody", "4/day", shared=True)
OBSERVED = Charge("client", "1/day", observe=True)
SLOW = Charge("client", "1/hour")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def limiter(redis_server: RedisServer) -> AsyncIterator[RedisLimiter]:
    made = RedisLimiter(redis_server.url, on_error="deny")
    made._store.patience = PATIENT
    yield made
    await made.aclose()


# --- the same answers -------------------------------------------------------------------------------------------------

HISTORIES: dict[str, list[tuple[str, list[Charge]]]] = {
    "nothing": [("acme", [])],
    "until it is over": [("acme", [NARROW])] * 4,
    "all or nothing": [("acme", [WIDE, NARROW])] * 3 + [("acme", [WIDE])] * 4,
    "observed beside enforced": [("acme", [OBSERVED, NARROW])] * 4,
    "of all domains": [("acme", [SHARED, NARROW]), ("bolt", [SHARED, NARROW])] * 3,
    "two of one bucket": [("acme", [NARROW, NARROW])] * 2,
    "two of one bucket that never fit": [("acme", [NARROW, NARROW, NARROW])],
    "two units of one key": [("acme", [NARROW, SLOW])] * 2,
    "a look": [("acme", [Charge("client", "2/day", cost=0)]), ("acme", [NARROW])] * 3,
    "never": [("acme", [NARROW]), ("acme", [Charge("client", "2/day", cost=3), WIDE])],
    "a limit of nothing": [("acme", [Charge("client", "0/day")]), ("acme", [Charge("client", "0/day", cost=0)])],
    "another limit": [("acme", [NARROW]), ("acme", [Charge("client", "5/day", cost=2)]), ("acme", [NARROW])] * 2,
    "any text": [("{a}b\0ä" * 9, [Charge("{}\0ö", "2/day")]), ("{a}b", [Charge("{}", "2/day")])] * 2,
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
async def test_the_answers_are_those_of_the_limiter_in_process(
    history: list[tuple[str, list[Charge]]], limiter: RedisLimiter
) -> None:
    here = doorward.Limiter()
    for domain, charges in history:
        expected: Any
        try:
            grant = here.admit(domain=domain, charges=charges, tick=0)
            expected = (grant.remaining, grant.would_deny)
        except Limited as limited:
            expected = (limited.code, limited.budget, limited.violated)
        assert await answer(limiter, domain, charges) == expected


async def answer(limiter: RedisLimiter, domain: str, charges: list[Charge]) -> Any:
    try:
        grant = await limiter.admit(domain=domain, charges=charges)
    except Limited as limited:
        return limited.code, limited.budget, limited.violated
    return grant.remaining, grant.would_deny


async def test_a_call_may_have_many_charges(limiter: RedisLimiter) -> None:
    charges = [Charge(f"key {number}", "9/day") for number in range(64)]
    for used in (1, 2):
        grant = await limiter.admit(domain="acme", charges=charges)
        assert grant.remaining == (9 - used,) * 64
    await limiter.refund(grant)
    assert (await limiter.admit(domain="acme", charges=charges[:1])).remaining == (7,)


async def test_two_limits_of_one_bucket_are_a_mistake(limiter: RedisLimiter) -> None:
    with pytest.raises(ValueError, match="one bucket cannot have two limits in one call: 2/day and 3/day"):
        await limiter.admit(domain="acme", charges=[NARROW, Charge("client", "3/day")])


async def test_the_wait_is_exact_by_the_servers_clock(limiter: RedisLimiter, redis_server: RedisServer) -> None:
    charge = Charge("client", "10/second burst 1")
    before = redis_server.microseconds()
    await limiter.admit(domain="acme", charges=[charge])
    with pytest.raises(Limited) as refused:
        await limiter.admit(domain="acme", charges=[charge])
    passed = (redis_server.microseconds() - before) / 1e6
    assert refused.value.retry_after is not None
    assert 0.1 - passed <= refused.value.retry_after <= 0.1


async def test_a_refund_gives_back_once(limiter: RedisLimiter) -> None:
    grant = await limiter.admit(domain="acme", charges=[NARROW, SHARED])
    for _ in range(3):
        await limiter.refund(grant)
    assert (await limiter.admit(domain="acme", charges=[NARROW, SHARED])).remaining == (1, 3)


@pytest.mark.parametrize(("actual", "left"), [(0, (9, 4)), (1, (8, 3)), (3, (6, 1)), (20, (0, 0))])
async def test_a_cost_known_afterwards_is_settled(actual: int, left: tuple[int, ...], limiter: RedisLimiter) -> None:
    grant = await limiter.admit(domain="acme", charges=[WIDE, SHARED])
    await limiter.settle(grant, actual)
    await limiter.refund(grant)
    look = [Charge("organization", "9/day", cost=0), Charge("everybody", "4/day", cost=0, shared=True)]
    assert (await limiter.admit(domain="acme", charges=look)).remaining == left


async def test_limiters_of_one_prefix_share_and_of_two_do_not(redis_server: RedisServer) -> None:
    limiters = [RedisLimiter(redis_server.url, prefix=prefix, on_error="deny") for prefix in ("a", "a", "b:c")]
    for each in limiters:
        each._store.patience = PATIENT
    left = [(await each.admit(domain="acme", charges=[NARROW])).remaining for each in limiters]
    for each in limiters:
        await each.aclose()
    assert left == [(1,), (0,), (1,)]


# --- what stands in Redis ---------------------------------------------------------------------------------------------


async def test_keys_end_by_themselves_and_tell_no_names(limiter: RedisLimiter, redis_server: RedisServer) -> None:
    await limiter.admit(domain="acme", charges=[NARROW, WIDE, SHARED, OBSERVED])
    client = redis_server.client
    keys = list(client.scan_iter())
    assert len(keys) == 4
    assert all(0 < client.pttl(key) <= 86_402_000 for key in keys)
    assert [client.strlen(key) for key in keys] == [50] * 4, "two letters and six numbers"
    assert not any(name in str(keys) for name in ("acme", "client", "organization", "everybody"))
    tags = {key.split("{")[1].split("}")[0] for key in keys}
    assert len(tags) == 2, "one slot for the domain, one for what belongs to all"


async def test_a_full_bucket_leaves_no_key(limiter: RedisLimiter, redis_server: RedisServer) -> None:
    await limiter.refund(await limiter.admit(domain="acme", charges=[NARROW]))
    with pytest.raises(Limited):
        await limiter.admit(domain="acme", charges=[Charge("client", "2/day", cost=3)])
    assert list(redis_server.client.scan_iter()) == []


@pytest.mark.parametrize("value", ["0 0 0", "x" * 50, "tb"], ids=["text", "of the right size", "of the right letters"])
async def test_a_key_that_holds_something_else_is_not_believed(
    value: str, limiter: RedisLimiter, redis_server: RedisServer
) -> None:
    await limiter.admit(domain="acme", charges=[NARROW])
    (key,) = redis_server.client.scan_iter()
    redis_server.client.set(key, value)
    with pytest.raises(Unavailable):
        await limiter.admit(domain="acme", charges=[NARROW])


@pytest.mark.parametrize("reply", [None, b"", b"1234567", b"\0" * 24, b"\xff" * 64, 7, [1, 2], "text"], ids=repr)
def test_a_reply_that_is_none_is_an_error_of_the_store(reply: object) -> None:
    with pytest.raises(StoreRefused):
        read(reply, 1)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e300], ids=str)
@pytest.mark.parametrize("position", range(8))
def test_a_reply_of_numbers_that_the_script_does_not_have_is_an_error_of_the_store(
    position: int, number: float
) -> None:
    numbers = [1e15, 1, 0, 0, 0, 0, 0, 0]
    numbers[position] = number
    with pytest.raises(StoreRefused):
        read(struct.pack("<8d", *numbers), 1)


def test_a_refusal_where_nothing_is_short_is_an_error_of_the_store() -> None:
    plan = Plans("p", apart=False).of("acme", (NARROW,))
    with pytest.raises(StoreRefused):
        limited(plan, [0.0])


# --- when Redis does not answer ---------------------------------------------------------------------------------------

AWAY: dict[str, tuple[list[Any], int]] = {
    "local": ([0, "rate_limited", "rate_limited"], 1),  # of its share of two tokens a fault begins with one
    "deny": (["store_unavailable"] * 3, 3),
    "allow": ([0, 0, 0], 3),
}
"""What three calls get, and how many of them are counted."""


@pytest.mark.parametrize("policy", AWAY)
@pytest.mark.parametrize("by", ["limiter", "call"])
async def test_each_call_gets_what_its_policy_says(policy: str, by: str) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    other = "deny" if policy != "deny" else "allow"
    limiter = RedisLimiter(nobody, on_error=policy if by == "limiter" else other, instances=2)
    outcomes = [await outcome(limiter, policy if by == "call" else None) for _ in range(3)]
    await limiter.aclose()
    expected, counted = AWAY[policy]
    assert outcomes == expected
    assert limiter.fallbacks == {policy: counted}


async def outcome(limiter: RedisLimiter, on_error: str | None, *, domain: str = "acme") -> int | str:
    """What is left, or why it was refused."""
    try:
        grant = await limiter.admit(domain=domain, charges=[Charge("client", "4/day")], on_error=on_error)
        return grant.remaining[0]
    except (Limited, Unavailable) as refused:
        return refused.code


async def test_what_was_admitted_meanwhile_is_paid_before_anything_else_is_decided(
    start_redis: Callable[..., RedisServer],
) -> None:
    server = start_redis()
    charge = Charge("client", "100/day")
    limiter = RedisLimiter(server.url, on_error="allow")
    limiter._store.patience = PATIENT
    assert (await limiter.admit(domain="acme", charges=[charge])).remaining == (99,)
    server.kill()
    for _ in range(30):
        await limiter.admit(domain="acme", charges=[charge])
    server.start()  # it has forgotten the first one
    await answering(limiter)
    assert (await limiter.admit(domain="acme", charges=[charge])).remaining == (69,)
    await limiter.aclose()


async def answering(limiter: RedisLimiter) -> None:
    """Return when Redis decides again."""
    with anyio.fail_after(10):
        while await outcome(limiter, "deny", domain="somebody else") == "store_unavailable":
            await anyio.sleep(0.02)


async def test_what_was_admitted_meanwhile_and_undone_is_not_paid(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    charge = Charge("client", "100/day")
    limiter = RedisLimiter(server.url, on_error="local")
    server.kill()
    grant = await limiter.admit(domain="acme", charges=[charge])
    await limiter.refund(grant)
    await limiter.refund(grant)
    assert not limiter._buckets.debts.take()
    await limiter.aclose()


async def test_unavailable_says_when_to_come_again_and_nothing_of_redis() -> None:
    limiter = RedisLimiter(f"redis://alice:hunter2@127.0.0.1:{free_port()}/0", on_error="deny")
    with pytest.raises(Unavailable) as unavailable:
        await limiter.admit(domain="acme", charges=[NARROW])
    await limiter.aclose()
    assert (unavailable.value.code, unavailable.value.retry_after) == ("store_unavailable", 1.0)
    assert "hunter2" not in repr((unavailable.value, limiter, unavailable.value.__context__))


# --- what cannot be right ---------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "mode": ({"mode": "fast"}, "mode is 'fast'"),
    "policy": ({"on_error": "ignore"}, "on_error is 'ignore'"),
    "no instance": ({"instances": 0}, "instances must be a whole number"),
    "too many instances": ({"instances": 10_001}, "instances is at most"),
    "a prefix that decides on the slot": ({"prefix": "a{b}"}, "prefix is 1 to 64"),
    "no prefix": ({"prefix": ""}, "prefix is 1 to 64"),
    "URL": ({"url": "http://h"}, "the URL of Redis must begin"),
}


@pytest.mark.parametrize(("given", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_told_at_once(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("{", r"\{")):
        RedisLimiter(**{"url": "redis://h", **given})


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ({"charges": ["client"]}, TypeError),
        ({"charges": None}, TypeError),
        ({"domain": None}, TypeError),
        ({"domain": "d" * 16_385}, ValueError),
        ({"charges": [Charge(str(n), "1/day") for n in range(65)]}, ValueError),
        ({"on_error": "ignore"}, ValueError),
    ],
)
async def test_a_wrong_call_is_told_at_once(call: dict[str, Any], error: type[Exception], limiter: Any) -> None:
    with pytest.raises(error):
        await limiter.admit(**{"domain": "acme", "charges": [NARROW], **call})


@pytest.mark.parametrize(("actual", "error"), [(-1, ValueError), (10**9 + 1, ValueError), (1.0, TypeError)])
async def test_a_wrong_settlement_is_told_at_once(actual: Any, error: type[Exception], limiter: RedisLimiter) -> None:
    grant = await limiter.admit(domain="acme", charges=[NARROW])
    with pytest.raises(error):
        await limiter.settle(grant, actual)
    with pytest.raises(TypeError):
        await limiter.refund(doorward.Limiter().admit(domain="d", charges=[], tick=0))  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("missing", ["redis", "hiredis"])
def test_without_redis_py_everything_else_works(missing: str) -> None:
    code = (
        f"import sys; sys.modules['{missing}'] = None\n"
        "import doorward, doorward.limits\n"
        "try: doorward.limits.RedisLimiter('redis://h')\n"
        "except ImportError as error: print(error)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == f"limits in Redis need redis-py and hiredis: {install('redis')}"
