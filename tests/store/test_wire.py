"""The bytes of one connection, and the way past its owner: what goes out when, and who is told what."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import pytest

from doorward._redis import Command, Patience, Request
from doorward._redis.deadline import Bells
from doorward._redis.express import Express
from doorward._redis.refusals import Refusals
from doorward._redis.wire import Wire

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeTransport:
    """What a transport is asked to do, as far as it was."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_aborted = False
        self.protocol: asyncio.BaseProtocol = asyncio.Protocol()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.is_aborted = True


class FakeConnection:
    """redis-py's, as far as a wire looks at it."""

    def __init__(self) -> None:
        self.transport = FakeTransport()
        self._writer = self._parser = self

    @staticmethod
    def parse_error(message: str) -> Exception:
        return ValueError(message)


class Told:
    """Who is told, and what."""

    def __init__(self) -> None:
        self.replies: list[list[Any]] = []

    def __call__(self, replies: list[Any]) -> None:
        self.replies.append(replies)


PING = Command("PING")


async def wired(commands: int) -> tuple[Wire, FakeTransport, Told]:
    connection, told = FakeConnection(), Told()
    wire = Wire(connection)
    wire.send([PING] * commands, told)
    return wire, connection.transport, told


async def test_replies_come_in_any_parts() -> None:
    wire, transport, told = await wired(3)
    assert transport.written == [b"*1\r\n$4\r\nPING\r\n" * 3]
    for byte in b"$4\r\na\r\nb\r\n*2\r\n:1\r\n$-1\r\n-ERR no\r\n":
        assert told.replies == []
        wire.data_received(bytes([byte]))
    ((text, numbers, error),) = told.replies
    assert (text, numbers) == (b"a\r\nb", [1, None])
    assert (type(error), str(error)) == (ValueError, "ERR no")
    assert not wire.is_closed


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+A\r\n+B\r\n", b"$-7\r\n"], ids=repr)
async def test_what_is_no_answer_ends_the_connection(data: bytes) -> None:
    wire, transport, told = await wired(1)
    wire.data_received(data)
    assert (wire.is_closed, transport.is_aborted) == (True, True)
    assert [type(reply) for reply in told.replies[0]] == [ConnectionResetError]


async def test_what_nobody_asked_for_is_nobodys_answer() -> None:
    wire, _, told = await wired(1)
    wire.data_received(b"+A\r\n")
    wire.data_received(b"+B\r\n")
    assert (told.replies, wire.is_closed) == ([[b"A"]], True)


async def test_a_lost_connection_is_told_once() -> None:
    wire, _, told = await wired(2)
    wire.data_received(b"+A\r\n")
    wire.connection_lost(None)
    wire.connection_lost(OSError())
    (replies,) = told.replies
    assert [type(reply) for reply in replies] == [ConnectionResetError] * 2


async def test_whoever_gave_up_is_told_nothing() -> None:
    wire, _, told = await wired(1)
    wire.abort()
    wire.data_received(b"+A\r\n")
    wire.connection_lost(None)
    assert told.replies == []


# --- who waits, and for how long --------------------------------------------------------------------------------------


@pytest.mark.parametrize("usual", [0.02, 60.0], ids=["as long as usual", "shorter"])
async def test_a_bell_rings_by_itself_in_time_and_not_before(usual: float) -> None:
    bells = Bells(usual=usual)
    for _ in range(3):
        began = time.monotonic()
        await asyncio.gather(*(bells.hang(0.02).rung() for _ in range(3)))
        assert time.monotonic() - began >= 0.02 * 0.99


async def test_what_has_rung_or_was_left_holds_up_nobody() -> None:
    bells, rung = Bells(usual=0.02), list[int]()

    async def hang(number: int) -> None:
        bell = bells.hang(0.02)
        if number == 2:
            bell.ring()
        await bell.rung()
        rung.append(number)

    tasks = [asyncio.ensure_future(hang(number)) for number in range(5)]
    await turn()
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert rung == [2, 1, 3, 4]


async def turn() -> None:
    """Of the loop."""
    await asyncio.sleep(0)


# --- past the owner ---------------------------------------------------------------------------------------------------


