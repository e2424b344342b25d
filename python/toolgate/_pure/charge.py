"""What one call spends of one bucket, and the name of that bucket. The twin of ``rust/charge.rs``."""

from __future__ import annotations

import secrets
from hashlib import blake2b
from operator import index
from typing import Final, final

from toolgate._pure.bucket import MAX_LIMIT, Limit

__all__ = ["Charge", "check_length", "name"]

MAX_COST: Final = MAX_LIMIT
"""No limit ever holds more tokens than this."""

MAX_KEY_BYTES: Final = 16_384
"""As long as the longest token: no claim of which a key is made can be longer."""

_SECRET: Final = secrets.token_bytes(16)
"""One a process, so that a charge made once serves every limiter."""


@final
class Charge:
    """What one call spends of one bucket; everything that can be computed beforehand is."""

    __slots__ = ("_cost", "_key", "_limit", "_name", "_observe", "_overflow", "_rate", "_shared")

    def __init__(self, key: str, limit: str, *, cost: int = 1, observe: bool = False, shared: bool = False) -> None:
        check_length("a key", key)
        cost = index(cost)
        if not 0 <= cost < 1 << 64:
            raise ValueError("a number is negative or too large")
        if cost > MAX_COST:
            raise ValueError(f"a cost is between 0 and {MAX_COST}")
        for flag in (observe, shared):
            if not isinstance(flag, bool):
                raise TypeError("observe and shared are bool")
        parsed = Limit.parse(limit)
        self._key = key
        self._limit = limit
        self._cost = cost
        self._observe = observe
        self._shared = shared
        self._rate = parsed.rate
        flags = bytes([observe, shared])
        # One that is observed is not the enforced one of the same key: it must not change it. The unit's name ends with
        # a null byte and the flags have one length, so that no two buckets share a name.
        self._name = name(parsed.unit.encode() + b"\0" + flags + key.encode())
        self._overflow = name(b"overflow\0" + flags + b"%d %d" % parsed.rate)

    @property
    def key(self) -> str:
        """Whose budget."""
        return self._key

    @property
    def limit(self) -> str:
        """The limit as it was written."""
        return self._limit

    @property
    def cost(self) -> int:
        """Tokens; 0 only looks."""
        return self._cost

    @property
    def observe(self) -> bool:
        """Whether it only tells what it would refuse."""
        return self._observe

    @property
    def shared(self) -> bool:
        """Whether all domains share the bucket."""
        return self._shared


def name(text: bytes) -> bytes:
    """The name of these bytes in this process: a keyed 128-bit hash, of one size however long a key is."""
    return blake2b(text, key=_SECRET, digest_size=16).digest()


def check_length(what: str, text: str) -> None:
    """Refuse what is longer than any key can be."""
    if not isinstance(text, str):
        raise TypeError(f"{what} is a str")
    if len(text) > MAX_KEY_BYTES or len(text.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"{what} is at most {MAX_KEY_BYTES} bytes")
