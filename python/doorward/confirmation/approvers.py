"""Whom the operator names to answer: a function in this process, or a webhook."""

from __future__ import annotations

import inspect
import logging
from threading import Lock
from typing import Any, Final, cast

import anyio
from anyio import CapacityLimiter, to_thread

from doorward.confirmation.question import Approver, Ask, NoAnswer, NotAsked, Question
from doorward.errors import refusal

__all__ = ["answer_of", "asker"]

_MAX_THREADS: Final = 64
"""In which functions that are not asynchronous wait for a human, each in one of its own; the next are told to come
again."""

_log = logging.getLogger("doorward")


def asker(approver: Approver) -> Ask:
    """The approver as something to wait for. Raises `ValueError` for what cannot be called."""
    if not callable(approver):
        raise ValueError("approver must be a function that takes a Question")
    if inspect.iscoroutinefunction(approver) or inspect.iscoroutinefunction(getattr(approver, "__call__", None)):  # noqa: B004 - an object whose call is asynchronous
        return cast("Ask", approver)
    return _Threaded(approver)


async def answer_of(ask: Ask, question: Question, *, seconds: float) -> bool:
    """Whether somebody says yes in time. Raises `Forbidden` where time runs out, `Unavailable` where asking failed, and
    `NotAsked` where it failed before anybody could have been asked."""
    with anyio.move_on_after(seconds) as scope:
        try:
            is_yes = await ask(question) is True
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


class _Threaded:
    """A function that blocks."""

    def __init__(self, approver: Approver) -> None:
        self._approver = approver
        self._waiting = 0
        self._lock = Lock()

    async def __call__(self, question: Question) -> object:
        with self._lock:
            if self._waiting >= _MAX_THREADS:
                raise NotAsked("too many questions wait for the approver")
            self._waiting += 1
        has_begun = False

        def run() -> object:
            nonlocal has_begun
            has_begun = True
            try:
                return self._approver(question)
            finally:
                # Not before: a thread that nobody waits for any more is still one.
                self._leave()

        try:
            answer: Any = await to_thread.run_sync(run, abandon_on_cancel=True, limiter=CapacityLimiter(1))
        except BaseException:
            if not has_begun:
                self._leave()
            raise
        # A lambda around an asynchronous function: its coroutine is no yes, and would be true in any other test.
        return await answer if inspect.isawaitable(answer) else answer

    def _leave(self) -> None:
        with self._lock:
            self._waiting -= 1