class FakeWire:
    """Flights that land when a test says so."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_closed = False
        self.flights: list[Sequence[Command]] = []
        self._told: Any = None

    def send(self, batch: Sequence[Command], told: Any) -> None:
        assert self._told is None, "one flight at a time"
        self.flights.append(batch)
        self._told = told

    def land(self, *replies: Any) -> None:
        told, self._told = self._told, None
        told(list(replies) or [b"OK"] * len(self.flights[-1]))

    def abort(self) -> None:
        self.is_closed = True
        self._told = None


class Opened:
    """An express over a wire that is none."""

    def __init__(self, seconds: float = 5.0) -> None:
        self.queue: deque[Request] = deque()
        self.troubles = 0
        self.said: list[str] = []
        self.express = Express(self.queue, Patience(answer=seconds), Refusals(self), on_trouble=self._trouble)
        self.wire = FakeWire()
        self.express.open(cast("Wire", self.wire))

    def refused(self, name: str, word: str) -> None:
        self.said.append(f"{name}: {word}")

    def answered(self, name: str) -> None:
        self.said.append(f"{name} again")

    def _trouble(self) -> None:
        self.troubles += 1

    def ask(self) -> Request:
        request = Request(PING, on_answer=lambda request: None)
        self.queue.append(request)
        self.is_seen_to = self.express.take()
        return request

    @property
    def flights(self) -> list[int]:
        return [len(flight) for flight in self.wire.flights]


async def test_a_lone_request_leaves_at_once_and_is_answered_at_once() -> None:
    it = Opened()
    for number in range(3):
        request = it.ask()
        assert len(it.flights) == number + 1
        it.wire.land(b"OK")
        assert request.reply == b"OK"


async def test_those_who_come_meanwhile_leave_together_with_those_who_are_answered() -> None:
    it = Opened()
    it.ask()
    for _ in range(3):
        it.ask()
    it.wire.land()
    it.ask()
    assert it.flights == [1]
    await turn()
    assert it.flights == [1, 4]
    it.wire.land()
    for _ in range(4):
        it.ask()
    await turn()
    assert it.flights == [1, 4, 4]


async def test_whoever_has_gone_is_not_sent() -> None:
    it = Opened()
    it.ask()
    for _ in range(3):
        it.ask().abandoned = True
    it.wire.land()
    await turn()
    assert it.flights == [1]
    it.ask()
    assert it.flights == [1, 1]


async def test_nothing_leaves_after_it_was_stopped() -> None:
    it = Opened()
    it.ask()
    waiting = it.ask()
    it.express.stop()
    it.wire.land()
    await turn()
    assert (it.flights, list(it.queue)) == ([1], [waiting])
    it.ask()
    assert not it.is_seen_to


async def test_a_closed_connection_is_for_the_owner() -> None:
    it = Opened()
    it.wire.is_closed = True
    it.ask()
    assert not it.is_seen_to


async def test_a_connection_that_closes_while_some_are_about_to_leave_is_for_the_owner() -> None:
    it = Opened()
    it.ask()
    it.ask()
    it.wire.land()
    it.wire.is_closed = True
    await turn()
    assert (it.flights, it.troubles, len(it.queue)) == ([1], 1, 1)


@pytest.mark.parametrize("late", [False, True])
async def test_what_is_wrong_is_for_the_owner(late: bool) -> None:
    it = Opened()
    request = it.ask()
    request.is_late = late
    reply = b"OK" if late else ValueError()
    it.wire.land(reply)
    assert (it.troubles, request.is_answered) == (1, False)
    assert await it.express.close() == ([request], [reply])
    it.express.open(cast("Wire", it.wire))
    assert await it.express.close() is None


async def test_closing_waits_for_what_is_under_way() -> None:
    it = Opened()
    request = it.ask()
    closing = asyncio.ensure_future(it.express.close())
    await turn()
    assert not closing.done()
    it.wire.land()
    assert await closing is None
    assert request.is_answered


async def test_silence_ends_the_flight_and_the_connection() -> None:
    it = Opened(seconds=0.01)
    for _ in range(3):
        it.ask()
        it.wire.land()
    request = it.ask()
    ((batch, (error,)),) = [await it.express.close()]  # type: ignore[misc]  # it is not None
    assert (batch, type(error), it.wire.is_closed) == ([request], TimeoutError, True)


async def test_when_the_loop_ends_nobody_waits_for_ever() -> None:
    it = Opened()
    request = it.ask()
    assert it.express.abandon() == [request]
    it.express.open(cast("Wire", it.wire))
    assert it.express.abandon() == []
