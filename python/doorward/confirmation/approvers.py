"""Whom the operator names to answer: a function in this process, or a webhook."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

import anyio
from anyio import CapacityLimiter, to_thread

from doorward.confirmation.question import Approver, Ask, NoAnswer, NotAsked, Question
from doorward.errors import refusal

__all__ = ["answer_of", "asker"]

_MAX_THREADS: Final = 64
"""Threads in which functions that are not asynchronous wait for a human, one for each question; further questions are
refused. One client has a share of them (`doorward.limits.spending.MAX_WAITING`)."""

_log = logging.getLogger("doorward")


def asker(approver: Approver) -> Ask:
    """The approver as something to wait for. Raises `ValueError` for what cannot be called."""
    if not callable(approver):
        raise ValueError("approver must be a function that takes a Question")
    if inspect.iscoroutinefunction(approver) or inspect.iscoroutinefunction(getattr(approver, "__call__", None)):  # noqa: B004 - an object whose call is asynchronous
        return _awaited(approver)
    return _Threaded(approver)


async def answer_of(ask: Ask, question: Question, *, seconds: float, ended: Callable[[], None]) -> bool:
    """Whether somebody says yes in time. ``ended`` is called when the work has ended, which may be later. Raises
    `Forbidden` where time runs out, `Unavailable` where asking failed, and `NotAsked` where it failed before anybody
    could have been asked."""
    with anyio.move_on_after(seconds) as scope:
        try:
            is_yes = await ask(question, ended) is True
        except Exception as error:
            # The text of anybody else's may hold what it was asked about.
            words = str(error) if type(error) is NoAnswer else type(error.__cause__ or error).__name__
            _log.error("the approver failed: %s", words)
            if isinstance(error, NotAsked):
                raise
            raise refusal("approver_unavailable") from None
        # Whoever holds out against being cancelled may say yes, but not later.
        if not scope.cancel_called:
            return is_yes
    raise refusal("confirmation_expired", "nobody answered in time")


def _awaited(approver: Callable[[Question], Any]) -> Ask:
    """An asynchronous function: its work has ended when it returns, cancelled or not."""

    async def ask(question: Question, ended: Callable[[], None]) -> object:
        try:
            return await approver(question)
        finally:
            ended()

    return ask


class _Threaded:
    """A function that blocks."""

    def __init__(self, approver: Approver) -> None:
        self._approver = approver
        self._working = 0
        self._lock = Lock()

    async def __call__(self, question: Question, ended: Callable[[], None]) -> object:
        def leave() -> None:
            with self._lock:
                self._working -= 1
            ended()

        if not self._enter():
            ended()
            raise NotAsked("too many questions wait for the approver")
        work = _Work(leave)

        def run() -> object:
            if not work.begin():
                return False
            try:
                return self._approver(question)
            finally:
                work.release()

        try:
            answer: Any = await to_thread.run_sync(run, abandon_on_cancel=True, limiter=CapacityLimiter(1))
            # A lambda around an asynchronous function: its coroutine is no yes, and would be true in any other test.
            return await answer if inspect.isawaitable(answer) else answer
        finally:
            work.abandon()

    def _enter(self) -> bool:
        with self._lock:
            is_room = self._working < _MAX_THREADS
            self._working += is_room
            return is_room


class _Work:
    """One question that a thread asks and a task waits for: its work has ended when neither does any more."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._lock = Lock()
        self._has_begun = False
        self._holders = 2

    def begin(self) -> bool:
        """Whether the thread may ask; it may not when the task has left before."""
        with self._lock:
            self._has_begun = self._holders > 0
            return self._has_begun

    def release(self) -> None:
        """The thread has ended."""
        self._drop(1)

    def abandon(self) -> None:
        """The task waits no more, and a thread that has not begun never will."""
        self._drop(2)

    def _drop(self, count: int) -> None:
        with self._lock:
            self._holders -= 1 if self._has_begun else count
            is_over = self._holders == 0
        if is_over:
            self._ended()
