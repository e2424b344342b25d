"""Domains of buckets: admit all or nothing, refund.

The twin of ``rust/limiter.rs``, where the essay stands; here one lock is all there is. A bucket that is not full is
never dropped: newcomers that find no room spend, together with others, from an overflow bucket of the same limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import index
from threading import Lock
from typing import Final, final

from toolgate._pure.bucket import Bucket
from toolgate._pure.charge import Charge, check_length, name
from toolgate._pure.table import Table
from toolgate.errors import Limited

__all__ = ["Grant", "Limiter"]

MAX_CHARGES: Final = 64
"""More than any policy charges one call for."""

MAX_KEYS: Final = 100_000_000
"""Some ten gigabytes of buckets in the native core."""

MAX_TICK: Final = 2**63 - 1
"""The last tick that is one: 292 years."""

_STRIPES: Final = 64
"""Enough that the flood of one domain rarely meets another's newcomers."""

_MAX_OVERFLOW: Final = 4_096
"""All stripes of 64 different limits; whoever configures more and overflows is refused."""

_SWEEP: Final = 8
"""Slots looked at after a decision that added some: more than a usual decision adds."""


@final
class Grant:
    """An admission, and what it takes to undo it."""

    __slots__ = ("_domain", "_items", "_limiter", "_order", "_refunded", "_tick", "_would_deny")

    def __init__(
        self,
        limiter: Limiter,
        domain: bytes,
        *,
        items: list[_Item],
        order: list[_Item],
        charges: Sequence[Charge],
        tick: int,
    ) -> None:
        self._limiter = limiter
        self._domain = domain
        self._items = items
        self._order = order
        self._tick = tick
        self._refunded = False
        self._would_deny = _violated(charges, order)

    @property
    def remaining(self) -> tuple[int, ...]:
        """Whole tokens left, in the order of the charges."""
        return tuple(item.bucket.remaining(self._tick) for item in self._order)

    @property
    def would_deny(self) -> tuple[str, ...]:
        """Keys of the observed charges that would have refused."""
        return self._would_deny


@final
class Limiter:
    """Token buckets by domain and key."""

    __slots__ = ("_cursor", "_domains", "_held", "_lock", "_max_keys", "_overflow", "_rounds", "_shared")

    def __init__(self, *, max_keys: int = 100_000) -> None:
        if not 1 <= index(max_keys) <= MAX_KEYS:
            raise ValueError(f"max_keys is between 1 and {MAX_KEYS}")
        self._lock = Lock()
        self._domains: dict[bytes, Table] = {}
        self._shared = Table()
        self._overflow = Table()
        self._rounds: list[bytes] = []
        self._cursor = 0
        self._held = 0
        self._max_keys = index(max_keys)

    def admit(self, *, domain: str, charges: Sequence[Charge], tick: int) -> Grant:
        """Spend all charges or none."""
        charges = tuple(charges)
        _check(domain, charges, index(tick))
        hashed = name(domain.encode())
        with self._lock:
            if self._held >= self._max_keys:
                self._sweep(tick)
            table = self._domains.get(hashed)
            founded = table is None
            if table is None:
                table = Table()
            elif self._held >= self._max_keys:
                self._held -= table.sweep(_SWEEP, tick)
            items, order = self._gather(hashed, table, charges, tick=tick)
            refused = _spend(items, tick)
            grew = self._store(items, refused=refused, tick=tick)
            if founded and len(table) > 0:
                self._domains[hashed] = table
                self._rounds.append(hashed)
            if grew:
                self._sweep(tick)
        if refused:
            raise _limited(charges, items, order)
        return Grant(self, hashed, items=items, order=order, charges=charges, tick=tick)

    def refund(self, grant: Grant) -> None:
        """Give back what a call spent that never started; a second time does nothing."""
        if not isinstance(grant, Grant):
            raise TypeError("a refund needs a Grant")
        if grant._limiter is not self:
            raise ValueError("the grant is another limiter's")
        with self._lock:
            if grant._refunded:
                return
            grant._refunded = True
            for item in grant._items:
                # A domain's table that was swept away has only full buckets; its successor is the one to credit.
                table = self._domains.get(grant._domain) if item.home else item.table
                if table is not None and item.cost:
                    table.refund(item.spot, item.cost)

    def __len__(self) -> int:
        """Buckets held; the overflow is not counted."""
        return self._held

    def _gather(
        self, domain: bytes, table: Table, charges: tuple[Charge, ...], *, tick: int
    ) -> tuple[list[_Item], list[_Item]]:
        """The buckets of these charges, each once, and the one of each charge."""
        known: dict[bytes, _Item] = {}
        items: list[_Item] = []
        order: list[_Item] = []
        for charge in charges:
            item = known.get(charge._name)
            if item is None:
                item = self._place(domain, table, charge, tick)
                # Newcomers of one limit meet in one overflow bucket, within a call too.
                item = known.setdefault(item.spot, item)
                if not item.order:
                    items.append(item)
                known[charge._name] = item
            item.cost += charge._cost
            item.order += 1
            order.append(item)
        return items, order

    def _place(self, domain: bytes, table: Table, charge: Charge, tick: int) -> _Item:
        rate = charge._rate
        home = self._shared if charge._shared else table
        found = home.find(charge._name, rate, tick)
        if found is not None:
            return _Item(home, charge._name, found[1], slot=found[0], home=home is table, observe=charge._observe)
        if self._held < self._max_keys:
            self._held += 1
            return _Item(
                home, charge._name, Bucket.full(rate), reserved=True, home=home is table, observe=charge._observe
            )
        stripe = _STRIPES if charge._shared else domain[0] % _STRIPES
        spot = charge._overflow + bytes([stripe])
        found = self._overflow.find(spot, rate, tick)
        if found is not None:
            return _Item(self._overflow, spot, found[1], slot=found[0], observe=charge._observe)
        room = len(self._overflow) < _MAX_OVERFLOW
        return _Item(self._overflow if room else None, spot, Bucket.full(rate), observe=charge._observe)

    def _store(self, items: list[_Item], *, refused: bool, tick: int) -> bool:
        """Store what was spent, and give back the room nobody needs. Says whether anything was added."""
        grew = False
        for item in items:
            if refused or not item.cost:
                self._held -= item.reserved
            elif item.table is None:
                continue
            elif item.slot is not None:
                item.table.set(item.slot, item.bucket)
            else:
                item.table.insert(item.spot, item.bucket)
                grew = True
        if grew and not all(item.home for item in items):
            self._held -= self._shared.sweep(_SWEEP, tick)
            self._overflow.sweep(_SWEEP, tick)
        return grew

    def _sweep(self, tick: int) -> None:
        """Clean a few slots of the next domains."""
        slots = _SWEEP
        for _ in range(_SWEEP):
            if not self._rounds or slots == 0:
                return
            self._cursor = self._cursor + 1 if self._cursor + 1 < len(self._rounds) else 0
            domain = self._rounds[self._cursor]
            table = self._domains[domain]
            looked = min(slots, len(table))
            slots -= looked
            self._held -= table.sweep(looked, tick)
            if len(table) == 0:
                del self._domains[domain]
                last = self._rounds.pop()
                if self._cursor < len(self._rounds):
                    self._rounds[self._cursor] = last


