"""Open questions, in this process and in a store: taken once, and forgotten in time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import anyio
import pytest
from servers.standalone import RedisServer

from doorward._redis import Store
from doorward.confirmation import kept
from doorward.confirmation.kept import Kept, KeptHere
from doorward.confirmation.kept_in_store import KeptInStore
from doorward.errors import Limited, Unavailable

pytestmark = pytest.mark.anyio

KEY = b"k" * 32
CLIENT = "https://as.example.com agent-1 user-1"
NOW = 1_800_000_000.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["here", "in a store"])
async def questions(request: pytest.FixtureRequest, patient: None) -> AsyncIterator[Kept]:
    if request.param == "here":
        yield KeptHere()
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    store = Store(server.url)
    yield KeptInStore(store, prefix="doorward")
    await store.aclose()


async def test_a_question_is_known_until_it_is_taken_and_then_as_used(questions: Kept) -> None:
    assert await questions.key_of("n", now=NOW) is None
    assert not await questions.take("n", now=NOW)
    await questions.put("n", KEY, client=CLIENT, seconds=600, now=NOW)
    assert await questions.key_of("n", now=NOW) == KEY
    assert await questions.take("n", now=NOW)
    assert not await questions.take("n", now=NOW)
    assert await questions.key_of("n", now=NOW) == b""


async def test_of_many_who_take_it_one_has_it(questions: Kept) -> None:
    await questions.put("n", KEY, client=CLIENT, seconds=600, now=NOW)
    taken: list[bool] = []

    async def take() -> None:
        taken.append(await questions.take("n", now=NOW))

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(take)
    assert sorted(taken) == [False] * 49 + [True]


async def test_a_nonce_is_never_given_twice(redis_server: RedisServer, patient: None) -> None:
    store = Store(redis_server.url)
    await KeptInStore(store, prefix="doorward").put("n", KEY, client=CLIENT, seconds=600, now=NOW)
    with pytest.raises(Unavailable):
        await KeptInStore(store, prefix="doorward").put("n", b"o" * 32, client=CLIENT, seconds=600, now=NOW)
    await store.aclose()


async def test_here_what_has_ended_is_forgotten() -> None:
    questions = KeptHere()
    for second in range(3):
        await questions.put(f"n{second}", KEY, client=CLIENT, seconds=600, now=NOW + second)
    await questions.take("n0", now=NOW + 10)
    assert len(questions) == 3
    assert await questions.key_of("n0", now=NOW + 600) is None
    assert len(questions) == 2
    assert not await questions.take("n1", now=NOW + 601)


async def test_here_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_QUESTIONS", 2)
    questions = KeptHere()
    await questions.put("n1", KEY, client=CLIENT, seconds=600, now=NOW)
    await questions.put("n2", KEY, client=CLIENT, seconds=600, now=NOW)
    with pytest.raises(Unavailable):
        await questions.put("n3", KEY, client=CLIENT, seconds=600, now=NOW)
    await questions.put("n3", KEY, client=CLIENT, seconds=600, now=NOW + 600)


async def test_here_one_client_leaves_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_OF_CLIENT", 2)
    questions = KeptHere()
    await questions.put("n1", KEY, client=CLIENT, seconds=600, now=NOW)
    await questions.put("n2", KEY, client=CLIENT, seconds=600, now=NOW)
    await questions.take("n1", now=NOW)
    with pytest.raises(Limited) as limited:
        await questions.put("n3", KEY, client=CLIENT, seconds=600, now=NOW)
    assert (limited.value.code, limited.value.budget) == ("too_many_in_flight", "confirmation")
    await questions.put("n3", KEY, client="another client", seconds=600, now=NOW)
    await questions.put("n4", KEY, client=CLIENT, seconds=600, now=NOW + 600)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_here_a_forked_process_knows_nothing_of_its_parents_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = KeptHere()
    await questions.put("n", KEY, client=CLIENT, seconds=600, now=NOW)
    monkeypatch.setattr(os, "getpid", lambda: -1)  # what a fork changes, as far as this sees
    assert not await questions.take("n", now=NOW)
