"""Buckets of an earlier process: found under the name its secret gave them, once somebody asks.

The twin of ``rust/limiter/restored.rs``. They take room like any other, so that whoever was at a limit stays there in a
full table too, and are dropped once full.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from doorward._pure.bucket import Bucket
from doorward._pure.charge import Charge, name

__all__ = ["MAX_GENERATIONS", "Generation", "Key", "Restored", "Shelf", "stripe_of"]

MAX_GENERATIONS: Final = 16
"""Restarts through which a bucket is carried that nobody asks for: each costs a newcomer two hashes."""

_STRIPES: Final = 64
"""Enough that the flood of one domain rarely meets another's newcomers."""


class Shelf(Enum):
    """Where a bucket lies, by the byte a snapshot calls it."""

    DOMAIN = b"d"
    SHARED = b"s"
    OVERFLOW = b"o"


class Key(NamedTuple):
    """What an earlier process called a bucket."""

    shelf: Shelf
    name: bytes


class Generation(NamedTuple):
    """What one earlier process knew."""

    secret: bytes
    buckets: dict[Key, Bucket]


@dataclass(slots=True)
class Restored:
    """What all earlier processes knew and nobody has asked for yet, the latest first."""

    generations: list[Generation] = field(default_factory=list)
    order: list[tuple[int, int, Key]] = field(default_factory=list)
    """When each is full, with its generation: the first of them last."""

    def take(self, shelf: Shelf, charge: Charge, domain: str) -> Bucket | None:
        """The bucket a charge had in an earlier process."""
        for secret, buckets in self.generations:
            if buckets:
                bucket = buckets.pop(_key(shelf, charge, domain, secret=secret), None)
                if bucket is not None:
                    return bucket
        return None

    def expire(self, count: int, tick: int) -> int:
        """Drop some that are full by now. Returns how many of them had taken room."""
        released = 0
        for _ in range(count):
            if not self.order or self.order[-1][0] > tick:
                break
            _, generation, key = self.order.pop()
            dropped = self.generations[generation].buckets.pop(key, None)
            released += dropped is not None and key.shelf is not Shelf.OVERFLOW
        if not self.order:
            self.generations.clear()
        return released


def stripe_of(domain: bytes, *, shared: bool) -> bytes:
    """The stripe of the overflow in which the newcomers of a domain meet."""
    return bytes([_STRIPES if shared else domain[0] % _STRIPES])


def _key(shelf: Shelf, charge: Charge, domain: str, *, secret: bytes) -> Key:
    own = name(domain.encode(), secret)
    if shelf is Shelf.OVERFLOW:
        return Key(shelf, charge._overflow_by(secret) + stripe_of(own, shared=charge._shared))
    spot = charge._name_by(secret)
    return Key(shelf, own + spot if shelf is Shelf.DOMAIN else spot)