@dataclass(slots=True, eq=False)
class _Item:
    """One bucket of a call, and what came of it. Without a table the overflow is full too."""

    table: Table | None
    spot: bytes
    bucket: Bucket
    slot: int | None = None
    reserved: bool = False
    home: bool = False
    observe: bool = False
    cost: int = 0
    order: int = 0
    short: bool = False
    wait: int | None = field(default=None)


def _check(domain: str, charges: tuple[Charge, ...], tick: int) -> None:
    """Refuse what cannot be decided."""
    check_length("a domain", domain)
    if not all(isinstance(charge, Charge) for charge in charges):
        raise TypeError("charges is a sequence of Charge")
    if len(charges) > MAX_CHARGES:
        raise ValueError(f"one call has at most {MAX_CHARGES} charges")
    if not 0 <= tick <= MAX_TICK:
        raise ValueError(f"a tick is between 0 and {MAX_TICK}")
    limits: dict[bytes, Charge] = {}
    for charge in charges:
        other = limits.setdefault(charge._name, charge)
        if other._rate != charge._rate:
            raise ValueError(f"one bucket cannot have two limits in one call: {other._limit} and {charge._limit}")


def _spend(items: Iterable[_Item], tick: int) -> bool:
    """Take from each bucket what the call costs there. Says whether an enforced one is short."""
    refused = False
    for item in items:
        after = item.bucket.spend(item.cost, tick)
        if isinstance(after, Bucket):
            if item.table is not None or item.cost == 0:
                item.bucket = after
                continue
            after = item.bucket.rate.period
        item.short = True
        item.wait = after
        item.cost = 0
        refused = refused or not item.observe
    return refused


def _limited(charges: tuple[Charge, ...], items: list[_Item], order: list[_Item]) -> Limited:
    enforced = [item for item in items if item.short and not item.observe]
    worst = max(enforced, key=lambda item: math.inf if item.wait is None else item.wait)
    return Limited(
        "cost_exceeds_limit" if worst.wait is None else "rate_limited",
        retry_after=None if worst.wait is None else _seconds(worst.wait),
        budget=charges[order.index(worst)]._key,
        violated=_violated(charges, [item if not item.observe else None for item in order]),
    )


def _violated(charges: Sequence[Charge], order: Sequence[_Item | None]) -> tuple[str, ...]:
    """Keys of the charges in whose buckets something was short, each once."""
    short = (charge._key for charge, item in zip(charges, order, strict=True) if item is not None and item.short)
    return tuple(dict.fromkeys(short))


def _seconds(nanoseconds: int) -> float:
    """Seconds, never less than the exact time."""
    seconds = nanoseconds / 1_000_000_000
    numerator, denominator = seconds.as_integer_ratio()
    early = numerator * 1_000_000_000 < nanoseconds * denominator
    return math.nextafter(seconds, math.inf) if early else seconds
