"""The one task that touches the connection: it takes what waits, sends it together, and hands out the answers.

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

from toolgate._redis.breaker import Breaker
from toolgate._redis.deadline import Patience, deadline
from toolgate._redis.errors import StoreAway, StoreError, StoreRefused, StoreSlow
from toolgate._redis.links import Link
from toolgate._redis.request import Request

__all__ = ["Events", "Owner"]

MAX_QUEUE: Final = 1_000
"""More than a server answers within the deadline: whoever comes then is told at once instead of when it is too late."""

_BATCH: Final = 128
"""Scripts sent together: some three milliseconds of a server's time."""

_AGAIN: Final = 1.0
"""Seconds until what has to be done first is tried again, where nobody comes and asks."""

_LOST: Final = ("READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "NOAUTH", "UNBLOCKED")
"""Answers of a server that is no longer the one to ask: the next connection may find the right one."""


class Events(Protocol):
    """What the owner tells, and whom it asks."""

    def opened(self, error: str) -> None:
        """Nobody answers; requests are refused at once from now on."""

    def closed(self) -> None:
        """There are answers again."""

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
        self._wake = Event()
        self._ended = Event()
        self._closing = False
        self._known = False
        """Whether the link has ever answered."""
        self._linked = False
        """Whether the last thing that went over it was an answer."""
        self._alarm = math.inf

    def submit(self, request: Request) -> None:
        """Enqueue. Raises `StoreAway` when it would not be answered in time."""
        if self._closing or self._breaker.is_open:
            raise StoreAway("the store is out of reach")
        if len(self._queue) >= MAX_QUEUE:
            raise StoreAway("too many wait for the store")
        self._queue.append(request)
        self._wake.set()

    @property
    def seconds(self) -> float:
        """How long a request waits: the first ones for the connection too."""
        first = not self._known and not self._breaker.has_failed
        return self._patience.answer + (self._patience.connect if first else 0)

    def nudge(self) -> None:
        """There is something to be done ahead of the next request: do it now."""
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
            self._refuse_all("the store is closed")
            with CancelScope(shield=True), move_on_after(self._patience.connect):
                await self._link.drop()
            self._ended.set()

    async def aclose(self) -> None:
        """Answer what waits, close the connection, end the task."""
        if self._queue and not self._breaker.is_open:
            last = Request(("PING",))
            self._queue.append(last)
            self._wake.set()
            with suppress(StoreError):
                await last.wait(self._patience.answer)
        self._closing = True
        self._wake.set()
        await self._ended.wait()

    async def _rest(self) -> None:
        """Until there is something to do."""
        with move_on_after(self._alarm - self._clock()):
            await self._wake.wait()
        self._wake = Event()
        if self._alarm <= self._clock():
            self._alarm = math.inf

    async def _serve(self) -> None:
        batch: list[Request] = []
        while self._queue and len(batch) < _BATCH:
            request = self._queue.popleft()
            # Whoever has gone wants nothing spent.
            if not request.abandoned:
                batch.append(request)
        if batch:
            try:
                await self._send(batch)
            finally:
                # When the loop ends. Whoever hears of it by callback may live on.
                _refuse(batch, "the store is closed")

    async def _go_ahead(self) -> bool:
        """Do what comes first. Says whether requests may follow."""
        ahead = list(self._events.ahead())
        try:
            for start in range(0, len(ahead), _BATCH):
                if not await self._send(ahead[start : start + _BATCH]):
                    self.wake_at(self._clock() + _AGAIN)
                    return False
        finally:
            _refuse(ahead, "the store is out of reach")
        return bool(self._queue)

    async def _send(self, batch: list[Request]) -> bool:
        """Send and hand out the answers. Says whether there were any."""
        replies = await self._exchange([request.words for request in batch])
        forgotten = [i for i, reply in enumerate(replies) if _is_forgotten(reply, batch[i])]
        if forgotten:
            for i, reply in zip(forgotten, await self._remind([batch[i] for i in forgotten]), strict=True):
                replies[i] = reply
        outcomes = [_outcome(reply) for reply in replies]
        late = all(request.is_late for request in batch)
        answered = any(not isinstance(outcome, StoreAway | StoreSlow) for outcome in outcomes)
        lost = any(isinstance(outcome, StoreAway | StoreSlow) for outcome in outcomes)
        if lost and (self._link.is_one or (self._breaker.is_open and not answered)):
            # A Cluster's client finds out by itself which of its nodes to leave, unless it asks the wrong one for it.
            await self._drop()
        else:
            self._linked = True
        if answered and not late:
            self._succeeded()
        else:
            self._failed("answers come too late" if answered else _named(replies))
        for request, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, StoreError):
                request.answer(error=outcome)
            else:
                request.answer(reply=outcome)
        return answered

    async def _remind(self, batch: list[Request]) -> list[Any]:
        """Send the scripts themselves to a server that does not know them, which is then one that does."""
        commands = [request.spelled_out() for request in batch]
        if self._link.is_one:
            return await self._exchange(commands)
        # The other nodes will not know them either.
        texts = {request.script.text for request in batch if request.script is not None}
        return (await self._exchange([*commands, *(("SCRIPT LOAD", text) for text in texts)]))[: len(batch)]

    async def _exchange(self, commands: list[tuple[Any, ...]]) -> list[Any]:
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
            await self._send([Request(("PING",))])

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


def _is_forgotten(reply: Any, request: Request) -> bool:
    return isinstance(reply, Exception) and request.script is not None and _word(reply) == "NOSCRIPT"


def _outcome(reply: Any) -> Any:
    """The reply, or which of our errors it means."""
    if not isinstance(reply, Exception):
        return reply
    word = _word(reply)
    if isinstance(reply, TimeoutError) or type(reply).__name__ == "TimeoutError":
        return StoreSlow("no answer within the deadline")
    if not word or word in _LOST:
        return StoreAway("the store is out of reach")
    return StoreRefused(word)


def _word(error: Exception) -> str:
    """The first word of an error that the server answered with; nothing for one that came from elsewhere."""
    from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

    if isinstance(error, NoScriptError):
        return "NOSCRIPT"
    if isinstance(error, ReadOnlyError):
        return "READONLY"
    if not isinstance(error, ResponseError):
        return ""
    return _KNOWN.get(type(error).__name__) or _spelled(str(error))


_KNOWN: Final = {
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "TryAgainError": "TRYAGAIN",
    "OutOfMemoryError": "OOM",
    "NoPermissionError": "NOPERM",
    "ClusterCrossSlotError": "CROSSSLOT",
}
"""Whose word redis-py takes off the message."""


def _spelled(message: str) -> str:
    first = message.partition(" ")[0]
    return first if first.isalpha() and first.isupper() else "ERR"


def _named(replies: Sequence[Any]) -> str:
    """What kind of failure, without the words of it."""
    return next((type(reply).__name__ for reply in replies if isinstance(reply, Exception)), "nothing")
