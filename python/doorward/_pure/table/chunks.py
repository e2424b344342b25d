"""A list that grows without moving what it holds. The twin of ``rust/table/chunks.rs``."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

__all__ = ["Chunks"]

_T = TypeVar("_T")

_BITS: Final = 10
"""A list of a million items is copied when it grows, one of a thousand in no time."""

_REST: Final = (1 << _BITS) - 1


class Chunks(Generic[_T]):
    """All chunks but the last are full, and only the first may be empty."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: list[list[_T]] = [[]]

    def __len__(self) -> int:
        return ((len(self._chunks) - 1) << _BITS) + len(self._chunks[-1])

    def __getitem__(self, at: int) -> _T:
        return self._chunks[at >> _BITS][at & _REST]

    def __setitem__(self, at: int, item: _T) -> None:
        self._chunks[at >> _BITS][at & _REST] = item

    def append(self, item: _T) -> None:
        """Add one."""
        last = self._chunks[-1]
        if len(last) <= _REST:
            last.append(item)
        else:
            self._chunks.append([item])

    def swap_remove(self, at: int) -> bool:
        """Remove one; the last takes its place. Says whether there was another to do so."""
        item = self._chunks[-1].pop()
        if not self._chunks[-1] and len(self._chunks) > 1:
            self._chunks.pop()
        if at == len(self):
            return False
        self[at] = item
        return True

    def before(self, end: int | None, count: int) -> tuple[int, list[_T]]:
        """At most ``count`` items before ``end``, and where the first of them is. Whoever goes through all of them from
        the last to the first misses none: a removal moves only the last."""
        end = len(self) if end is None else min(end, len(self))
        start = max(end - count, 0)
        return start, [self[at] for at in range(start, end)]
