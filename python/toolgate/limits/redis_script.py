"""What `admit.lua` is asked and what it answers."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from toolgate._redis import Script, StoreRefused
from toolgate.errors import Limited
from toolgate.limits.redis_keys import Plan

__all__ = ["Answer", "admit_script", "limited", "packed", "read", "short_of"]


@cache
def admit_script() -> Script:
    """The script, read once."""
    return Script(files("toolgate.limits").joinpath("admit.lua").read_text(encoding="utf-8"))


@dataclass(slots=True)
class Answer:
    """What came of a call, bucket by bucket in the order of its plan."""

    at: int
    """The server's microseconds since the epoch."""
    admitted: bool
    granted: list[int]
    left: list[int]
    wait: list[int]
    """Microseconds until there is enough; 0 when there is, -1 when there never is."""
    after: list[tuple[int, int, int]]
    """How each bucket was left, for `settle`."""

    def followed_by(self, other: Answer) -> Answer:
        """One answer of two slots."""
        return Answer(
            at=other.at,
            admitted=self.admitted and other.admitted,
            granted=self.granted + other.granted,
            left=self.left + other.left,
            wait=self.wait + other.wait,
            after=self.after + other.after,
        )


def packed(words: Sequence[int]) -> bytes:
    """The numbers that the script is asked with."""
    return struct.pack(f"<{len(words)}d", *words)


def read(reply: object, buckets: int) -> Answer:
    """The script's reply about so many buckets. Raises `StoreRefused` for what cannot be one: something else may stand
    between Redis and us."""
    try:
        numbers = [*map(int, struct.unpack(f"<{2 + 6 * buckets}d", reply))]  # type: ignore[arg-type]  # or TypeError
    except (OverflowError, TypeError, ValueError, struct.error):
        raise StoreRefused("NOTHING") from None
    after = zip(numbers[5::6], numbers[6::6], numbers[7::6], strict=True)
    return Answer(numbers[0], numbers[1] == 1, numbers[2::6], numbers[3::6], numbers[4::6], list(after))


def short_of(plan: Plan, wait: Sequence[int], *, observe: bool) -> tuple[str, ...]:
    """Keys of the charges in whose buckets there was not enough, each once."""
    found = (
        key
        for key, position in zip(plan.keys, plan.order, strict=True)
        if wait[position] and plan.buckets[position].observe is observe
    )
    return tuple(dict.fromkeys(found))


def limited(plan: Plan, wait: Sequence[int], left: Sequence[int] = ()) -> Limited:
    """The refusal: of the longest wait, or of what never fits. Where nobody told what is ``left``, it says nothing."""
    enforced = [position for position in plan.order if wait[position] and not plan.buckets[position].observe]
    worst = max(enforced, key=lambda position: math.inf if wait[position] < 0 else wait[position])
    return Limited(
        "cost_exceeds_limit" if wait[worst] < 0 else "rate_limited",
        retry_after=None if wait[worst] < 0 else seconds(wait[worst]),
        budget=plan.keys[plan.order.index(worst)],
        violated=short_of(plan, wait, observe=False),
        remaining=left[worst] if left else 0,
    )


def seconds(microseconds: int) -> float:
    """Seconds, never less than the exact time."""
    found = microseconds / 1_000_000
    numerator, denominator = found.as_integer_ratio()
    return math.nextafter(found, math.inf) if numerator * 1_000_000 < microseconds * denominator else found
