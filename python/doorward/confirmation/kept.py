"""Which questions are open: each with its key, until it is answered or forgotten. What nobody has kept is no question,
so that whatever is lost is refused."""

from __future__ import annotations

import os
from collections import Counter
from hashlib import sha256
from threading import Lock
from typing import Final, NamedTuple, Protocol

from doorward.errors import Limited, refusal

__all__ = ["MAX_OF_CLIENT", "MAX_QUESTIONS", "USED", "Kept", "KeptHere"]

MAX_QUESTIONS: Final = 100_000
"""Open in one process, about 350 bytes each,"""

MAX_OF_CLIENT: Final = 10_000
"""and so many of them of one client, whatever the budget of asking is: ten clients or more share the room."""

_RETRY_AFTER: Final = 60.0
"""Seconds: questions of a client end one by one, none of them sooner than the shortest lifetime allows."""

USED: Final = b""
"""Stands where the key stood."""


class Kept(Protocol):
    """Where open questions are kept. Every method raises `Unavailable` where that cannot be told now."""

    async def put(self, nonce: str, key: bytes, *, client: str, seconds: float, now: float) -> None:
        """Keep a new question of a client (`Principal.identity`) for so long. Raises `Limited` where the client has
        too many open."""

    async def key_of(self, nonce: str, *, now: float) -> bytes | None:
        """Its key; empty for one that was taken, None for one that is not known any more."""

    async def take(self, nonce: str, *, now: float) -> bool:
        """Take it: true once, whoever asks, wherever."""


class KeptHere:
    """In this process."""

    def __init__(self) -> None:
        self._questions: dict[str, _Question] = {}
        self._of_client: Counter[bytes] = Counter()
        self._lock = Lock()
        self._process = os.getpid()

    def __len__(self) -> int:
        return len(self._questions)

    async def put(self, nonce: str, key: bytes, *, client: str, seconds: float, now: float) -> None:
        """Keep a new question of a client for so long. Raises `Limited` where it has too many open."""
        # One length for all: claims can be long.
        whose = sha256(client.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            self._forget(now)
            if self._of_client[whose] >= MAX_OF_CLIENT:
                raise _too_many_open()
            if len(self._questions) >= MAX_QUESTIONS:
                raise refusal("store_unavailable", "too many questions are open")
            self._questions[nonce] = _Question(key, now + seconds, whose)
            self._of_client[whose] += 1

    async def key_of(self, nonce: str, *, now: float) -> bytes | None:
        """Its key; empty for one that was taken, None for one that is not known any more."""
        with self._lock:
            self._forget(now)
            question = self._questions.get(nonce)
            return None if question is None else question.key

    async def take(self, nonce: str, *, now: float) -> bool:
        """Take it: true once."""
        with self._lock:
            self._forget(now)
            question = self._questions.get(nonce)
            if question is None or question.key == USED:
                return False
            self._questions[nonce] = question._replace(key=USED)
            return True

    def _forget(self, now: float) -> None:
        if self._process != os.getpid():
            # Forked: what the parent asked, each of its children would let run once.
            self._questions, self._of_client, self._process = {}, Counter(), os.getpid()
        # All stand equally long, so that the first is the oldest; after a reload that is nearly so.
        while self._questions:
            nonce, oldest = next(iter(self._questions.items()))
            if oldest.until > now:
                break
            del self._questions[nonce]
            self._of_client[oldest.client] -= 1
            if not self._of_client[oldest.client]:
                del self._of_client[oldest.client]


class _Question(NamedTuple):
    key: bytes
    until: float
    client: bytes


def _too_many_open() -> Limited:
    return Limited(
        "too_many_in_flight",
        retry_after=_RETRY_AFTER,
        budget="confirmation",
        violated=("confirmation",),
        limit=f"{MAX_OF_CLIENT} in flight",
        scope="client",
    )
