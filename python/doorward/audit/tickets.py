"""Who waits until a record is on disk: tasks of any event loop, woken by the thread that has written it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import anyio
from anyio.lowlevel import current_token

__all__ = ["Ticket", "Tickets"]

Waker = Callable[..., Any]


class Ticket:
    """One record that somebody may wait for."""

    __slots__ = ("_left", "_waiting")

    def __init__(self, lanes: int) -> None:
        """``lanes``: how many have to write it."""
        self._left = lanes
        self._waiting: list[tuple[object, Waker, anyio.Event]] | None = None

    @property
    def done(self) -> bool:
        """Whether every lane has written it."""
        return self._left <= 0


class Tickets:
    """The tickets of one trail."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def finish(self, tickets: Iterable[Ticket]) -> None:
        """One more lane has these on disk. Called by its thread; every event loop is woken once, whatever the number
        of its tasks."""
        waking: dict[object, tuple[Waker, list[anyio.Event]]] = {}
        with self._lock:
            for ticket in tickets:
                ticket._left -= 1
                if ticket._left == 0 and ticket._waiting is not None:
                    for loop, wake, event in ticket._waiting:
                        waking.setdefault(loop, (wake, []))[1].append(event)
                    ticket._waiting = None
        for wake, events in waking.values():
            with suppress(RuntimeError):  # that loop is closed, and nobody waits there any more
                wake(_set, events)

    async def wait(self, ticket: Ticket, *, seconds: float) -> bool:
        """Wait until it is on disk, at most so long; whether it is."""
        if ticket.done:
            return True
        loop, wake = _this_loop()
        event = anyio.Event()
        with self._lock:
            if ticket.done:
                return True
            if ticket._waiting is None:
                ticket._waiting = []
            ticket._waiting.append((loop, wake, event))
        with anyio.move_on_after(seconds):
            await event.wait()
        return ticket.done


def _set(events: list[anyio.Event]) -> None:
    for event in events:
        event.set()


def _this_loop() -> tuple[object, Waker]:
    """This event loop and how another thread runs something on it without waiting for it: anyio's own way back waits,
    and a thread that waits for a loop which waits for the thread is stuck."""
    native: Any = current_token().native_token
    if hasattr(native, "call_soon_threadsafe"):
        return native, native.call_soon_threadsafe
    return native, native.run_sync_soon  # trio
