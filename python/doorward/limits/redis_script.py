"""What `admit.lua` is asked and what it answers."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from doorward._redis import Command, NotAnAnswer, Script
from doorward.errors import Limited
from doorward.limits.redis_keys import Plan, Slot

__all__ = ["Answer", "command", "limited", "read", "short_of", "spend_command"]


@cache
def _script() -> Script:
    """The script, read once."""
    return Script(files("doorward.limits").joinpath("admit.lua").read_text(encoding="utf-8"), name="limits")


class Answer:
    """What came of a call, bucket by bucket in the order of its plan. All numbers are whole; they come as doubles, and
    most go back as such, so that they are read when they are asked for."""

    __slots__ = ("_buckets", "_reply", "admitted", "left", "wait")

    def __init__(self, reply: bytes, buckets: int) -> None:
        """Raises `LookupError`, `TypeError` or `ValueError` for what cannot be one."""
        if len(reply) != _HEAD + 6 * _SIZE * buckets:
            raise ValueError("not as long as an answer")
        # Infinities and what is no number spoil the sum as well.
        if not sum(map(abs, _form(2 + 6 * buckets).unpack(reply))) <= _LARGEST * len(reply):
            raise ValueError("no numbers that the script has")
        self._reply = reply
        self._buckets = buckets
        self.admitted = _TRUTH[reply[_SIZE:_HEAD]]
        self.left = [*map(int, self._column(1))]
        self.wait = self._column(2)
        """Microseconds until there is enough; 0 when there is, -1 when there never is."""

    @property
    def at(self) -> float:
        """The server's microseconds since the epoch."""
        return float(struct.unpack_from("<d", self._reply)[0])

    @property
    def granted(self) -> tuple[float, ...]:
        """Tokens."""
        return self._column(0)

    def after(self, position: int) -> tuple[float, ...]:
        """How a bucket was left, for `settle`."""
        return tuple([self._column(column)[position] for column in (3, 4, 5)])

    def followed_by(self, other: Answer) -> Answer:
        """One answer of two slots."""
        head = other._reply[:_SIZE] + min(self._reply[_SIZE:_HEAD], other._reply[_SIZE:_HEAD], key=_TRUTH.__getitem__)
        columns = [one._part(column) for column in range(6) for one in (self, other)]
        return Answer(b"".join([head, *columns]), self._buckets + other._buckets)

    def _part(self, column: int) -> bytes:
        length = _SIZE * self._buckets
        return self._reply[_HEAD + column * length : _HEAD + (column + 1) * length]

    def _column(self, column: int) -> tuple[float, ...]:
        return _form(self._buckets).unpack_from(self._reply, _HEAD + column * _SIZE * self._buckets)


_LARGEST: Final = 2.0**53
"""Of whole numbers that a double has exactly."""

_SIZE: Final = 8
_HEAD: Final = 2 * _SIZE
"""When it was decided, and what; then come the columns."""

_TRUTH: Final = {struct.pack("<d", truth): truth for truth in (False, True)}


@cache
def _form(buckets: int) -> struct.Struct:
    return struct.Struct(f"<{buckets}d")


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


def read(reply: object, buckets: int) -> Answer:
    """The script's reply about so many buckets. Raises `NotAnAnswer` for what cannot be one: something else may stand
    between Redis and us."""
    try:
        return Answer(reply, buckets)  # type: ignore[arg-type]  # or TypeError
    except (LookupError, OverflowError, TypeError, ValueError, struct.error):
        raise NotAnAnswer() from None


def short_of(plan: Plan, wait: Sequence[float], *, observe: bool) -> tuple[str, ...]:
    """Keys of the charges in whose buckets there was not enough, each once."""
    found = (
        key
        for key, position in zip(plan.keys, plan.order, strict=True)
        if wait[position] and plan.buckets[position].observe is observe
    )
    return tuple(dict.fromkeys(found))


def limited(plan: Plan, wait: Sequence[float], left: Sequence[int] = ()) -> Limited:
    """The refusal: of the longest wait, or of what never fits. Where nobody told what is ``left``, it says nothing.
    Raises `NotAnAnswer` where nothing is short: then that cannot be an answer."""
    enforced = [position for position in plan.order if wait[position] and not plan.buckets[position].observe]
    if not enforced:
        raise NotAnAnswer()
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
