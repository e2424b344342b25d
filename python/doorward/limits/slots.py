"""Concurrency: at most so many calls in flight, each held until its tool has ended.

A count per process, without Redis: what one process runs is what it has to hold back, and a count that survives a
killed process would stay wrong until somebody corrects it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from threading import Lock

from doorward.errors import Limited

__all__ = ["Held", "Slot", "Slots"]

_RETRY_AFTER = 1.0
"""Seconds. When a tool ends nobody knows; sooner than this nobody should ask."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place among the calls in flight of one client."""

    key: str
    concurrency: int
    """How many there are."""
    budget: str
    """What the caller is told it is."""
    observe: bool = False


class Held:
    """The slots of one call, until `free`."""

    __slots__ = ("_place", "would_deny")

    def __init__(self, slots: Slots, wanted: Sequence[Slot], would_deny: tuple[str, ...]) -> None:
        self._place: _Place | None = _Place(slots, wanted)
        self.would_deny = would_deny
        """Budgets of the observed slots that were not free."""

    def shared(self) -> Held | None:
        """The same slots for a call that this one leads to: they are free when both have ended. None where this one
        has."""
        place = self._place
        if place is None:
            return None
        place.users.append(_ANOTHER)
        return copy(self)

    def free(self) -> None:
        """The call has ended; a second time does nothing."""
        place, self._place = self._place, None
        if place is not None and place.users.pop() is _FIRST:
            place.slots._free(place.wanted)


_FIRST, _ANOTHER = object(), object()


class _Place:
    """Slots that several calls may share. The first of its users lies at the bottom, so that exactly one `free` finds
    it, without a lock: a finalizer may be the one who frees."""

    __slots__ = ("slots", "users", "wanted")

    def __init__(self, slots: Slots, wanted: Sequence[Slot]) -> None:
        self.slots = slots
        self.wanted = wanted
        self.users = [_FIRST]


class Slots:
    """Calls in flight, by key. A key is held only while one of its calls is."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._freed: deque[Sequence[Slot]] = deque()
        self._lock = Lock()

    def __len__(self) -> int:
        with self._lock:
            self._collect()
            return len(self._taken)

    def take(self, wanted: Sequence[Slot]) -> Held:
        """All of them or none. Raises `Limited` where a slot is not free."""
        with self._lock:
            self._collect()
            short = [slot for slot in wanted if self._taken.get(slot.key, 0) >= slot.concurrency]
            enforced = [slot for slot in short if not slot.observe]
            if enforced:
                raise _limited(enforced)
            for slot in wanted:
                self._taken[slot.key] = self._taken.get(slot.key, 0) + 1
        return Held(self, wanted, tuple(slot.budget for slot in short))

    def _free(self, wanted: Sequence[Slot]) -> None:
        # Without the lock: a finalizer frees what its decision held, and may run while this very thread has it.
        self._freed.append(wanted)

    def _collect(self) -> None:
        while self._freed:
            for slot in self._freed.popleft():
                left = self._taken[slot.key] - 1
                if left:
                    self._taken[slot.key] = left
                else:
                    del self._taken[slot.key]


def _limited(short: Sequence[Slot]) -> Limited:
    worst = short[0]
    return Limited(
        "too_many_in_flight",
        retry_after=_RETRY_AFTER,
        budget=worst.budget,
        violated=tuple(slot.budget for slot in short),
        limit=f"{worst.concurrency} in flight",
        scope="client",
    )
