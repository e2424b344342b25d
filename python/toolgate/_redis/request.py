"""One command on its way, and whoever waits for its answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any

from anyio import Event

from toolgate._redis.deadline import wait
from toolgate._redis.errors import StoreError, StoreSlow

__all__ = ["Request", "Script"]

_log = logging.getLogger("toolgate")


class Script:
    """A Lua script, and the name that Redis keeps it under."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        # Redis's name for it, no protection of anything.
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


class Request:
    """A command. Cancelling who waits leaves it to be skipped or its answer to be dropped: no socket notices."""

    __slots__ = ("_answered", "_on_answer", "abandoned", "error", "is_answered", "is_late", "reply", "script", "words")

    def __init__(
        self,
        words: tuple[Any, ...],
        *,
        script: Script | None = None,
        on_answer: Callable[[Request], None] | None = None,
    ) -> None:
        self.words = words
        self.script = script
        self.reply: Any = None
        self.error: StoreError | None = None
        self.abandoned = False
        """Whoever waited has gone,"""
        self.is_late = False
        """because there was no answer in time."""
        self.is_answered = False
        self._on_answer = on_answer
        self._answered: Event | None = None if on_answer is not None else Event()

    @classmethod
    def of_script(
        cls,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Any],
        *,
        on_answer: Callable[[Request], None] | None = None,
    ) -> Request:
        """A call of a script, by its name."""
        return cls(("EVALSHA", script.digest, len(keys), *keys, *args), script=script, on_answer=on_answer)

    def spelled_out(self) -> tuple[Any, ...]:
        """The same call with the script's text, which a server that has forgotten it understands too."""
        if self.script is None:
            raise ValueError("only a script can be spelled out")
        return ("EVAL", self.script.text, *self.words[2:])

    def answer(self, reply: Any = None, error: StoreError | None = None) -> None:
        """Tell whoever waits."""
        self.reply, self.error, self.is_answered = reply, error, True
        if self._answered is not None:
            self._answered.set()
        elif self._on_answer is not None:
            try:
                self._on_answer(self)
            except Exception:
                # Somebody else's mistake must not end the task that all requests wait for.
                _log.exception("redis: what came of a request could not be used")

    async def wait(self, seconds: float) -> Any:
        """The reply. Raises `StoreError`."""
        if self._answered is None:
            raise ValueError("this request tells by its callback")
        try:
            await wait(self._answered, seconds)
        finally:
            self.abandoned = not self._answered.is_set()
        if self.abandoned:
            self.is_late = True
            raise StoreSlow("no answer within the deadline")
        if self.error is not None:
            raise self.error
        return self.reply
