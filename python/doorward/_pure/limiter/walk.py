"""All buckets as bytes, a few at a time, so that decisions go on meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from doorward._pure.limiter.restored import Key, Shelf
from doorward._pure.limiter.snapshot import record

if TYPE_CHECKING:
    from doorward._pure.limiter.limiter import Limiter

__all__ = ["own_records", "restored_records"]

_COPIED: Final = 512
"""Buckets a snapshot copies while it holds the lock: a fraction of a millisecond."""


def own_records(limiter: Limiter, tick: int) -> bytes:
    """The buckets of this process, each as it was at some instant of the walk."""
    records: list[bytes] = []
    own = {Shelf.DOMAIN: limiter._own, Shelf.SHARED: limiter._shared, Shelf.OVERFLOW: limiter._overflow}
    for shelf, table in own.items():
        end: int | None = None
        while end != 0:
            with limiter._lock:
                end, buckets = table.before(end, _COPIED)
            records += [record(Key(shelf, spot), bucket, tick) for spot, bucket in buckets]
    return b"".join(records)


def restored_records(limiter: Limiter, tick: int) -> list[tuple[bytes, bytes]]:
    """The buckets of earlier processes that nobody has asked for, under their secrets."""
    restored = limiter._restored
    with limiter._lock:
        generations: list[tuple[bytes, list[bytes]]] = [(secret, []) for secret, _ in restored.generations]
        end = len(restored.order)
    # From the last to the first, as only the last are dropped.
    while end > 0:
        with limiter._lock:
            end = min(end, len(restored.order))
            start = max(end - _COPIED, 0)
            for _, at, key in restored.order[start:end]:
                bucket = restored.generations[at].buckets.get(key)
                if bucket is not None:
                    generations[at][1].append(record(key, bucket, tick))
        end = start
    return [(secret, b"".join(records)) for secret, records in generations if any(records)]
