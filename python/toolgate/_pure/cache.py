"""What verified tokens were found to mean: bounded in entries and bytes, expiry checked on every hit.

A token is known by a keyed 128-bit hash of all its bytes, so the cache holds no token that could leak, and nobody
without the key can make two tokens collide. Eviction gives a second chance to what was seen again, so a flood of new
tokens passes through beside those in use.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock
from typing import Final, Generic, TypeVar, final

from toolgate._pure.jws import token_bytes

__all__ = ["MAX_BYTES", "TokenCache"]

_T = TypeVar("_T")

MAX_BYTES: Final = 64 * 1024 * 1024
"""A value is about as large as its token, or some small multiple of it. Ten thousand typical tokens weigh 10 MiB."""

_OVERHEAD: Final = 256  # what an entry weighs beside its token


@dataclass(slots=True)
class _Entry(Generic[_T]):
    weight: int
    expires_at: float
    value: _T
    seen_again: bool = False


@final
class TokenCache(Generic[_T]):
    """A bounded cache."""

    def __init__(self, *, max_entries: int = 10_000) -> None:
        if max_entries <= 0:
            raise ValueError("max_entries is 0")
        self._max_entries = max_entries
        self._key = secrets.token_bytes(16)
        self._lock = Lock()
        self._entries: dict[bytes, _Entry[_T]] = {}
        self._queue: deque[bytes] = deque()  # each entry once, the next to be judged first
        self._bytes = 0

    def get(self, token: str | bytes, *, now: float) -> _T | None:
        """What was kept for exactly this token, unless it has expired."""
        entry = self._entries.get(self._digest(token_bytes(token)))
        if entry is None or not entry.expires_at > now:
            return None
        entry.seen_again = True
        return entry.value

    def put(self, token: str | bytes, value: _T, *, expires_at: float) -> None:
        """Keep a value until ``expires_at``."""
        data = token_bytes(token)
        entry = _Entry(len(data) + _OVERHEAD, expires_at, value)
        if entry.weight > MAX_BYTES:
            return
        digest = self._digest(data)
        evicted: list[_Entry[_T] | None] = []  # outlives the lock, because dropping a value may run foreign code
        with self._lock:
            if digest in self._entries:
                evicted.append(self._entries[digest])
            else:
                while len(self._entries) >= self._max_entries or self._bytes + entry.weight > MAX_BYTES:
                    evicted.append(self._evict())
                self._queue.append(digest)
                self._bytes += entry.weight
            self._entries[digest] = entry

    def clear(self) -> None:
        """Empty the cache."""
        with self._lock:
            emptied = (self._entries, self._queue)
            self._entries, self._queue, self._bytes = {}, deque(), 0
        del emptied

    def __len__(self) -> int:
        return len(self._entries)

    def _digest(self, token: bytes) -> bytes:
        return blake2b(token, key=self._key, digest_size=16).digest()

    def _evict(self) -> _Entry[_T]:
        """Removes the first of the queue that was not seen again since its last judgement."""
        while True:
            digest = self._queue.popleft()
            entry = self._entries[digest]
            if not entry.seen_again:
                del self._entries[digest]
                self._bytes -= entry.weight
                return entry
            entry.seen_again = False
            self._queue.append(digest)
