"""One bucket of a call and what came of it, and the grant of them all. The twin of ``rust/limiter/item.rs``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from doorward._pure.bucket import Bucket
from doorward._pure.charge import Charge
from doorward._pure.limiter.restored import Shelf
from doorward._pure.table import Table

if TYPE_CHECKING:
    from doorward._pure.limiter.limiter import Limiter

__all__ = ["MAX_TICK", "Grant", "Item", "Place", "check_tick", "spend", "violated"]

MAX_TICK: Final = 2**63 - 1
"""The last tick that is one: 292 years."""


@final
class Grant:
    """An admission, and what it takes to undo it."""

    __slots__ = ("_closed", "_items", "_limiter", "_order", "_tick", "_would_deny")

    def __init__(
        self,
        limiter: Limiter,
        *,
        items: list[Item],
        order: list[Item],
        charges: Sequence[Charge],
        tick: int,
    ) -> None:
        self._limiter = limiter
        self._items = items
        self._order = order
        self._tick = tick
        self._closed = False
        self._would_deny = violated(charges, order)

    @property
    def remaining(self) -> tuple[int, ...]:
        """Whole tokens left, in the order of the charges."""
        return tuple(item.bucket.remaining(self._tick) for item in self._order)

    @property
    def would_deny(self) -> tuple[str, ...]:
        """Keys of the observed charges that would have refused."""
        return self._would_deny


@dataclass(slots=True)
class Place:
    """Where and when one decision is made."""

    text: str
    """The domain as the caller calls it, for its names under earlier secrets,"""
    domain: bytes
    """and its name under this one."""
    tick: int
    grew: bool = False
    """Whether any bucket was added."""


@dataclass(slots=True, eq=False)
class Item:
    """One bucket of a call, and what came of it. Without a table the overflow is full too, unless nobody counts."""

    shelf: Shelf | None
    table: Table | None
    spot: bytes
    bucket: Bucket
    slot: int | None = None
    reserved: bool = False
    uncounted: bool = False
    observe: bool = False
    cost: int = 0
    paying: int = 0
    order: int = 0
    short: bool = False
    wait: int | None = field(default=None)

    def remaining(self, now: int) -> int:
        """Whole tokens left; none where there was no room for a bucket."""
        if self.table is None and not self.uncounted:
            return 0
        return self.bucket.remaining(now)


def check_tick(tick: int) -> None:
    if not 0 <= tick <= MAX_TICK:
        raise ValueError(f"a tick is between 0 and {MAX_TICK}")


def spend(items: Iterable[Item], tick: int) -> bool:
    """Take from each bucket what the call costs there. Says whether an enforced one is short."""
    refused = False
    for item in items:
        after = item.bucket.spend(item.cost, tick)
        if isinstance(after, Bucket):
            if item.table is not None or item.uncounted or item.cost == 0:
                item.bucket = after
                continue
            after = item.bucket.rate.period
        item.short = True
        item.wait = after
        item.cost = 0
        refused = refused or not item.observe
    return refused


def violated(charges: Sequence[Charge], order: Sequence[Item | None]) -> tuple[str, ...]:
    """Keys of the charges in whose buckets something was short, each once."""
    short = (charge._key for charge, item in zip(charges, order, strict=True) if item is not None and item.short)
    return tuple(dict.fromkeys(short))
