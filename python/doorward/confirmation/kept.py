"""Which questions are open: each with its key, until it is answered or forgotten. What nobody has kept is no question,
so that whatever is lost is refused."""

from __future__ import annotations

import os
from threading import Lock
from typing import Final, Protocol

from doorward.errors import refusal

__all__ = ["MAX_QUESTIONS", "USED", "Kept", "KeptHere"]

MAX_QUESTIONS: Final = 100_000
"""Open in one process, about 300 bytes each. Every client has a budget of asking, so that one alone cannot get here."""

USED: Final = b""
"""Stands where the key stood."""


class Kept(Protocol):
    """Where open questions are kept. Every method raises `Unavailable` where that cannot be told now."""

    async def put(self, nonce: str, key: bytes, *, seconds: float, now: float) -> None:
        """Keep a new question for so long."""

    async def key_of(self, nonce: str, *, now: float) -> bytes | None:
        """Its key; empty for one that was taken, None for one that is not known any more."""

    async def take(self, nonce: str, *, now: float) -> bool:
        """Take it: true once, whoever asks, wherever."""


class KeptHere:
    """In this process."""

    def __init__(self) -> None:
        self._questions: dict[str, tuple[bytes, float]] = {}
        self._lock = Lock()
        self._process = os.getpid()

    def __len__(self) -> int:
        return len(self._questions)

    async def put(self, nonce: str, key: bytes, *, seconds: float, now: float) -> None:
        """Keep a new question for so long."""
        with self._lock:
            self._forget(now)
            if len(self._questions) >= MAX_QUESTIONS:
                raise refusal("store_unavailable", "too many questions are open")
            self._questions[nonce] = key, now + seconds

    async def key_of(self, nonce: str, *, now: float) -> bytes | None:
        """Its key; empty for one that was taken, None for one that is not known any more."""
        with self._lock:
            self._forget(now)
            return self._questions.get(nonce, (None,))[0]

    async def take(self, nonce: str, *, now: float) -> bool:
        """Take it: true once."""
        with self._lock:
            self._forget(now)
            key, until = self._questions.get(nonce, (USED, 0.0))
            if key != USED:
                self._questions[nonce] = USED, until
            return key != USED

    def _forget(self, now: float) -> None:
        if self._process != os.getpid():
            # Forked: what the parent asked, each of its children would let run once.
            self._questions, self._process = {}, os.getpid()
        # All stand equally long, so that the first is the oldest; after a reload that is nearly so.
        while self._questions:
            oldest = next(iter(self._questions))
            if self._questions[oldest][1] > now:
                break
            del self._questions[oldest]
