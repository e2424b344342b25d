"""Buckets by hashed name, cleaned a few slots at a time.

The twin of ``rust/table.rs``.
"""

from __future__ import annotations

from doorward._pure.bucket import Bucket, Rate
from doorward._pure.table.chunks import Chunks
from doorward._pure.table.index import Index

__all__ = ["Table"]


class Table:
    """Buckets, and where the cleaning stopped."""

    __slots__ = ("_cursor", "_index", "_slots")

    def __init__(self) -> None:
        self._index: Index[int] = Index()
        # Beside the index, because only a list can be swept from where the last sweep stopped.
        self._slots: Chunks[tuple[bytes, Bucket]] = Chunks()
        self._cursor = 0

    def find(self, name: bytes, rate: Rate, now: int) -> tuple[int, Bucket] | None:
        """The slot and the bucket of this name, under ``rate`` from now on. A limit that admits nothing converts
        nothing: it would forget what was consumed."""
        at = self._index.get(name)
        if at is None:
            return None
        bucket = self._slots[at][1]
        if bucket.rate != rate:
            if rate.burst == 0:
                return at, Bucket.full(rate)
            bucket = bucket.convert(rate, now)
            self._slots[at] = (name, bucket)
        return at, bucket

    def set(self, at: int, name: bytes, bucket: Bucket) -> None:
        """Store what `find` found."""
        self._slots[at] = (name, bucket)

    def insert(self, name: bytes, bucket: Bucket) -> None:
        """Store what `find` did not find."""
        self._index[name] = len(self._slots)
        self._slots.append((name, bucket))

    def get(self, name: bytes) -> tuple[int, Bucket] | None:
        """The slot and the bucket of this name, as it is."""
        at = self._index.get(name)
        return None if at is None else (at, self._slots[at][1])

    def before(self, end: int | None, count: int) -> tuple[int, list[tuple[bytes, Bucket]]]:
        """At most ``count`` of the buckets before the slot ``end``, and the slot of the first of them."""
        return self._slots.before(end, count)

    def sweep(self, count: int, now: int) -> int:
        """Look at the next ``count`` slots and drop those whose buckets are full: nobody can tell them from new ones.
        Returns how many were dropped."""
        before = len(self._slots)
        for _ in range(min(count, before)):
            if self._cursor >= len(self._slots):
                self._cursor = 0
            if len(self._slots) == 0:
                break
            if self._slots[self._cursor][1].full_at <= now:
                self._remove(self._cursor)
            else:
                self._cursor += 1
        return before - len(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def _remove(self, at: int) -> None:
        del self._index[self._slots[at][0]]
        if self._slots.swap_remove(at):
            self._index[self._slots[at][0]] = at
