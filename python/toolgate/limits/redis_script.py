"""What `admit.lua` is asked and what it answers."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from toolgate._redis import Command, Script, StoreRefused
from toolgate.errors import Limited
from toolgate.limits.redis_keys import Plan, Slot

__all__ = ["Answer", "command", "limited", "read", "short_of", "spend_command"]


@cache
def _script() -> Script:
    """The script, read once."""
    return Script(files("toolgate.limits").joinpath("admit.lua").read_text(encoding="utf-8"))


@dataclass(slots=True)
class Answer:
    """What came of a call, bucket by bucket in the order of its plan. All numbers are whole; they come as doubles, and
    most go back as such."""

    at: float
    """The server's microseconds since the epoch."""
    admitted: bool
    granted: tuple[float, ...]
    left: list[int]
    wait: tuple[float, ...]
    """Microseconds until there is enough; 0 when there is, -1 when there never is."""
    _after: tuple[tuple[float, ...], ...]

    def after(self, position: int) -> tuple[float, ...]:
        """How a bucket was left, for `settle`."""
        return tuple([column[position] for column in self._after])

    def followed_by(self, other: Answer) -> Answer:
        """One answer of two slots."""
        return Answer(
            at=other.at,
            admitted=self.admitted and other.admitted,
            granted=self.granted + other.granted,
            left=self.left + other.left,
            wait=self.wait + other.wait,
            _after=tuple(ours + theirs for ours, theirs in zip(self._after, other._after, strict=True)),
        )


def spend_command(slot: Slot) -> Command:
    """What a call asks of a slot when nothing more is wanted than it costs; made once for all its calls."""
    if slot.spend is None:
        slot.spend = command("spend", slot.names, needs(slot))
    return slot.spend  # type: ignore[no-any-return]  # whoever keeps it does not know of commands


def needs(slot: Slot) -> list[int]:
    """The words for `spend_command`."""
    words: list[int] = []
    for bucket in slot.buckets:
        words += (bucket.period, bucket.burst, bucket.cost, bucket.cost, int(bucket.observe))
    return words


def command(verb: str, names: Sequence[str], words: Sequence[float], *, now: str = "") -> Command:
    """A call of the script; ``now`` is for tests alone, the server's own clock counts."""
    return Command.of_script(_script(), names, (now, verb, struct.pack(f"<{len(words)}d", *words)))


@cache
def _form(buckets: int) -> struct.Struct:
    return struct.Struct(f"<{2 + 6 * buckets}d")


def read(reply: object, buckets: int) -> Answer:
    """The script's reply about so many buckets. Raises `StoreRefused` for what cannot be one: something else may stand
    between Redis and us."""
    try:
        numbers = _form(buckets).unpack(reply)  # type: ignore[arg-type]  # or TypeError
        at, admitted = numbers[:2]
        granted, left, wait, *after = [numbers[start : start + buckets] for start in range(2, len(numbers), buckets)]
        return Answer(at, _TRUTH[admitted], granted, [*map(int, left)], wait, tuple(after))
    except (KeyError, OverflowError, TypeError, ValueError, struct.error):
        raise StoreRefused("NOTHING") from None


_TRUTH: Final = {0.0: False, 1.0: True}


def short_of(plan: Plan, wait: Sequence[float], *, observe: bool) -> tuple[str, ...]:
    """Keys of the charges in whose buckets there was not enough, each once."""
    found = (
        key
        for key, position in zip(plan.keys, plan.order, strict=True)
        if wait[position] and plan.buckets[position].observe is observe
    )
    return tuple(dict.fromkeys(found))


def limited(plan: Plan, wait: Sequence[float], left: Sequence[int] = ()) -> Limited:
    """The refusal: of the longest wait, or of what never fits. Where nobody told what is ``left``, it says nothing."""
    enforced = [position for position in plan.order if wait[position] and not plan.buckets[position].observe]
    worst = max(enforced, key=lambda position: math.inf if wait[position] < 0 else wait[position])
    return Limited(
        "cost_exceeds_limit" if wait[worst] < 0 else "rate_limited",
        retry_after=None if wait[worst] < 0 else seconds(int(wait[worst])),
        budget=plan.keys[plan.order.index(worst)],
        violated=short_of(plan, wait, observe=False),
        remaining=left[worst] if left else 0,
    )


def seconds(microseconds: int) -> float:
    """Seconds, never less than the exact time."""
    found = microseconds / 1_000_000
    numerator, denominator = found.as_integer_ratio()
    return math.nextafter(found, math.inf) if numerator * 1_000_000 < microseconds * denominator else found
