"""Which keys of Redis a call spends from: its charges, merged by bucket and gathered by slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from doorward._core import Charge, Charges

__all__ = ["Bucket", "Plan", "Plans", "Slot"]

_SECOND: Final = 1_000_000
_UNITS: Final = {"second": _SECOND, "minute": 60 * _SECOND, "hour": 3_600 * _SECOND, "day": 86_400 * _SECOND}

_HASH_BYTES: Final = 16
"""Of SHA-256: nobody finds two names with one hash on purpose, which takes 2**64 attempts."""

MAX_CHARGES: Final = 64
"""More than any policy charges one call for; the same in process."""

MAX_TEXT: Final = 16_384
"""Bytes of a domain: as long as the longest token."""

_MAX_PLANS: Final = 10_000
"""Callers and rules whose keys are kept ready, about 2 KiB each."""

_NEUTRAL: Final = "shared"
"""The tag of what belongs to no domain; a domain's is 32 hexadecimal digits."""


@dataclass(slots=True, eq=False)
class Bucket:
    """One bucket of a call, all charges of it together."""

    name: str
    """The key in Redis."""
    period: int
    """Microseconds until a spent token is back, rounded up."""
    burst: int
    observe: bool
    shared: bool
    cost: int = 0
    paying: int = 0
    """Charges of it that cost something."""


@dataclass(slots=True, eq=False)
class Slot:
    """Buckets whose keys lie together."""

    buckets: tuple[Bucket, ...]
    names: tuple[str, ...] = field(init=False)
    spend: Any = None
    """The command that spends what the call costs, once it has been made."""

    def __post_init__(self) -> None:
        self.names = tuple(bucket.name for bucket in self.buckets)


@dataclass(slots=True, eq=False)
class Plan:
    """What one call spends, worked out once for all calls with these charges."""

    domain: str
    charges: Sequence[Charge]
    """Held, so that no others can take their identity."""
    keys: tuple[str, ...]
    """Of the charges."""
    order: tuple[int, ...]
    """The position of each charge's bucket."""
    buckets: tuple[Bucket, ...]
    slots: tuple[Slot, ...]
    """The domain's own first."""
    in_order: bool
    """Whether each charge has a bucket of its own."""
    held: Any = None
    """What `leases` keeps for the buckets; None until it is asked for, () where nothing is leased."""


class Plans:
    """Plans by domain and charges; ``apart`` where keys of several slots cannot be asked for together."""

    def __init__(self, prefix: str, *, apart: bool) -> None:
        self._prefix = prefix
        self._apart = apart
        self._known: dict[tuple[str, Charges | tuple[Charge, ...]], Plan] = {}

    def of(self, domain: str, charges: Sequence[Charge]) -> Plan:
        """The plan. Raises `ValueError` for two limits of one bucket, or more than can be decided."""
        # Either cannot change, so that it is known again by being the same.
        known_by = (domain, charges if isinstance(charges, Charges) or type(charges) is tuple else tuple(charges))
        try:
            return self._known[known_by]
        except KeyError:
            pass
        plan = self._plan(*known_by)
        if len(self._known) >= _MAX_PLANS:
            self._known.clear()
        self._known[known_by] = plan
        return plan

    def _plan(self, domain: str, charges: Sequence[Charge]) -> Plan:
        _check(domain, charges)
        tag = _hash(domain.encode())
        buckets: dict[str, Bucket] = {}
        limits: dict[str, str] = {}
        names = []
        for charge in charges:
            unit, period, burst = _rate(charge.limit)
            # The unit belongs to the name and the rest of the limit does not: a changed limit keeps what was spent. One
            # that is observed is not the enforced one of the same key.
            own = _hash(f"{unit}\0{int(charge.observe)}{int(charge.shared)}{charge.key}".encode())
            name = f"{self._prefix}:{{{_NEUTRAL if charge.shared else tag}}}:{own}"
            bucket = buckets.setdefault(name, Bucket(name, period, burst, charge.observe, charge.shared))
            other = limits.setdefault(name, charge.limit)
            if (bucket.period, bucket.burst) != (period, burst):
                raise ValueError(f"one bucket cannot have two limits in one call: {other} and {charge.limit}")
            bucket.cost += charge.cost
            bucket.paying += charge.cost > 0
            names.append(name)
        slots = _slots(tuple(buckets.values()), apart=self._apart)
        position = {bucket.name: i for i, bucket in enumerate(b for slot in slots for b in slot.buckets)}
        order = tuple(position[name] for name in names)
        return Plan(
            domain=domain,
            charges=charges,
            keys=tuple(charge.key for charge in charges),
            order=order,
            buckets=tuple(bucket for slot in slots for bucket in slot.buckets),
            slots=slots,
            in_order=order == tuple(range(len(order))),
        )


def _check(domain: str, charges: Sequence[Charge]) -> None:
    if not isinstance(domain, str):
        raise TypeError("a domain is a str")
    if len(domain) > MAX_TEXT or len(domain.encode()) > MAX_TEXT:
        raise ValueError(f"a domain is at most {MAX_TEXT} bytes")
    if not all(isinstance(charge, Charge) for charge in charges):
        raise TypeError("charges is a sequence of Charge")
    if len(charges) > MAX_CHARGES:
        raise ValueError(f"one call has at most {MAX_CHARGES} charges")


def _slots(buckets: tuple[Bucket, ...], *, apart: bool) -> tuple[Slot, ...]:
    if not apart:
        return (Slot(buckets),) if buckets else ()
    own = tuple(bucket for bucket in buckets if not bucket.shared)
    shared = tuple(bucket for bucket in buckets if bucket.shared)
    return tuple(Slot(together) for together in (own, shared) if together)


def _rate(limit: str) -> tuple[str, int, int]:
    """The unit, the period in microseconds and the burst of a limit that the core has read before."""
    amount, _, rest = limit.partition("/")
    unit, *option = rest.split(" ")
    tokens, time = int(amount), _UNITS[unit]
    burst = tokens
    if option == ["strict"]:
        # Half the burst and half the rate: never more than the limit in any window.
        burst, time = min(max(tokens // 2, 1), tokens), 2 * time
    elif option:
        burst = int(option[1])
    return unit, -(-time // max(tokens, 1)), burst


def _hash(text: bytes) -> str:
    return sha256(text).digest()[:_HASH_BYTES].hex()
