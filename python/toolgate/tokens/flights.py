"""One flight per key: whoever asks what is being asked already waits for that answer, and few are in the air."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

__all__ = ["Flights", "Full"]

_T = TypeVar("_T")


class Full(Exception):
    """As many are in flight as may be."""


class Flights(Generic[_T]):
    """Shares answers among those who wait for the same one, on one event loop. A key is held no longer than the
    request that brought it."""

    def __init__(self, *, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._flights: dict[str, _Flight[_T]] = {}

    async def answer(self, key: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        """What ``ask`` answers, which must end by itself, or what it answers to another caller that began before.
        Raises `Full`."""
        while (flight := self._flights.get(key)) is not None:
            await flight.landed.wait()
            if flight.answers:
                return flight.answers[0]
            # Whoever began was torn away all the same, by a task's own cancellation: the next one begins anew.
        if len(self._flights) >= self._max_in_flight:
            raise Full
        return await self._begin(key, ask)

    def __len__(self) -> int:
        return len(self._flights)

    async def _begin(self, key: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        flight = self._flights[key] = _Flight[_T]()
        try:
            # Others may wait for the answer: the end of this one request must not be the end of it.
            with anyio.CancelScope(shield=True):
                answer = await ask()
            flight.answers.append(answer)
        finally:
            del self._flights[key]
            flight.landed.set()
        return answer


class _Flight(Generic[_T]):
    __slots__ = ("answers", "landed")

    def __init__(self) -> None:
        self.landed = anyio.Event()
        self.answers: list[_T] = []  # none or one, since an answer may be None
