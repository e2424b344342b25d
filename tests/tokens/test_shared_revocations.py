"""Revocations that are shared through Redis, within one process: what travels, what is kept, what is passed over."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from servers.standalone import RedisServer

from doorward._redis import Store
from doorward.principal import Principal
from doorward.tokens.revocation import Key, Revocations
from doorward.tokens.revocation_scripts import PAGE, READ, WRITE, keys
from doorward.tokens.shared_revocations import INTERVAL, publish

pytestmark = pytest.mark.anyio

SOON = 20.0
"""Seconds after which a test gives up: twenty times what is promised, for machines that are busy."""


@pytest.fixture
def anyio_backend() -> str:
    """Where a test does not ask for both: those with processes do."""
    return "asyncio"


def caller(subject: str) -> Principal:
    """Somebody who may have been revoked."""
    return Principal("https://as.example.com", subject, "agent-1", None, (), None, 0.0)


class Sharing:
    """Some revocations that are shared, and the alarms they raised."""

    def __init__(self, server: RedisServer) -> None:
        self.alarms: Counter[str] = Counter()
        self.store = Store(server.url)
        self.revocations = Revocations(None, alarm=lambda slug: self.alarms.update([slug]), store=self.store)

    def covers(self, subject: str, *, now: float = 0.0) -> bool:
        """Whether the subject was revoked."""
        return self.revocations.cover(caller(subject), now=now)


async def eventually(told: Callable[[], Any]) -> None:
    """Wait until it is so."""
    with anyio.fail_after(SOON):
        while not told():
            await anyio.sleep(0.02)


async def sharing(server: RedisServer, count: int = 2) -> list[Sharing]:
    """Instances that listen."""
    made = [Sharing(server) for _ in range(count)]
    for each in made:
        assert not each.revocations.is_live
        await each.revocations.ready()
        assert each.revocations.is_live
    return made


KEYS: dict[str, Key] = {
    "of an issuer": ("subject", "https://as.example.com", "user-1"),
    "of any": ("subject", None, "user-1"),
    "a client": ("client", None, "agent-1"),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
async def test_every_kind_travels(redis_server: RedisServer, key: Key) -> None:
    here, there = await sharing(redis_server)
    here.revocations.add(key)
    await eventually(lambda: there.covers("user-1"))
    assert (there.alarms, there.covers("user-2")) == ({}, key[0] == "client")


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_later_end_counts_everywhere(redis_server: RedisServer) -> None:
    here, there = await sharing(redis_server)
    now = time.time()
    here.revocations.revoke(subject="user-1", until=now + 100)
    there.revocations.revoke(subject="user-1", until=now + 200)
    here.revocations.revoke(subject="marker")
    await eventually(lambda: there.covers("marker", now=now) and here.covers("user-1", now=now + 150))
    here.revocations.revoke(subject="user-1", until=now + 50)
    here.revocations.revoke(subject="another marker")
    await eventually(lambda: there.covers("another marker", now=now))
    assert [there.covers("user-1", now=now + later) for later in (199, 201)] == [True, False]


async def test_more_than_a_page_is_read_and_written(redis_server: RedisServer) -> None:
    (here,) = await sharing(redis_server, 1)
    many = 5 * PAGE + 7
    for number in range(many):
        here.revocations.revoke(subject=f"user-{number}")
    await eventually(lambda: redis_server.client.zcard(keys("doorward")[0]) == many)
    (there,) = await sharing(redis_server, 1)
    await eventually(lambda: len(there.revocations) == many)
    # Everything is read once: what a question costs afterwards does not hang on how much there is.
    redis_server.client.config_resetstat()
    await anyio.sleep(4 * INTERVAL)
    assert redis_server.calls("zscore") <= 2 * PAGE


async def test_what_a_replica_never_heard_of_is_told_again(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorward.tokens.shared_revocations.COMPARE_SECONDS", 0.5)
    (here,) = await sharing(redis_server, 1)
    here.revocations.revoke(subject="user-1")
    log, ends, state = keys("doorward")
    await eventually(lambda: redis_server.client.zcard(log) == 1)
    # The same server as it was before, which then heard of something else.
    redis_server.client.delete(log, ends)
    redis_server.client.zadd(log, {'["subject", null, "user-2"]': 1})
    redis_server.client.zadd(ends, {'["subject", null, "user-2"]': time.time() + 100})
    await eventually(lambda: here.covers("user-2", now=time.time()))
    await eventually(lambda: redis_server.client.zcard(log) == 2)
    assert redis_server.client.hget(state, "number") == "2"


async def test_what_has_ended_is_trimmed_after_a_while(redis_server: RedisServer) -> None:
    now = time.time()
    store = Store(redis_server.url)
    await publish(store, {("subject", None, "old"): now - 3700.0, ("subject", None, "ended"): now - 10.0})
    await publish(store, {("subject", None, "new"): now + 10.0})
    log, ends, _ = keys("doorward")
    for key in (log, ends):
        found: list[Any] = list(redis_server.client.zrange(key, 0, -1))
        assert {json.loads(each)[2] for each in found} == {"ended", "new"}
    await store.aclose()


async def test_they_are_bounded(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("doorward.tokens.shared_revocations.MAX_REVOCATIONS", 3)
    here, there = await sharing(redis_server)
    for number in range(5):
        here.revocations.revoke(subject=f"user-{number}")
    await eventually(lambda: len(there.revocations) == 3)
    assert here.alarms["revocations_full"]
    with pytest.raises(ValueError, match="more than 3 revocations"):
        await publish(there.store, {("subject", None, "user-6"): 9e9})
    assert [here.covers(f"user-{number}") for number in range(5)] == [True] * 5, "here they count all the same"


MALFORMED: list[Any] = [
    "",
    "x",
    json.dumps(["subject", None, "x" * 200_000]),
    "[" * 10_000,
    "1",
    '["subject"]',
    '["subject", null, 1]',
    '["everybody", null, "x"]',
    b"\xff",
]


async def test_what_is_no_revocation_is_passed_over(redis_server: RedisServer) -> None:
    here, there = await sharing(redis_server)
    here.revocations.revoke(subject="user-1")
    await eventually(lambda: there.covers("user-1"))
    log, _, state = keys("doorward")
    for number, member in enumerate(MALFORMED, 2):
        redis_server.client.zadd(log, {member: number})
    redis_server.client.hset(state, "number", len(MALFORMED) + 1)
    here.revocations.revoke(subject="user-2")
    await eventually(lambda: there.covers("user-2"))
    assert there.alarms == {"revocations_malformed": 1}


@pytest.mark.parametrize("key", [0, 1, 2])
async def test_keys_that_somebody_else_uses_stop_nobody(redis_server: RedisServer, key: int) -> None:
    here, there = await sharing(redis_server)
    redis_server.client.delete(*keys("doorward"))
    redis_server.client.set(keys("doorward")[key], "not ours")
    here.revocations.revoke(subject="user-1")
    await eventually(lambda: here.alarms["revocations_unreachable"])
    redis_server.client.delete(keys("doorward")[key])
    await eventually(lambda: there.covers("user-1"))


async def test_nobody_waits_twice_for_a_redis_that_hangs(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    server.pause()
    it = Sharing(server)
    await it.revocations.ready()
    assert it.revocations.is_live
    it.revocations.revoke(subject="user-1")
    assert it.covers("user-1")
    server.resume()
    (there,) = await sharing(server, 1)
    await eventually(lambda: there.covers("user-1"))


def test_each_event_loop_listens_for_itself(redis_server: RedisServer) -> None:
    it = Sharing(redis_server)

    async def first() -> None:
        await it.revocations.ready()
        it.revocations.revoke(subject="user-1")
        await anyio.sleep(3 * INTERVAL)

    async def second() -> None:
        assert not it.revocations.is_live, "the loop it listened on has gone"
        await publish(it.store, {("subject", None, "user-2"): 9e9})
        await it.revocations.ready()
        assert it.covers("user-2")
        await it.store.aclose()

    anyio.run(first)
    anyio.run(second)


def test_without_a_store_nothing_is_imported_for_one() -> None:
    code = "import sys, doorward.tokens; Revocations = doorward.tokens.revocation.Revocations(None)\n"
    subprocess.run([sys.executable, "-c", f"{code}assert 'doorward._redis' not in sys.modules"], check=True)


async def test_scripts_know_each_other_by_name(redis_server: RedisServer) -> None:
    store = Store(redis_server.url)
    await store.script(WRITE, keys=keys("a"), args=["epoch", 9, PAGE, 9, "member", 1e12])
    assert await store.script(READ, keys=keys("a"), args=["", 0, PAGE, 9]) == [
        b"epoch",
        b"0",
        b"member",
        b"1",
        b"1000000000000",
    ]
    assert await store.script(READ, keys=keys("a"), args=["epoch", 1, PAGE, 9]) == [b"epoch", b"1"]
    assert await store.script(READ, keys=keys("b"), args=["", 0, PAGE, 9]) == [], "another prefix is another world"
    await store.aclose()
