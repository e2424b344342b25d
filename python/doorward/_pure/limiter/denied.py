"""Why a call is not admitted, and when it would be. The twin of ``rust/limiter/denied.rs``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from doorward._pure.charge import Charge
from doorward._pure.limiter.item import Item, violated
from doorward.errors import Limited

__all__ = ["limited"]


def limited(charges: Sequence[Charge], items: list[Item], order: list[Item], *, tick: int) -> Limited:
    enforced = [item for item in items if item.short and not item.observe]
    worst = max(enforced, key=lambda item: math.inf if item.wait is None else item.wait)
    return Limited(
        "cost_exceeds_limit" if worst.wait is None else "rate_limited",
        retry_after=None if worst.wait is None else _seconds(worst.wait),
        budget=charges[order.index(worst)]._key,
        violated=violated(charges, [item if not item.observe else None for item in order]),
        remaining=worst.remaining(tick),
    )


def _seconds(nanoseconds: int) -> float:
    """Seconds, never less than the exact time."""
    seconds = nanoseconds / 1_000_000_000
    numerator, denominator = seconds.as_integer_ratio()
    early = numerator * 1_000_000_000 < nanoseconds * denominator
    return math.nextafter(seconds, math.inf) if early else seconds
