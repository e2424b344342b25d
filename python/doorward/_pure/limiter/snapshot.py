"""What a limiter knows as bytes. The twin of ``rust/limiter/snapshot.rs``, where the form is told.

The names of the two are hashed in two ways, so that neither can use what the other wrote; the first line says whose it
is.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from struct import Struct, error, unpack_from
from typing import Final

from doorward._pure.bucket import MAX_DEBT, MAX_INSTANCES, MAX_LIMIT, Bucket, Rate
from doorward._pure.limiter.restored import MAX_GENERATIONS, Key, Shelf

__all__ = ["read_snapshot", "record", "write_snapshot"]

_FIRST_LINE: Final = b"doorward limiter 2 python\n"
"""The version and the implementation: another one's first line differs."""

_MAX_PERIOD: Final = 2 * 86_400 * 1_000_000_000 * MAX_INSTANCES
"""The longest period there is: one token in two days, of as many processes as there can be."""

_RECORD: Final = Struct(">c32sQQQ")
"""Shelf, name, backlog, period, burst."""

_NAME_BYTES: Final = {Shelf.DOMAIN: 32, Shelf.SHARED: 16, Shelf.OVERFLOW: 17}
"""Of a domain's bucket the domain's and its own, of an overflow bucket its own and its stripe."""


def record(key: Key, bucket: Bucket, tick: int) -> bytes:
    """The bytes of one bucket; none for one that is full."""
    backlog = bucket.full_at - tick
    if backlog <= 0:
        return b""
    return _RECORD.pack(key.shelf.value, key.name, backlog, *bucket.rate)


def write_snapshot(generations: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The secrets, each with its records, the latest first."""
    kept = list(generations)[:MAX_GENERATIONS]
    parts = [_FIRST_LINE, bytes([len(kept)])]
    for secret, records in kept:
        parts += (secret, (len(records) // _RECORD.size).to_bytes(4, "big"), records)
    written = b"".join(parts)
    return written + sha256(written).digest()


def read_snapshot(data: bytes) -> list[tuple[bytes, list[tuple[Key, int, Rate]]]]:
    """The secrets, each with its buckets: key, backlog and rate. Raises `ValueError`."""
    if not isinstance(data, bytes):
        raise TypeError("a snapshot is bytes")
    if not data.startswith(_FIRST_LINE):
        raise ValueError("not a limiter's snapshot, or one of another version or implementation")
    if sha256(data[:-32]).digest() != data[-32:] or len(data) < len(_FIRST_LINE) + 33:
        raise ValueError("the snapshot is torn or damaged")
    try:
        return _read(data[len(_FIRST_LINE) : -32])
    except (error, ValueError, IndexError):
        raise ValueError("the snapshot is torn or damaged") from None


def _read(data: bytes) -> list[tuple[bytes, list[tuple[Key, int, Rate]]]]:
    if data[0] > MAX_GENERATIONS:
        raise ValueError
    at, read = 1, []
    for _ in range(data[0]):
        secret, count = unpack_from(">16sI", data, at)
        at += 20
        end = at + count * _RECORD.size
        if end > len(data):
            raise ValueError
        read.append((secret, [_bucket(*fields) for fields in _RECORD.iter_unpack(data[at:end])]))
        at = end
    if at != len(data):
        raise ValueError
    return read


def _bucket(shelf: bytes, name: bytes, *numbers: int) -> tuple[Key, int, Rate]:
    backlog, period, burst = numbers
    kind = Shelf(shelf)
    rate = Rate(period, burst)
    # No limit holds more than its time, rounded up, and a debt is bounded.
    is_a_rate = 1 <= period <= _MAX_PERIOD and 1 <= burst <= MAX_LIMIT and rate.capacity <= _MAX_PERIOD + MAX_LIMIT
    if not is_a_rate or backlog > rate.capacity * (1 + MAX_DEBT):
        raise ValueError
    return Key(kind, name[: _NAME_BYTES[kind]]), backlog, rate
