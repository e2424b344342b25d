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

from doorward._pure.jws import token_bytes

__all__ = ["MAX_BYTES", "TokenCache"]

_T = TypeVar("_T")

MAX_BYTES: Final = 32 * 1024 * 1024
"""Half of what a gate may grow by under any flood. Ten thousand typical callers weigh as much."""

_OVERHEAD: Final = 256  # what an entry weighs beside its token and its value


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

    def put(self, token: str | bytes, value: _T, *, expires_at: float, weight: int = 0) -> None:
        """Keep a value of so many bytes until ``expires_at``."""
        if weight < 0:
            raise ValueError("weight is less than 0")
        data = token_bytes(token)
        entry = _Entry(len(data) + _OVERHEAD + weight, expires_at, value)
        digest = self._digest(data)
        evicted: list[_Entry[_T]] = []  # outlives the lock, because dropping a value may run foreign code
        with self._lock:
            if entry.weight > MAX_BYTES:
                # What was kept of the token before is no longer what it means.
                if digest in self._entries:
                    self._queue.remove(digest)
                    evicted.append(self._remove(digest))
                return
            if digest in self._entries:
                evicted.append(self._entries[digest])
                self._bytes += entry.weight - evicted[0].weight
                self._entries[digest] = entry
                # It may have become heavier.
                self._make_room(evicted, self._max_entries, MAX_BYTES)
                return
            self._make_room(evicted, self._max_entries - 1, MAX_BYTES - entry.weight)
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

    def _make_room(self, evicted: list[_Entry[_T]], entries: int, size: int) -> None:
        """Evicts until no more than so many entries and bytes are left."""
        while len(self._entries) > entries or self._bytes > size:
            evicted.append(self._evict())

    def _remove(self, digest: bytes) -> _Entry[_T]:
        entry = self._entries.pop(digest)
        self._bytes -= entry.weight
        return entry

    def _evict(self) -> _Entry[_T]:
        """Removes the first of the queue that was not seen again since its last judgement."""
        while True:
            digest = self._queue.popleft()
            entry = self._entries[digest]
            if not entry.seen_again:
                return self._remove(digest)
            entry.seen_again = False
            self._queue.append(digest)
