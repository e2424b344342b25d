"""Buckets by domain and key: admit all or nothing, refund, settle.

The twin of ``rust/limiter.rs``, where the essay stands; here one table and one lock are all there is. A bucket that is
not full is never dropped: newcomers that find no room spend, together with others, from an overflow bucket of the same
limit, or are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import index
from threading import Lock
from typing import Final, final

from doorward._pure.bucket import Bucket, Rate
from doorward._pure.charge import MAX_COST, SECRET, Charge, check_length, name, whole
from doorward._pure.limiter.charges import Charges
from doorward._pure.limiter.denied import limited
from doorward._pure.limiter.item import Grant, Item, Place, check_tick, spend
from doorward._pure.limiter.restored import MAX_GENERATIONS, Generation, Restored, Shelf, stripe_of
from doorward._pure.limiter.snapshot import read_snapshot, write_snapshot
from doorward._pure.limiter.walk import own_records, restored_records
from doorward._pure.table import Table

__all__ = ["Limiter"]

MAX_KEYS: Final = 100_000_000
"""Some ten gigabytes of buckets in the native core."""

_MAX_OVERFLOW: Final = 4_096
"""All stripes of 64 different limits; whoever configures more and overflows is refused."""

_SWEEP: Final = 8
"""Slots looked at after a decision that added some: more than a usual decision adds."""

_PIECE: Final = 1 << 16
"""Bytes of a snapshot that are handed out at once."""


@final
class Limiter:
    """Token buckets by domain and key."""

    __slots__ = (
        "_counts_overflow",
        "_held",
        "_initial",
        "_lock",
        "_max_keys",
        "_overflow",
        "_overflowed",
        "_own",
        "_restored",
        "_shared",
    )

    def __init__(self, *, max_keys: int = 100_000, overflow: bool = True, initial: int | None = None) -> None:
        if not 1 <= index(max_keys) <= MAX_KEYS:
            raise ValueError(f"max_keys is between 1 and {MAX_KEYS}")
        if not isinstance(overflow, bool):
            raise TypeError("overflow is a bool")
        if initial is not None and not 0 <= index(initial) <= MAX_COST:
            raise ValueError(f"initial is between 0 and {MAX_COST}")
        self._lock = Lock()
        self._own = Table()
        self._shared = Table()
        self._overflow = Table()
        self._restored = Restored()
        self._held = 0
        self._overflowed = 0
        self._max_keys = index(max_keys)
        self._counts_overflow = overflow
        self._initial = None if initial is None else index(initial)

    def admit(self, *, domain: str, charges: Sequence[Charge], tick: int) -> Grant:
        """Spend all charges or none."""
        charges = Charges.of(charges)
        check_length("a domain", domain)
        check_tick(index(tick))
        hashed = name(domain.encode())
        with self._lock:
            if self._held >= self._max_keys:
                self._expire(tick)
            if self._held >= self._max_keys:
                self._held -= self._own.sweep(_SWEEP, tick)
            place = Place(domain, hashed, tick)
            items, order = self._gather(place, charges)
            refused = spend(items, tick)
            self._store(place, items, refused=refused)
            if place.grew:
                self._expire(tick)
        if refused:
            raise limited(charges, items, order, tick=tick)
        return Grant(self, items=items, order=order, charges=charges, tick=tick)

    def refund(self, grant: Grant) -> None:
        """Give back what a call spent that never started, as far as the time since has not given it back. A grant is
        refunded or settled once in all; again does nothing."""
        with self._lock:
            for item in self._closing(grant):
                self._give(grant, item, item.cost)

    def settle(self, grant: Grant, actual: int, *, tick: int) -> None:
        """Each charge of the grant that cost something costs ``actual`` instead. What that is less is given back like
        a refund; what it is more is taken now, from a bucket that may be in debt then."""
        check_tick(index(tick))
        actual = whole(actual)
        if actual > MAX_COST:
            raise ValueError(f"an actual cost is between 0 and {MAX_COST}")
        with self._lock:
            for item in self._closing(grant):
                more = item.paying * actual - item.cost
                if more > 0:
                    self._force(item, more, tick=tick)
                else:
                    self._give(grant, item, -more)

    def snapshot(self, *, tick: int) -> bytes:
        """All buckets that are not full, each as it was at some instant of the walk."""
        check_tick(index(tick))
        # What was restored first: a bucket that is asked for meanwhile moves to the tables, not from them.
        restored = restored_records(self, tick)
        return write_snapshot([(SECRET, own_records(self, tick)), *restored])

    def snapshot_pieces(self, *, tick: int) -> Iterator[bytes]:
        """The same in pieces."""
        data = self.snapshot(tick=tick)
        return iter([data[at : at + _PIECE] for at in range(0, len(data), _PIECE)])

    def restore(self, data: bytes, *, tick: int, elapsed: int) -> None:
        """Take up what an earlier process wrote, ``elapsed`` nanoseconds later. If there is not room for all, those
        that would be full first are left out."""
        check_tick(index(tick))
        elapsed = max(index(elapsed), 0)
        read = read_snapshot(data)
        with self._lock:
            restored = self._restored
            known = len(restored.generations)
            if known + len(read) > MAX_GENERATIONS:
                raise ValueError("too many snapshots were restored here already")
            order = [
                (tick + backlog - elapsed, at, key, rate)
                for at, (_, buckets) in enumerate(read, known)
                for key, backlog, rate in buckets
                if backlog > elapsed and (key.shelf is not Shelf.OVERFLOW or self._counts_overflow)
            ]
            order.sort(key=lambda bucket: -bucket[0])
            restored.generations += [Generation(secret, {}) for secret, _ in read]
            overflow = 0
            for full_at, at, key, rate in order:
                buckets = restored.generations[at].buckets
                if key in buckets:
                    continue
                if key.shelf is Shelf.OVERFLOW:
                    overflow += 1
                    if overflow > _MAX_OVERFLOW:
                        continue
                elif not self._reserve():
                    continue
                buckets[key] = Bucket.lacking(rate, full_at - tick, tick)
                restored.order.append((full_at, at, key))
            restored.order.sort(key=lambda bucket: -bucket[0])

    @property
    def overflowed(self) -> int:
        """Charges of newcomers for which there was no room."""
        return self._overflowed

    def __len__(self) -> int:
        """Buckets held; the overflow is not counted."""
        return self._held

    def _gather(self, place: Place, charges: Sequence[Charge]) -> tuple[list[Item], list[Item]]:
        """The buckets of these charges, each once, and the one of each charge."""
        known: dict[bytes, Item] = {}
        items: list[Item] = []
        order: list[Item] = []
        for charge in charges:
            item = known.get(charge._name)
            if item is None:
                item = self._place(place, charge)
                # Newcomers of one limit meet in one overflow bucket, within a call too.
                item = known.setdefault(item.spot, item)
                if not item.order:
                    items.append(item)
                known[charge._name] = item
            item.cost += charge._cost
            item.paying += charge._cost > 0
            item.order += 1
            order.append(item)
        return items, order

    def _place(self, place: Place, charge: Charge) -> Item:
        """The bucket of a charge, a new one if there is room for it, or what a newcomer gets."""
        rate = charge._rate
        shelf = Shelf.SHARED if charge._shared else Shelf.DOMAIN
        home = self._shared if charge._shared else self._own
        spot = charge._name if charge._shared else place.domain + charge._name
        found = self._find(place, shelf, home, charge, spot=spot)
        if found is not None:
            return Item(shelf, home, spot, found[1], slot=found[0], observe=charge._observe)
        if self._reserve():
            fresh = self._fresh(rate, place.tick)
            return Item(shelf, home, spot, fresh, reserved=True, observe=charge._observe)
        self._overflowed += 1
        if not self._counts_overflow:
            return Item(None, None, charge._name, Bucket.full(rate), uncounted=True, observe=charge._observe)
        spot = charge._overflow + stripe_of(place.domain, shared=charge._shared)
        found = self._find(place, Shelf.OVERFLOW, self._overflow, charge, spot=spot)
        if found is not None:
            return Item(Shelf.OVERFLOW, self._overflow, spot, found[1], slot=found[0], observe=charge._observe)
        if len(self._overflow) < _MAX_OVERFLOW:
            fresh = self._fresh(rate, place.tick)
            return Item(Shelf.OVERFLOW, self._overflow, spot, fresh, observe=charge._observe)
        return Item(None, None, spot, Bucket.full(rate), observe=charge._observe)

    def _find(
        self, place: Place, shelf: Shelf, table: Table, charge: Charge, *, spot: bytes
    ) -> tuple[int, Bucket] | None:
        """The bucket of this name, which may still lie where a restart put it."""
        found = table.find(spot, charge._rate, place.tick)
        if found is None and self._restored.order:
            restored = self._restored.take(shelf, charge, place.text)
            if restored is not None:
                place.grew = True
                table.insert(spot, restored)
                found = table.find(spot, charge._rate, place.tick)
        return found

    def _reserve(self) -> bool:
        """Make room for one bucket, if there is any."""
        room = self._held < self._max_keys
        self._held += room
        return room

    def _fresh(self, rate: Rate, tick: int) -> Bucket:
        """A bucket nobody has used."""
        return Bucket.full(rate) if self._initial is None else Bucket.holding(rate, self._initial, tick)

    def _store(self, place: Place, items: list[Item], *, refused: bool) -> None:
        """Store what was spent, and give back the room nobody needs."""
        for item in items:
            after = self._untouched(item, place.tick) if refused or not item.cost else item.bucket
            if after is None:
                self._held -= item.reserved
            elif item.table is None:
                continue
            elif item.slot is not None:
                item.table.set(item.slot, item.spot, after)
            else:
                item.table.insert(item.spot, after)
                place.grew = True
        if place.grew:
            self._clean(items, place.tick)

    def _clean(self, items: list[Item], tick: int) -> None:
        """A few slots of whatever has grown."""
        self._held -= self._own.sweep(_SWEEP, tick)
        if any(item.shelf is not Shelf.DOMAIN and not item.uncounted for item in items):
            self._held -= self._shared.sweep(_SWEEP, tick)
            self._overflow.sweep(_SWEEP, tick)

    def _untouched(self, item: Item, tick: int) -> Bucket | None:
        """What is stored of a bucket that gives nothing: one that began with less than it holds, or it would begin
        again with each call, and never hold what is asked of it."""
        if item.slot is not None or not (item.cost or item.short):
            return None
        fresh = self._fresh(item.bucket.rate, tick)
        return fresh if fresh.full_at > tick else None

    def _closing(self, grant: Grant) -> list[Item]:
        """What the grant spent, the first time it is asked."""
        if not isinstance(grant, Grant):
            raise TypeError("what is refunded or settled is a Grant")
        if grant._limiter is not self:
            raise ValueError("the grant is another limiter's")
        if grant._closed:
            return []
        grant._closed = True
        return [item for item in grant._items if item.cost and item.table is not None]

    def _give(self, grant: Grant, item: Item, back: int) -> None:
        found = None if item.table is None else item.table.get(item.spot)
        # What was swept meanwhile is full as it is.
        if item.table is not None and found is not None:
            given = found[1].give(back, cost=item.cost, tick=grant._tick, then=item.bucket)
            item.table.set(found[0], item.spot, given)

    def _force(self, item: Item, more: int, *, tick: int) -> None:
        if item.table is None:
            return
        found = item.table.get(item.spot)
        if found is not None:
            item.table.set(found[0], item.spot, found[1].unless_full(item.bucket.rate, tick).force(more, tick))
        elif len(self._overflow) < _MAX_OVERFLOW if item.shelf is Shelf.OVERFLOW else self._reserve():
            item.table.insert(item.spot, self._fresh(item.bucket.rate, tick).force(more, tick))

    def _expire(self, tick: int) -> None:
        """Drop a few buckets of earlier processes that are full by now."""
        if self._restored.order:
            self._held -= self._restored.expire(_SWEEP, tick)
