"""How long to wait for an answer that may be here already, and only not read yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from anyio import CancelScope, Event, fail_after, move_on_after
from anyio.lowlevel import checkpoint

__all__ = ["TURNS", "Bell", "Bells", "Patience", "deadline", "wait"]


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
    """For the one task that waits. It rings by itself when the time is over, and a few turns of the loop."""

    def ring(self) -> None:
        """There is something to be had: now."""

    def rung(self) -> Awaitable[object]:
        """Wait for it."""


class Bells:
    """The bells of one loop. On asyncio one timer serves most of them, since hardly any rings by itself: a timer for
    each takes as long as a fourth of a script."""

    def __init__(self, *, usual: float) -> None:
        """``usual``: how many seconds most of them wait."""
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        self._usual = usual
        self._hung: deque[tuple[float, _FutureBell]] = deque()
        """By when they ring, which is the order in which they came."""
        self._timer: asyncio.TimerHandle | None = None

    def hang(self, seconds: float) -> Bell:
        """A bell that rings after so many seconds at the latest."""
        loop = self._loop
        if loop is None:
            return _EventBell(seconds)
        bell = _FutureBell(loop)
        if seconds != self._usual:
            loop.call_later(seconds, bell.look, TURNS)
            return bell
        late = loop.time() + seconds
        self._hung.append((late, bell))
        if self._timer is None:
            self._timer = loop.call_at(late, self._look, loop)
        return bell

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, now = None, loop.time()
        while self._hung:
            late, bell = self._hung[0]
            if late > now and not bell.is_over:
                self._timer = loop.call_at(late, self._look, loop)
                break
            self._hung.popleft()
            bell.look(TURNS)


class _FutureBell:
    """asyncio's own means, since anyio's take as long as a script of Redis."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future = loop.create_future()

    @property
    def is_over(self) -> bool:
        """Whether it has rung, or whoever waited has gone."""
        return self._future.done()

    def ring(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def rung(self) -> Awaitable[object]:
        return self._future

    def look(self, turns: int) -> None:
        """Ring some turns of the loop from now."""
        if turns and not self._future.done():
            self._loop.call_soon(self.look, turns - 1)
        else:
            self.ring()


class _EventBell:
    """For trio."""

    __slots__ = ("_event", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._event = Event()
        self._seconds = seconds

    def ring(self) -> None:
        self._event.set()

    def rung(self) -> Awaitable[object]:
        return wait(self._event, self._seconds)


async def wait(event: Event, seconds: float) -> bool:
    """Whether it is set within so many seconds and a few turns of the loop."""
    with move_on_after(seconds):
        await event.wait()
    for _ in range(TURNS):
        if event.is_set():
            break
        await checkpoint()
    return event.is_set()
