"""How long to wait for an answer that may be here already, and only not read yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from anyio import CancelScope, Event, fail_after, move_on_after
from anyio.lowlevel import checkpoint

__all__ = ["TURNS", "Bell", "Patience", "bell", "deadline", "wait"]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that anybody waits. Only tests have another."""

    connect: float = 0.1
    """For a connection; what is found out later serves those who come then."""
    answer: float = 0.05
    """For an answer: a limiter that is slower than what it protects is none."""


TURNS: Final = 8
"""Of the loop, after a deadline has passed: a process that was itself too busy to look must not blame the store. In the
first turn the loop reads what has come, in the next ones it is handed on."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises `TimeoutError` out of the block after so many seconds and a few turns of the loop."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        # Under trio a thread waits, and its socket has a deadline that no busy loop delays.
        with fail_after(seconds):
            yield
        return
    with CancelScope() as scope:
        watch = _Watch(loop, scope)
        timer = loop.call_later(seconds, watch.look, TURNS)
        try:
            yield
        finally:
            timer.cancel()
            watch.is_over = True
    if scope.cancelled_caught:
        raise TimeoutError


class _Watch:
    """Cancels a scope some turns of the loop from now, unless it is over by then."""

    def __init__(self, loop: asyncio.AbstractEventLoop, scope: CancelScope) -> None:
        self._loop = loop
        self._scope = scope
        self.is_over = False

    def look(self, turns: int) -> None:
        if self.is_over:
            return
        if turns:
            self._loop.call_soon(self.look, turns - 1)
        else:
            self._scope.cancel()


class Bell(Protocol):
    """Rung once, for the one task that waits."""

    def ring(self) -> None:
        """It need not wait any longer."""

    def wait(self, seconds: float) -> Awaitable[object]:
        """Until it rings, or for so many seconds and a few turns of the loop."""


def bell() -> Bell:
    """A bell for the loop that runs."""
    try:
        return _FutureBell(asyncio.get_running_loop())
    except RuntimeError:
        return _EventBell()


class _FutureBell:
    """asyncio's own means, since anyio's take as long as a script of Redis."""

    __slots__ = ("_future", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future = loop.create_future()
        self._timer: asyncio.Handle | None = None

    def ring(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._future.done():
            self._future.set_result(None)

    def wait(self, seconds: float) -> Awaitable[object]:
        self._timer = self._loop.call_later(seconds, self._look, TURNS)
        return self._future

    def _look(self, turns: int) -> None:
        if turns and not self._future.done():
            self._timer = self._loop.call_soon(self._look, turns - 1)
        else:
            self.ring()


class _EventBell:
    """For trio."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> None:
        await wait(self._event, seconds)


async def wait(event: Event, seconds: float) -> bool:
    """Whether it is set within so many seconds and a few turns of the loop."""
    with move_on_after(seconds):
        await event.wait()
    for _ in range(TURNS):
        if event.is_set():
            break
        await checkpoint()
    return event.is_set()
