"""The one task that owns the connection: it makes it, takes what waits, sends it together, hands out the answers, and
knows what to do when there are none. While nothing is wrong, `Express` does the sending without waking it.

Requests only enqueue, so whoever is cancelled leaves no half-read reply behind for somebody else.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from anyio import CancelScope, Event, move_on_after

from doorward._redis.breaker import Breaker
from doorward._redis.command import Command
from doorward._redis.deadline import Bells, Patience, deadline
from doorward._redis.errors import StoreAway, StoreError, StoreSlow
from doorward._redis.express import BATCH, Express, waiting
from doorward._redis.links import Link
from doorward._redis.outcomes import is_forgotten, named, outcome
from doorward._redis.refusals import Refusals
from doorward._redis.request import Request

__all__ = ["Events", "Owner"]

MAX_QUEUE: Final = 1_000
"""More than a server answers within the deadline: whoever comes then is told at once instead of when it is too late."""

_AGAIN: Final = 1.0
"""Seconds until what has to be done first is tried again, where nobody comes and asks."""


class Events(Protocol):
    """What the owner tells, and whom it asks."""

    def opened(self, error: str) -> None:
        """Nobody answers; requests are refused at once from now on."""

    def closed(self) -> None:
        """There are answers again."""

    def refused(self, name: str, word: str) -> None:
        """The server answers this kind of command with an error."""

    def answered(self, name: str) -> None:
        """It answers that kind again."""

    def connected(self) -> Sequence[Request]:
        """The first answer has come. What is to be asked once?"""

    def ahead(self) -> Sequence[Request]:
        """What is to be done before any other request."""


class Owner:
    """Owns a link for as long as its task runs."""

    def __init__(
        self,
        link: Link,
        events: Events,
        *,
        patience: Patience,
        attempts: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``attempts``: to connect, one after the other, until one succeeds."""
        self._link = link
        self._patience = patience
        self._attempts = attempts
        self._events = events
        self._clock = clock
        self._breaker = Breaker()
        self._queue: deque[Request] = deque()
        self.bells = Bells(usual=patience.answer)
        self._wake = Event()
        self._refusals = Refusals(events)
        self._express = Express(self._queue, patience, self._refusals, on_trouble=self._rouse)
        self._ended = Event()
        self._closing = False
        self._known = False
        """Whether the link has ever answered."""
        self._linked = False
        """Whether the last thing that went over it was an answer."""
        self._is_clear = False
        """Whether there was nothing to be done first when that was last asked."""
        self._alarm = math.inf

    def submit(self, request: Request) -> None:
        """Enqueue. Raises `StoreAway` when it would not be answered in time, and `TypeError` or `ValueError` for what
        cannot be sent: later it would be found out beside the commands of others."""
        if self._closing or self._breaker.is_open:
            raise StoreAway("the store is out of reach")
        if len(self._queue) >= MAX_QUEUE:
            raise StoreAway("too many wait for the store")
        request.command.pack()
        self._queue.append(request)
        if not self._express.take():
            self._wake.set()

    @property
    def seconds(self) -> float:
        """How long a request waits: the first ones for the connection too."""
        first = not self._known and not self._breaker.has_failed
        return self._patience.answer + (self._patience.connect if first else 0)

    def nudge(self) -> None:
        """There is something to be done ahead of the next request: do it now."""
        self._express.stop()
        self._wake.set()

    def wake_at(self, instant: float) -> None:
        """There will be something to do ahead then, in the clock's seconds."""
        if instant < self._alarm:
            self._alarm = instant
            self._wake.set()

    async def run(self) -> None:
        """Serve until `aclose` or until the loop ends."""
        try:
            while not self._closing:
                if self._breaker.is_open:
                    await self._try_again()
                elif await self._go_ahead():
                    await self._serve()
                elif not self._queue and not self._breaker.is_open:
                    await self._rest()
        finally:
            self._closing = True
            _refuse(self._express.abandon(), "the store is closed")
            self._refuse_all("the store is closed")
            with CancelScope(shield=True), move_on_after(self._patience.connect):
                await self._link.drop()
            self._ended.set()

    async def aclose(self) -> None:
        """Answer what waits, close the connection, end the task."""
        if (self._queue or self._express.is_under_way) and not self._breaker.is_open:
            last = Request(Command("PING"))
            self._queue.append(last)
            self._wake.set()
            with suppress(StoreError):
                await last.wait(self._patience.answer, self.bells)
        self._closing = True
        self._wake.set()
        await self._ended.wait()

    async def _rest(self) -> None:
        """Until there is something to do here. Meanwhile requests go out without this task, if all is well."""
        wire = self._link.wire
        if wire is not None and self._is_clear and self._known and not self._breaker.has_failed:
            self._express.open(wire)
        with move_on_after(self._alarm - self._clock()):
            await self._wake.wait()
        self._wake = Event()
        if self._alarm <= self._clock():
            self._alarm = math.inf
        flight = await self._express.close()
        if flight is not None:
            await self._land(*flight)

    async def _serve(self) -> None:
        batch = waiting(self._queue)
        if batch:
            await self._send(batch)

    async def _go_ahead(self) -> bool:
        """Do what comes first. Says whether requests may follow."""
        ahead = list(self._events.ahead())
        self._is_clear = not ahead
        try:
            for start in range(0, len(ahead), BATCH):
                if not await self._send(ahead[start : start + BATCH]):
                    self.wake_at(self._clock() + _AGAIN)
                    return False
        finally:
            _refuse(ahead, "the store is out of reach")
        return bool(self._queue)

    async def _send(self, batch: list[Request]) -> bool:
        """Send and hand out the answers. Says whether there were any."""
        try:
            replies = await self._exchange([request.command for request in batch])
        except BaseException:
            # The loop ends. Whoever hears of it by callback may live on.
            _refuse(batch, "the store is closed")
            raise
        return await self._land(batch, replies)

    async def _land(self, batch: list[Request], replies: list[Any]) -> bool:
        """Hand out the answers, and see what they say of the connection. Says whether there were any."""
        try:
            forgotten = [i for i, reply in enumerate(replies) if batch[i].command.script and is_forgotten(reply)]
            if forgotten:
                for i, reply in zip(forgotten, await self._remind([batch[i] for i in forgotten]), strict=True):
                    replies[i] = reply
            outcomes = [outcome(reply) for reply in replies]
            late = all(request.is_late for request in batch)
            answered = any(not isinstance(found, StoreAway | StoreSlow) for found in outcomes)
            lost = any(isinstance(found, StoreAway | StoreSlow) for found in outcomes)
            if lost and (self._link.is_one or (self._breaker.is_open and not answered)):
                # A Cluster's client finds out by itself which of its nodes to leave, unless it asks the wrong one.
                await self._drop()
            else:
                self._linked = True
            if answered and not late:
                self._succeeded()
            else:
                self._failed("answers come too late" if answered else named(replies))
            self._refusals.look(batch, outcomes)
            for request, found in zip(batch, outcomes, strict=True):
                if isinstance(found, StoreError):
                    request.answer(error=found)
                else:
                    request.answer(reply=found)
            return answered
        finally:
            # When the loop ends. Whoever hears of it by callback may live on.
            _refuse(batch, "the store is closed")

    async def _remind(self, batch: list[Request]) -> list[Any]:
        """Send the scripts themselves to a server that does not know them, which is then one that does."""
        commands = [request.command.spelled_out() for request in batch]
        if self._link.is_one:
            return await self._exchange(commands)
        # The other nodes will not know them either.
        texts = {request.command.script.text for request in batch if request.command.script is not None}
        return (await self._exchange([*commands, *(Command("SCRIPT LOAD", text) for text in texts)]))[: len(batch)]

    async def _exchange(self, commands: list[Command]) -> list[Any]:
        """A reply or an exception for each command."""
        try:
            connecting = 0 if self._linked else self._patience.connect * self._attempts
            with deadline(connecting + self._patience.answer):
                return await self._link.send(commands)
        except Exception as error:
            # Whatever the client raises: nobody knows what the server did.
            return [error] * len(commands)

    async def _try_again(self) -> None:
        with move_on_after(self._breaker.wait(self._clock())):
            while not self._closing:
                await self._wake.wait()
                self._wake = Event()
        if not self._closing:
            await self._send([Request(Command("PING"))])

    def _succeeded(self) -> None:
        if not self._known:
            self._known = True
            self._queue.extend(self._events.connected())
        if self._breaker.succeeded():
            self._events.closed()

    def _failed(self, why: str) -> None:
        if self._breaker.failed(self._clock()):
            self._events.opened(why)
            self._refuse_all("the store is out of reach")

    def _rouse(self) -> None:
        self._wake.set()

    async def _drop(self) -> None:
        self._linked = False
        with move_on_after(self._patience.connect):
            await self._link.drop()

    def _refuse_all(self, why: str) -> None:
        while self._queue:
            self._queue.popleft().answer(error=StoreAway(why))


def _refuse(requests: list[Request], why: str) -> None:
    for request in requests:
        if not request.is_answered:
            request.answer(error=StoreAway(why))
