"""One flight per key: whoever asks what is being asked already waits for that answer, and few are in the air.

A gate may serve several event loops, each in a thread of its own. An event belongs to one of them, so whoever waits for
a flight of another looks every few milliseconds, and gives up on one whose loop must have died.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from threading import Lock
from typing import Final, Generic, TypeVar

import anyio

from doorward.background import running_loop

__all__ = ["Flights", "Full", "Landing"]

LOST_SECONDS: Final = 10.0
"""Twice what any flight may take: one of another loop that has not landed by then never will."""

_LOOK_SECONDS: Final = 0.02

_SHARE: Final = 4
"""One asker has at most this part of the flights: while an endpoint hangs, the others still have places."""

_T = TypeVar("_T")


class Full(Exception):
    """As many are in flight as may be, altogether or for one asker."""


class Landing:
    """The end of a flight, which any event loop may wait for. Made on the loop that flies."""

    __slots__ = ("_event", "_loop", "reached")

    def __init__(self) -> None:
        self.reached = False
        self._event = anyio.Event()
        self._loop = running_loop()

    def reach(self) -> None:
        """The flight is over. Called on its own loop."""
        self.reached = True
        self._event.set()

    async def wait(self) -> bool:
        """Until it is over; False where it is lost."""
        if running_loop() is self._loop:
            await self._event.wait()
        with anyio.move_on_after(LOST_SECONDS):
            while not self.reached:  # noqa: ASYNC110 - the other loop's event is not to be touched from here
                await anyio.sleep(_LOOK_SECONDS)
        return self.reached


class Flights(Generic[_T]):
    """Shares answers among those who wait for the same one. A key is held no longer than the request that brought
    it."""

    def __init__(self, *, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._max_of_one = max(1, max_in_flight // _SHARE)
        self._flights: dict[str, _Flight[_T]] = {}
        self._of: Counter[str] = Counter()
        self._lock = Lock()
        """Held over no await."""

    async def answer(self, key: str, ask: Callable[[], Awaitable[_T]], *, asker: str | None = None) -> _T:
        """What ``ask`` answers, which must end by itself, or what it answers to another caller that began before.
        ``asker``: who begins a flight, of whom at most a quarter of the flights may be; None where that is not known.
        Raises `Full`."""
        while True:
            flight, begun = self._board(key, asker)
            if begun:
                return await self._fly(key, flight, ask)
            if not await flight.landing.wait():
                self._leave(key, flight)
            elif flight.answers:
                return flight.answers[0]
            # Whoever began was torn away all the same, by a task's own cancellation: the next one begins anew.

    def __len__(self) -> int:
        return len(self._flights)

    def _board(self, key: str, asker: str | None) -> tuple[_Flight[_T], bool]:
        """The flight, and whether it is the caller's to fly."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            if len(self._flights) >= self._max_in_flight:
                raise Full
            if asker is not None:
                if self._of[asker] >= self._max_of_one:
                    raise Full
                self._of[asker] += 1
            flight = self._flights[key] = _Flight(asker)
            return flight, True

    def _leave(self, key: str, flight: _Flight[_T]) -> None:
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
                if flight.asker is not None:
                    self._of[flight.asker] -= 1
                    if not self._of[flight.asker]:
                        del self._of[flight.asker]

    async def _fly(self, key: str, flight: _Flight[_T], ask: Callable[[], Awaitable[_T]]) -> _T:
        try:
            # Others may wait for the answer: the end of this one request must not be the end of it.
            with anyio.CancelScope(shield=True):
                answer = await ask()
            flight.answers.append(answer)
        finally:
            self._leave(key, flight)
            flight.landing.reach()
        return answer


class _Flight(Generic[_T]):
    __slots__ = ("answers", "asker", "landing")

    def __init__(self, asker: str | None) -> None:
        self.asker = asker
        self.landing = Landing()
        self.answers: list[_T] = []  # none or one, since an answer may be None
