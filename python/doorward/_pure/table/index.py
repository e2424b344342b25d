"""A dict by hashed name that never doubles. The twin of ``rust/table/index.rs``."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

__all__ = ["Index"]

_T = TypeVar("_T")

_FILL: Final = 512
"""Names a bin holds on average: moving half of twice as many takes a fraction of a millisecond."""

_WITHIN: Final = 20
"""The bits of a hash by which the dict of a bin finds a name, or all names of a bin would meet in it."""


class Index(Generic[_T]):
    """A dict by hashed name, in bins that split one at a time (linear hashing): a dict of a million names doubles, and
    whoever brings the next would wait for 60 ms."""

    __slots__ = ("_bins", "_half", "_len", "_mask")

    def __init__(self) -> None:
        self._bins: list[dict[bytes, _T]] = [{}]
        self._len = 0
        self._mask = self._half = 0
        """The bits that tell the bins apart, and those that do for bins not split yet."""

    def get(self, name: bytes) -> _T | None:
        """What this name has."""
        # A small one has one bin: most tables are small.
        return self._bin(name).get(name) if self._mask else self._bins[0].get(name)

    def __setitem__(self, name: bytes, value: _T) -> None:
        known = self._bin(name)
        before = len(known)
        known[name] = value
        self._len += len(known) - before
        if self._len > _FILL * len(self._bins):
            self._split()

    def __delitem__(self, name: bytes) -> None:
        del self._bin(name)[name]
        self._len -= 1

    def __len__(self) -> int:
        return self._len

    def _bin(self, name: bytes) -> dict[bytes, _T]:
        at = hash(name) >> _WITHIN & self._mask
        return self._bins[at if at < len(self._bins) else at & self._half]

    def _split(self) -> None:
        new = len(self._bins)
        if new > self._mask:
            self._half, self._mask = self._mask, 2 * self._mask + 1
        old = self._bins[new & self._half]
        moved = {name: old[name] for name in old if hash(name) >> _WITHIN & self._mask == new}
        for name in moved:
            del old[name]
        self._bins.append(moved)
