"""One command on its way, and whoever waits for its answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from doorward._redis.command import Command
from doorward._redis.deadline import Bell, Bells
from doorward._redis.errors import StoreError, StoreSlow

__all__ = ["Request"]

_log = logging.getLogger("doorward")


class Request:
    """A command. Cancelling who waits leaves it to be skipped or its answer to be dropped: no socket notices."""

    __slots__ = (
        "_bell",
        "_on_answer",
        "abandoned",
        "command",
        "error",
        "is_answered",
        "is_late",
        "may_be_refused",
        "reply",
    )

    def __init__(
        self,
        command: Command,
        *,
        on_answer: Callable[[Request], None] | None = None,
        may_be_refused: bool = False,
    ) -> None:
        """``may_be_refused``: whether an error of the server is an answer, and no fault to report."""
        self.command = command
        self.may_be_refused = may_be_refused
        self.reply: Any = None
        self.error: StoreError | None = None
        self.abandoned = False
        """Whoever waited has gone,"""
        self.is_late = False
        """because there was no answer in time."""
        self.is_answered = False
        self._on_answer = on_answer
        self._bell: Bell | None = None

    def answer(self, reply: Any = None, error: StoreError | None = None) -> None:
        """Tell whoever waits."""
        self.reply, self.error, self.is_answered = reply, error, True
        if self._bell is not None:
            self._bell.ring()
        elif self._on_answer is not None:
            try:
                self._on_answer(self)
            except Exception:
                # Somebody else's mistake must not end the task that all requests wait for.
                _log.exception("redis: what came of a request could not be used")

    async def wait(self, seconds: float, bells: Bells) -> Any:
        """The reply. Raises `StoreError`."""
        if self._on_answer is not None:
            raise ValueError("this request tells by its callback")
        if not self.is_answered:
            self._bell = bells.hang(seconds)
            try:
                await self._bell.rung()
            finally:
                self.abandoned = not self.is_answered
            if self.abandoned:
                self.is_late = True
                raise StoreSlow("no answer within the deadline")
        if self.error is not None:
            raise self.error
        return self.reply
