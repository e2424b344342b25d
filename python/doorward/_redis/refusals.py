"""Commands that the server answers with an error, said once: each refused call would otherwise be a line of the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from doorward._redis.errors import StoreRefused
from doorward._redis.request import Request

__all__ = ["REPEAT_SECONDS", "Refusals"]

REPEAT_SECONDS: Final = 60.0
"""Between two log lines about one kind of command: a server that is nearly full refuses and answers in turn."""


class Listener(Protocol):
    """Who writes the log and raises the alarm."""

    def refused(self, name: str, word: str) -> None:
        """The server answers this kind of command with an error that begins with ``word``."""

    def answered(self, name: str) -> None:
        """It answers that kind again."""


class Refusals:
    """The kinds of command that are refused now: scripts by name, other commands by their first word."""

    def __init__(self, listener: Listener, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._listener = listener
        self._clock = clock
        self._refused: dict[str, bool] = {}
        """The kinds that are refused, and whether that was said."""
        self._said_at: dict[str, float] = {}

    def __bool__(self) -> bool:
        """Whether any kind is refused: only then answers have to be looked at."""
        return bool(self._refused)

    def look(self, batch: Sequence[Request], outcomes: Sequence[Any]) -> None:
        """What came of requests that were sent together: a reply or an error for each."""
        for request, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, StoreRefused):
                if not request.may_be_refused:
                    self._refuse(request.command.name, outcome.word)
            elif not isinstance(outcome, Exception) and self._refused:
                self._answer(request.command.name)

    def _refuse(self, name: str, word: str) -> None:
        if name in self._refused:
            return
        now = self._clock()
        is_due = now - self._said_at.get(name, -REPEAT_SECONDS) >= REPEAT_SECONDS
        self._refused[name] = is_due
        if is_due:
            self._said_at[name] = now
            self._listener.refused(name, word)

    def _answer(self, name: str) -> None:
        if self._refused.pop(name, False):
            self._listener.answered(name)
