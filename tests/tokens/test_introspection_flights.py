"""Introspection: requests that share a question, and how many questions may wait."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import anyio
import pytest
from minting import NOW
from tokens.asking import TOKEN, UNAVAILABLE, Asking, good, verified_jwt
from tokens.endpoint import Endpoint, hang, later

from doorward.errors import Unavailable
from doorward.tokens.introspection import MAX_IN_FLIGHT
from doorward.tokens.verified import Verified

pytestmark = pytest.mark.anyio


async def test_requests_with_the_same_token_share_a_question(served: Endpoint) -> None:
    release = threading.Event()
    served.behaviour = later(served.behaviour, release)
    asking = Asking(served)
    verdicts: list[str] = []

    async def ask() -> None:
        verdicts.append(await asking.verdict())

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(ask)
        await anyio.to_thread.run_sync(served.arrived.acquire)
        release.set()
    assert verdicts == ["accepted"] * 50
    assert len(served.asked) == 1


async def test_the_end_of_the_first_request_is_not_the_end_of_its_question(served: Endpoint) -> None:
    release = threading.Event()
    served.behaviour = later(served.behaviour, release)
    asking = Asking(served)
    verdicts: list[str] = []

    async def ask() -> None:
        verdicts.append(await asking.verdict())

    async def first(scope: anyio.CancelScope) -> None:
        with scope:
            await ask()
            await anyio.lowlevel.checkpoint()
            verdicts.append("the first went on")

    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()
        tasks.start_soon(first, scope)
        await anyio.to_thread.run_sync(served.arrived.acquire)
        for _ in range(3):
            tasks.start_soon(ask)
        await anyio.lowlevel.checkpoint()
        scope.cancel()
        await anyio.lowlevel.checkpoint()
        release.set()
    assert verdicts == ["accepted"] * 4
    assert len(served.asked) == 1


async def test_when_the_first_is_torn_away_the_next_asks(served: Endpoint, anyio_backend_name: str) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("only tasks of asyncio are cancelled past a shield")
    import asyncio

    asking = Asking(served)
    served.behaviour = hang
    first = asyncio.create_task(asking.verdict())
    await anyio.to_thread.run_sync(served.arrived.acquire)
    second = asyncio.create_task(asking.verdict())
    await anyio.lowlevel.checkpoint()
    served.answer(good())
    first.cancel()
    assert await second == "accepted"
    assert first.cancelled() or (await asyncio.wait([first]))
    assert len(served.asked) == 2


async def test_no_more_than_so_many_questions_wait(served: Endpoint) -> None:
    release = threading.Event()
    served.behaviour = later(served.behaviour, release)
    asking = Asking(served)
    verdicts: list[str] = []

    async def ask(number: int) -> None:
        verdicts.append(await asking.verdict(f"token-{number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(MAX_IN_FLIGHT):
            tasks.start_soon(ask, number)
        for _ in range(MAX_IN_FLIGHT):
            await anyio.to_thread.run_sync(served.arrived.acquire)
        assert await asking.verdict("one-more") == UNAVAILABLE
        assert asking.alarms == ["introspection_saturated"]
        assert not verdicts
        tasks.start_soon(ask, 0)  # waits with the one that asks already
        await anyio.lowlevel.checkpoint()
        release.set()
    assert verdicts == ["accepted"] * (MAX_IN_FLIGHT + 1)
    assert len(served.asked) == MAX_IN_FLIGHT
    assert await asking.verdict("one-more") == "accepted"


async def test_made_up_tokens_leave_room_for_jwts(served: Endpoint) -> None:
    release = threading.Event()
    served.behaviour = later(served.behaviour, release)
    asking = Asking(served, jwts=True)
    share = MAX_IN_FLIGHT // 2
    confirmed: list[Verified] = []

    async def confirm() -> None:
        confirmed.append(await asking.introspector.confirmed(TOKEN, verified_jwt(), now=NOW))

    async with anyio.create_task_group() as tasks:
        for number in range(share):
            tasks.start_soon(asking.verdict, f"made-up-{number}")
        for _ in range(share):
            await anyio.to_thread.run_sync(served.arrived.acquire)
        assert await asking.verdict("one-more") == UNAVAILABLE
        tasks.start_soon(confirm)
        await anyio.to_thread.run_sync(served.arrived.acquire)
        release.set()
    assert len(confirmed) == 1


async def test_jwts_of_one_client_leave_room_for_those_of_another(served: Endpoint) -> None:
    release = threading.Event()
    served.behaviour = later(served.behaviour, release)
    asking = Asking(served, jwts=True, opaque=False)
    share = MAX_IN_FLIGHT // 4
    another = verified_jwt(principal=replace(verified_jwt().principal, client_id="agent-2"))

    async def confirm(token: str, verified: Verified) -> None:
        await asking.introspector.confirmed(token, verified, now=NOW)

    async with anyio.create_task_group() as tasks:
        for number in range(share):
            tasks.start_soon(confirm, f"token-{number}", verified_jwt())
        for _ in range(share):
            await anyio.to_thread.run_sync(served.arrived.acquire)
        with pytest.raises(Unavailable):
            await confirm("one-more", verified_jwt())
        tasks.start_soon(confirm, "of-another", another)
        await anyio.to_thread.run_sync(served.arrived.acquire)
        release.set()
    await confirm("one-more", verified_jwt())


async def test_a_broken_flight_is_everybodys_own(served: Endpoint) -> None:
    class Broken:
        async def post(self, url: str, form: Any, *, headers: Any, max_bytes: int) -> bytes:
            await anyio.lowlevel.checkpoint()
            raise RuntimeError("a mistake of ours")

    asking = Asking(served, fetcher=Broken())
    failures = 0

    async def ask() -> None:
        nonlocal failures
        with pytest.raises(RuntimeError):
            await asking.verify()
        failures += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
    assert failures == 3
