"""All buckets as bytes, a few at a time, so that decisions go on meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from toolgate._pure.limiter.restored import NO_DOMAIN, Key, Shelf
from toolgate._pure.limiter.snapshot import record

if TYPE_CHECKING:
    from toolgate._pure.limiter.limiter import Limiter

__all__ = ["own_records", "restored_records"]

_COPIED: Final = 512
"""Buckets a snapshot copies while it holds the lock: a fraction of a millisecond."""


def own_records(limiter: Limiter, tick: int) -> bytes:
    """The buckets of this process, each as it was at some instant of the walk."""
    records: list[bytes] = []
    end: int | None = None
    while end != 0:
        with limiter._lock:
            end, domains = limiter._rounds.before(end, _COPIED)
        for domain in domains:
            _walk(limiter, records, Key(Shelf.DOMAIN, domain, b""), tick=tick)
    for shelf in (Shelf.SHARED, Shelf.OVERFLOW):
        _walk(limiter, records, Key(shelf, NO_DOMAIN, b""), tick=tick)
    return b"".join(records)


def _walk(limiter: Limiter, records: list[bytes], key: Key, *, tick: int) -> None:
    """Write the buckets of a table that is copied piece by piece."""
    end: int | None = None
    while end != 0:
        with limiter._lock:
            own = {Shelf.SHARED: limiter._shared, Shelf.OVERFLOW: limiter._overflow}
            table = limiter._domains.get(key.domain) if key.shelf is Shelf.DOMAIN else own[key.shelf]
            if table is None:
                return
            end, buckets = table.before(end, _COPIED)
        records += [record(key._replace(name=spot), bucket, tick) for spot, bucket in buckets]


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
