"""What is held of buckets in Redis, and the admissions that come of it.

The twin of ``rust/leases.rs`` and of its binding.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import get_ident
from typing import Any, Final, final

from doorward._pure.charge import Charge

__all__ = ["Holding", "Holdings", "RemoteGrant"]

_MAX_KEPT: Final = 10_000
"""Callers and rules whose holdings are found at once; beyond, all are looked up anew."""

_Held = tuple["Holding", int]


class Holding:
    """What one process holds of one bucket."""

    __slots__ = ("lease", "left", "tokens", "until")

    def __init__(self) -> None:
        self.tokens = 0
        self.until = 0.0
        self.left = 0
        self.lease: Any = None

    def has(self, cost: int, now: float) -> bool:
        """Whether so many tokens can be spent here."""
        return self.tokens >= cost and self.until > now


@final
class Holdings:
    """The holdings of one limiter, for the one thread that spends from them."""

    __slots__ = ("_kept", "_thread")

    def __init__(self) -> None:
        # By the identity of the charges, which are held so that no others can take it.
        self._kept: dict[tuple[str, int], tuple[Sequence[Charge], Any, list[_Held], list[int]]] = {}
        self._thread = 0

    def take(self, domain: str, charges: Sequence[Charge], now: float) -> RemoteGrant | None:
        """The grant, where everything that a call spends is held here, and this is the thread that spends."""
        if type(domain) is not str or self._thread != get_ident():
            return None
        kept = self._kept.get((domain, id(charges)))
        if kept is None:
            return None
        _, plan, held, order = kept
        if not all(one.has(cost, now) for one, cost in held):
            return None
        left = []
        leases = []
        for one, cost in held:
            one.tokens -= cost
            left.append(one.tokens + one.left)
            leases.append(one.lease)
        return RemoteGrant(plan, tuple([left[position] for position in order]), (), tuple(leases))

    def keep(
        self, domain: str, charges: Sequence[Charge], plan: object, held: Sequence[_Held], order: Sequence[int]
    ) -> None:
        """Find these holdings from now on: pairs of each and what the call costs there, and the position among them of
        each charge."""
        if type(domain) is not str:
            return
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        self._kept[domain, id(charges)] = charges, plan, list(held), list(order)

    def serves(self) -> bool:
        """Whether this thread spends, or nobody does yet."""
        return self._thread in (0, get_ident())

    def claim(self) -> None:
        """This thread spends."""
        self._thread = get_ident()

    def clear(self) -> None:
        """Find none, for nobody."""
        self._thread = 0
        self._kept.clear()


@final
class RemoteGrant:
    """An admission that Redis, a lease or a fallback gave."""

    __slots__ = ("_plan", "_remaining", "_source", "_would_deny")

    def __init__(
        self, plan: Any, remaining: tuple[int, ...], would_deny: tuple[str, ...] = (), source: Any = None
    ) -> None:
        self._plan = plan
        self._source = source
        self._remaining = remaining
        self._would_deny = would_deny

    @property
    def plan(self) -> Any:
        """What the call spends."""
        return self._plan

    @property
    def remaining(self) -> tuple[int, ...]:
        """Whole tokens left, in the order of the charges."""
        return self._remaining

    @property
    def would_deny(self) -> tuple[str, ...]:
        """Keys of the observed charges that would have refused."""
        return self._would_deny

    def close(self) -> Any:
        """Who is told when it is undone; the second time nobody."""
        source, self._source = self._source, None
        return source

    def __repr__(self) -> str:
        return f"RemoteGrant(remaining={self._remaining}, would_deny={self._would_deny})"
