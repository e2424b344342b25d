"""What one call spends of one bucket, and the name of that bucket. The twin of ``rust/charge.rs``."""

from __future__ import annotations

import secrets
from hashlib import blake2b
from operator import index
from typing import Final, final

from doorward._pure.bucket import MAX_INSTANCES, MAX_LIMIT, Limit

__all__ = ["MAX_COST", "SECRET", "Charge", "check_length", "name", "whole"]

MAX_COST: Final = MAX_LIMIT
"""No limit ever holds more tokens than this."""

MAX_KEY_BYTES: Final = 16_384
"""As long as the longest token: no claim of which a key is made can be longer."""

SECRET: Final = secrets.token_bytes(16)
"""One a process, so that a charge made once serves every limiter."""


@final
class Charge:
    """What one call spends of one bucket; everything that can be computed beforehand is."""

    __slots__ = ("_cost", "_instances", "_key", "_limit", "_name", "_observe", "_overflow", "_rate", "_shared", "_unit")

    def __init__(
        self,
        key: str,
        limit: str,
        *,
        cost: int = 1,
        observe: bool = False,
        shared: bool = False,
        instances: int = 1,
    ) -> None:
        check_length("a key", key)
        cost, instances = whole(cost), whole(instances)
        if cost > MAX_COST:
            raise ValueError(f"a cost is between 0 and {MAX_COST}")
        if not 1 <= instances <= MAX_INSTANCES:
            raise ValueError(f"instances is between 1 and {MAX_INSTANCES}")
        for flag in (observe, shared):
            if not isinstance(flag, bool):
                raise TypeError("observe and shared are bool")
        parsed = Limit.parse(limit)
        self._key = key
        self._limit = limit
        self._cost = cost
        self._observe = observe
        self._shared = shared
        self._instances = instances
        self._unit = parsed.unit
        self._rate = parsed.rate.share(instances)
        self._name = self._name_by(SECRET)
        self._overflow = self._overflow_by(SECRET)

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

    @property
    def instances(self) -> int:
        """Processes that share the limit without a common store."""
        return self._instances

    def _name_by(self, secret: bytes) -> bytes:
        """The bucket's name under this secret. The limit and the instances are no part of it: a changed limit keeps
        what was spent. One that is observed is not the enforced one of the same key: it must not change it."""
        # The unit's name ends with a null byte and the flags have one length, so that no two buckets share a name.
        flags = bytes([self._observe, self._shared])
        return name(self._unit.encode() + b"\0" + flags + self._key.encode(), secret)

    def _overflow_by(self, secret: bytes) -> bytes:
        """The name of the bucket that newcomers share, under this secret."""
        return name(b"overflow\0" + bytes([self._observe, self._shared]) + b"%d %d" % self._rate, secret)


def name(text: bytes, secret: bytes = SECRET) -> bytes:
    """The name of these bytes in this process: a keyed 128-bit hash, of one size however long a key is."""
    return blake2b(text, key=secret, digest_size=16).digest()


def whole(number: int) -> int:
    """The number, which is neither negative nor beyond 64 bits."""
    number = index(number)
    if not 0 <= number < 1 << 64:
        raise ValueError("a number is negative or too large")
    return number


def check_length(what: str, text: str) -> None:
    """Refuse what is longer than any key can be."""
    if not isinstance(text, str):
        raise TypeError(f"{what} is a str")
    if len(text) > MAX_KEY_BYTES or len(text.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"{what} is at most {MAX_KEY_BYTES} bytes")
