"""One task owns the connection: what it answers, to whom, and what it does when there is no answer."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable

import anyio
import anyio.lowlevel
import pytest
from conftest import Proof
from servers.proxy import proxied
from servers.standalone import RedisServer, free_port

from doorward._redis import Command, Patience, Request, Script, Store, StoreAway, StoreError, StoreRefused, StoreSlow
from doorward._redis.owner import MAX_QUEUE

pytestmark = pytest.mark.anyio


def patient(url: str, alarm: Callable[[str], None] | None = None) -> Store:
    """Where the answer is tested, and not how long it takes on a machine that others use too."""
    store = Store(url, alarm=alarm)
    store.patience = Patience(connect=5.0, answer=5.0)
    return store


ECHO = Script("return {KEYS[1], ARGV[1]}")


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[Store]:
    made = patient(redis_server.url)
    yield made
    await made.aclose()


async def test_a_command_gets_its_reply(store: Store) -> None:
    assert await store.command("SET", "nonce", b"1", "NX", "PX", 60_000)
    assert await store.command("SET", "nonce", b"1", "NX", "PX", 60_000) is None
    assert await store.command("GET", "nonce") == b"1"
    assert await store.command("INCRBY", "count", 5) == 5
    assert await store.command("CONFIG GET", "maxmemory-policy")


async def test_a_script_gets_its_keys_and_arguments(store: Store) -> None:
    assert await store.script(ECHO, keys=["key"], args=[7]) == [b"key", b"7"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_while_nothing_is_wrong_a_request_is_sent_where_it_is_made(
    store: Store, redis_server: RedisServer
) -> None:
    for _ in range(3):
        await store.command("PING")
        await anyio.lowlevel.checkpoint()
    told: list[Request] = []
    store.post(Request(Command("INCR", "count"), on_answer=told.append))
    late = time.monotonic() + 5
    while redis_server.client.get("count") is None and time.monotonic() < late:
        pass  # without giving the loop a turn
    assert (redis_server.client.get("count"), told) == ("1", [])


async def test_a_script_that_was_forgotten_is_sent_again(store: Store, redis_server: RedisServer) -> None:
    for _ in range(3):
        redis_server.client.script_flush()
        assert await store.script(ECHO, keys=["key"], args=[7]) == [b"key", b"7"]
    assert await store.script(ECHO, keys=["key"], args=[8]) == [b"key", b"8"]
    assert redis_server.calls("eval") == 3


@pytest.mark.parametrize("url", ["url", "socket_url"])
async def test_it_is_reached_over_either(url: str, redis_server: RedisServer) -> None:
    store = patient(getattr(redis_server, url))
    assert await store.command("INCR", "count") == 1
    await store.aclose()


async def test_the_database_of_the_url_is_used(redis_server: RedisServer) -> None:
    other = patient(redis_server.url.removesuffix("0") + "3")
    await other.command("SET", "here", "1")
    await other.aclose()
    assert redis_server.client.get("here") is None


async def test_it_closes_and_opens_again(store: Store) -> None:
    for count in (1, 2, 3):
        assert await store.command("INCR", "count") == count
        await store.aclose()
    await store.aclose()


async def test_what_waits_when_it_closes_is_sent(store: Store, redis_server: RedisServer) -> None:
    for _ in range(10):
        store.post(Request(Command("INCR", "count"), on_answer=lambda request: None))
    await store.aclose()
    assert redis_server.client.get("count") == "10"


async def test_a_cancelled_request_leaves_its_reply_to_nobody(store: Store, proof: Proof, seed: int) -> None:
    requests = proof("requests of which many are cancelled", small=600, large=50_000)
    dice = random.Random(seed)
    wrong = Counter[str]()

    async def ask(number: int) -> None:
        with anyio.move_on_after(dice.choice((0.0, 0.0, 0.0003, 0.001, 1.0, 1.0))):
            try:
                reply = await store.script(ECHO, keys=["key"], args=[number], timeout=2.0)
            except StoreError:
                return
            wrong["asked for another"] += reply != [b"key", b"%d" % number]
            wrong["answered"] += 1

    async with anyio.create_task_group() as group:
        for number in range(requests):
            group.start_soon(ask, number)
            if number % 20 == 0:
                await anyio.sleep(0.001)
    assert wrong.pop("answered") > requests / 10
    assert not any(wrong.values())
    assert await store.script(ECHO, keys=["key"], args=["after"]) == [b"key", b"after"]


async def test_a_storm_of_cancellations_is_no_outage(redis_server: RedisServer) -> None:
    alarms: list[str] = []
    store = patient(redis_server.url, alarms.append)
    for _ in range(20):
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(store.command, "INCR", "count")
            await anyio.sleep(0.0005)
            group.cancel_scope.cancel()
    assert await store.command("PING")
    await store.aclose()
    assert alarms == []


async def test_what_was_abandoned_before_it_was_sent_is_never_sent(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    store = Store(server.url)
    await store.command("PING")
    server.pause()
    async with anyio.create_task_group() as group:
        group.start_soon(_ignoring_errors, store, "PING")
        await anyio.sleep(0.005)  # it is under way, so what comes now has to wait
        for _ in range(50):
            group.start_soon(_ignoring_errors, store, "INCR", "count")
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    server.resume()
    await answering(store)
    assert server.client.get("count") is None
    await store.aclose()


async def answering(store: Store) -> None:
    """Return when it answers again."""
    with anyio.fail_after(10):
        while not await _ignoring_errors(store, "PING"):
            await anyio.sleep(0.01)


async def _ignoring_errors(store: Store, *words: str) -> bool:
    try:
        return bool(await store.command(*words))
    except StoreError:
        return False


async def test_what_the_server_refuses_is_told_by_a_word_alone(store: Store) -> None:
    await store.command("SET", "text", "hunter2")
    with pytest.raises(StoreRefused) as refused:
        await store.command("LPUSH", "text", "hunter2")
    assert (refused.value.word, str(refused.value)) == ("WRONGTYPE", "the store answered WRONGTYPE")
    with pytest.raises(StoreRefused, match="the store answered ERR"):
        await store.command("HUNTER2")
    assert await store.command("GET", "text") == b"hunter2"


@pytest.mark.parametrize("word", [None, ["list"], {}])
async def test_a_word_that_is_none_hurts_nobody_else(word: object, store: Store) -> None:
    with pytest.raises(TypeError):
        await store.command("GET", word)
    assert await store.command("PING")


async def test_nobody_there_is_told_at_once_and_without_the_password(caplog: pytest.LogCaptureFixture) -> None:
    alarms: list[str] = []
    store = Store(f"redis://alice:hunter2@127.0.0.1:{free_port()}/0", alarm=alarms.append)
    for _ in range(10):
        with pytest.raises(StoreAway):
            await store.command("PING")
    await store.aclose()
    assert alarms == ["redis_unreachable"]
    told = [record for record in caplog.records if record.name == "doorward"]
    assert len(told) == 1
    assert "does not answer" in told[0].getMessage()
    assert "hunter2" not in caplog.text
    assert "alice" not in caplog.text


async def test_a_wrong_password_is_nobody_there(redis_server: RedisServer) -> None:
    store = patient(redis_server.url.replace("://", "://alice:hunter2@"))
    with pytest.raises(StoreAway) as away:
        await store.command("PING")
    assert "hunter2" not in repr(away.value)
    await store.aclose()


async def test_silence_is_slow_and_then_away(start_redis: Callable[..., RedisServer]) -> None:
    with proxied(start_redis().port) as network:
        store = Store(network.url)
        assert await store.command("PING")
        network.swallow()
        with pytest.raises(StoreSlow):
            await store.command("PING")
        for _ in range(8):
            assert not await _ignoring_errors(store, "PING")
        with pytest.raises(StoreAway):
            await store.command("PING")
        network.pass_on()
        await answering(store)
        assert await store.command("INCR", "count") == 1
        await store.aclose()


async def test_too_many_are_told_at_once(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    store = Store(server.url)
    await store.command("PING")
    server.pause()
    for _ in range(MAX_QUEUE):
        store.post(Request(Command("PING"), on_answer=lambda request: None))
    with pytest.raises(StoreAway, match="too many wait"):
        await store.command("PING")
    server.resume()
    await store.aclose()


@pytest.mark.parametrize("word", ["LOADING", "READONLY"])
async def test_a_server_that_is_not_the_one_to_ask_is_left(word: str, store: Store, redis_server: RedisServer) -> None:
    answers = Script(f"return redis.error_reply('{word} of a server that was promoted or restarted')")
    await store.command("PING")
    before = redis_server.connections()
    with pytest.raises(StoreAway):
        await store.script(answers, keys=["key"])
    assert await store.command("PING")
    assert redis_server.connections() > before


@pytest.mark.parametrize(("policy", "alarms"), [("allkeys-lru", ["redis_evicts"]), ("noeviction", [])])
async def test_a_server_that_may_evict_is_warned_of_once(
    policy: str, alarms: list[str], start_redis: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    store = patient(start_redis("--maxmemory-policy", policy).url, alarm=told.append)
    for _ in range(3):
        await store.command("PING")
    await store.aclose()
    assert told == alarms
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [policy in warning for warning in warnings] == [True] * len(alarms)


async def test_a_server_that_does_not_tell_its_policy_is_believed(
    start_redis: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = start_redis("--maxmemory-policy", "allkeys-lru")
    server.client.acl_setuser("limited", enabled=True, passwords=["+pw"], commands=["+ping"], keys=["*"])
    told: list[str] = []
    store = patient(server.url.replace("://", "://limited:pw@"), alarm=told.append)
    assert await store.command("PING")
    assert await store.command("PING")
    await store.aclose()
    assert not told
    assert "doorward" not in {record.name for record in caplog.records}


async def test_an_alarm_that_fails_stops_nobody(start_redis: Callable[..., RedisServer]) -> None:
    def broken(slug: str) -> None:
        raise RuntimeError(slug)

    store = patient(start_redis("--maxmemory-policy", "allkeys-lru").url, alarm=broken)
    for count in (1, 2, 3):
        assert await store.command("INCR", "count") == count
    await store.aclose()
