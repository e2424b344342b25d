"""The way past the owner's task: while nothing is wrong, a request is written where it is made, and answered where its
reply is read. Waking a task for either takes longer than Redis takes to decide.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from anyio import Event

from doorward._redis.deadline import TURNS, Patience
from doorward._redis.refusals import Refusals
from doorward._redis.request import Request
from doorward._redis.wire import Wire

__all__ = ["BATCH", "Express", "Flight", "waiting"]

BATCH: Final = 128
"""Scripts sent together: some three milliseconds of a server's time."""

Flight = tuple[list[Request], list[Any]]
"""Requests that were sent together, and a reply or an error for each."""


class Express:
    """Sends what waits over the wire of its owner, who opens and closes it. One flight is under way at a time, so that
    whoever goes away while others are asked costs nothing."""

    def __init__(
        self, queue: deque[Request], patience: Patience, refusals: Refusals, *, on_trouble: Callable[[], None]
    ) -> None:
        self._queue = queue
        self._patience = patience
        self._refusals = refusals
        self._on_trouble = on_trouble
        self._wire: Wire | None = None
        self._flight: list[Request] = []
        self._trouble: Flight | None = None
        self._landed: Event | None = None
        self._is_due = False
        """Whether the next flight leaves in this turn of the loop."""
        self._is_lone = True
        """Whether the last one had a single request on board."""
        self._flown_over: Wire | None = None
        self._late = 0.0
        self._watch: asyncio.Handle | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether there is a flight."""
        return bool(self._flight)

    def open(self, wire: Wire) -> None:
        """Nothing is wrong, and nothing is to be done first."""
        self._wire = wire

    def stop(self) -> None:
        """From now on requests wait for the owner."""
        self._wire = None

    async def close(self) -> Flight | None:
        """`stop`, and let what is under way arrive. Returns the last flight if it is for the owner to see what came of
        it."""
        self.stop()
        if self._flight:
            self._landed = Event()
            await self._landed.wait()
        trouble, self._trouble = self._trouble, None
        return trouble

    def abandon(self) -> list[Request]:
        """The loop ends. Returns who still waits."""
        self.stop()
        flight, self._flight = self._flight or (self._trouble or ([],))[0], []
        if self._watch is not None:
            self._watch.cancel()
        return flight

    def take(self) -> bool:
        """A request has been queued. Says whether it is seen to."""
        wire = self._wire
        if wire is None or wire.is_closed:
            return False
        if not self._flight and not self._is_due:
            # Whoever came alone last time is likely to do so again; for many who come together a turn is worth waiting.
            if self._is_lone:
                self._leave()
            else:
                self._leave_soon(wire)
        return True

    def _leave_soon(self, wire: Wire) -> None:
        self._is_due = True
        wire.loop.call_soon(self._leave)

    def _leave(self) -> None:
        self._is_due = False
        wire = self._wire
        if wire is None:
            return
        if wire.is_closed:
            self._on_trouble()
            return
        self._flight = waiting(self._queue)
        if self._flight:
            self._flown_over, self._late = wire, wire.loop.time() + self._patience.answer
            if self._watch is None:
                self._watch = wire.loop.call_later(self._patience.answer, self._look, TURNS)
            wire.send([request.command for request in self._flight], self._arrive)

    def _arrive(self, replies: list[Any]) -> None:
        flight, self._flight = self._flight, []
        self._is_lone = len(flight) == 1
        if _is_well(flight, replies):
            if self._refusals:
                self._refusals.look(flight, replies)
            for request, reply in zip(flight, replies, strict=True):
                request.answer(reply)
        else:
            self._trouble = flight, replies
            self.stop()
            self._on_trouble()
        if self._queue and self._wire is not None and not self._flight and not self._is_due:
            # Those who were answered have their turn first, and leave together with those who waited meanwhile.
            self._leave_soon(self._wire)
        if self._landed is not None:
            self._landed.set()
            self._landed = None

    def _look(self, turns: int) -> None:
        """The watch on the flights: one timer for many, as few are late."""
        wire, self._watch = self._flown_over, None
        if wire is None or not self._flight:
            return
        left = self._late - wire.loop.time()
        if left > 0:
            self._watch = wire.loop.call_later(left, self._look, TURNS)
        elif turns:
            # A process that was itself too busy to look must not blame the store.
            self._watch = wire.loop.call_soon(self._look, turns - 1)
        else:
            wire.abort()
            self._arrive([TimeoutError()] * len(self._flight))


def _is_well(flight: list[Request], replies: list[Any]) -> bool:
    for reply in replies:
        if isinstance(reply, Exception):
            return False
    return not flight[0].is_late or not all(request.is_late for request in flight)


def waiting(queue: deque[Request]) -> list[Request]:
    """The next that go out together. Whoever has gone wants nothing spent."""
    batch: list[Request] = []
    while queue and len(batch) < BATCH:
        request = queue.popleft()
        if not request.abandoned:
            batch.append(request)
    return batch
