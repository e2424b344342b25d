"""One gate and several event loops: in threads of their own, one after the other, and one that died."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import anyio
import pytest
from minting import AUDIENCE, NOW, claims, jwks, mint, signing_key
from tokens.misbehaving import Misbehaving, listening

from doorward import Issuer
from doorward.tokens.flights import Flights
from doorward.tokens.jwks import DUE, LIFETIME, FetchedKeys

LOOPS = ["asyncio", "trio", "asyncio", "trio"]


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    """An issuer that takes its time."""
    with listening() as server:
        server.jwks = jwks(signing_key())
        server.mode("jwks", "delay", ms=200)
        yield server


@pytest.fixture
def keys(server: Misbehaving) -> FetchedKeys:
    """Its keys."""
    issuer = Issuer(server.url, ["ES256"], jwks_url=f"{server.url}/jwks")
    return FetchedKeys(issuer, [AUDIENCE], alarm=lambda slug: None)


async def verify(keys: FetchedKeys, server: Misbehaving, *, now: float = NOW) -> str:
    """The subject of a good token."""
    published = await keys.published(now=now)
    token = mint(claims(iss=server.url, exp=now + 600))
    found, _ = published.verify(token, now=now, certificate_sha256=None)
    return found.subject


async def asked(server: Misbehaving, times: int) -> None:
    """Wait until the issuer was asked so often."""
    while server.counts["jwks"] < times:
        await anyio.sleep(0.01)


def on_every_loop(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Twenty tasks on each of four loops at once."""

    async def main() -> None:
        async with anyio.create_task_group() as together:
            for _ in range(20):
                together.start_soon(work)

    with ThreadPoolExecutor(len(LOOPS)) as threads:
        for done in [threads.submit(partial(anyio.run, main, backend=loop)) for loop in LOOPS]:
            done.result(30)


def test_keys_are_fetched_once_for_all_loops(keys: FetchedKeys, server: Misbehaving) -> None:
    told: Counter[str] = Counter()

    async def caller() -> None:
        told[await verify(keys, server)] += 1

    on_every_loop(caller)
    assert (told, server.counts["jwks"]) == ({"user-1": 80}, 1)


def test_one_loop_looks_for_all_while_the_keys_are_due(keys: FetchedKeys, server: Misbehaving) -> None:
    anyio.run(lambda: verify(keys, server))

    async def caller() -> None:
        await verify(keys, server, now=NOW + DUE)
        await anyio.sleep(0.5)

    on_every_loop(caller)
    assert (server.counts["jwks"], keys.fresh_until) == (2, NOW + 2 * DUE)


def test_an_answer_is_shared_by_all_loops() -> None:
    flights: Flights[str] = Flights(max_in_flight=1)
    came: list[str] = []
    asked: list[str] = []
    told: list[str] = []

    async def ask() -> str:
        asked.append("question")
        while len(came) < 80:
            await anyio.sleep(0.01)
        await anyio.sleep(0.1)
        return "answer"

    async def caller() -> None:
        came.append("caller")
        told.append(await flights.answer("key", ask))

    on_every_loop(caller)
    assert (asked, told, len(flights)) == (["question"], ["answer"] * 80, 0)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_looking_for_keys_holds_no_loop_open(
    loop: str, keys: FetchedKeys, server: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorward.tokens.jwks.DEADLINE", 600)
    monkeypatch.setattr("doorward.tokens.fetch.DEADLINE", 600)

    async def main(now: float, fetches: int) -> None:
        await verify(keys, server, now=now)
        await asked(server, fetches)

    anyio.run(main, NOW, 1, backend=loop)
    server.mode("jwks", "hang")
    anyio.run(main, NOW + DUE, 2, backend=loop)
    server.mode("jwks", "ok")
    anyio.run(main, NOW + LIFETIME, 3, backend=loop)
    assert keys.fresh_until == NOW + LIFETIME + DUE, "the fetch that died with its loop is nobody's to wait for"


def test_a_loop_that_died_with_a_fetch_under_way_keeps_nobody_waiting(
    keys: FetchedKeys, server: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorward.tokens.flights.LOST_SECONDS", 0.2)
    server.mode("jwks", "delay", ms=500)
    dead = asyncio.new_event_loop()
    torn = dead.create_task(verify(keys, server))
    dead.run_until_complete(asked(server, 1))
    try:
        assert not torn.done()
        assert anyio.run(lambda: verify(keys, server)) == "user-1"
        assert server.counts["jwks"] == 2
    finally:
        dead.run_until_complete(torn)
        dead.close()


def test_nor_does_one_that_died_with_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("doorward.tokens.flights.LOST_SECONDS", 0.2)
    flights: Flights[str] = Flights(max_in_flight=1)

    async def ask() -> str:
        await anyio.sleep(0.2)
        return "answer"

    dead = asyncio.new_event_loop()
    torn = dead.create_task(flights.answer("key", ask))
    dead.run_until_complete(asyncio.sleep(0))
    assert len(flights) == 1
    assert anyio.run(flights.answer, "key", ask) == "answer"
    assert (dead.run_until_complete(torn), len(flights)) == ("answer", 0)
    dead.close()
