"""Admits calls: slots of this process, and budgets in this process or in Redis.

The arithmetic is the core's (`doorward.Limiter`) or its twin's in Redis (`RedisLimiter`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, Final

from doorward._core import Grant, Limiter
from doorward.errors import Limited
from doorward.limits.slots import Held, Slots
from doorward.limits.snapshot import Snapshot
from doorward.limits.spending import Spending, asking_of, charged, digest, spending_of
from doorward.methods import SESSION
from doorward.principal import Principal, joined
from doorward.settings import Budget, Limits, Rule

if TYPE_CHECKING:
    from doorward.limits.redis import RedisLimiter, RemoteGrant

__all__ = ["Spender"]

_MAX_KNOWN: Final = 10_000
"""Clients and rules whose charges are kept ready, about 2 KiB each."""


class Spender:
    """Admits calls against the budgets of the configuration."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.time,
        tick: Callable[[], int] = time.monotonic_ns,
        alarm: Callable[[str], None] = lambda slug: None,
        remote: RedisLimiter | None = None,
    ) -> None:
        """``remote``: who keeps the budgets instead of this process. Raises `ValueError` and `OSError` for a snapshot
        that cannot be kept."""
        self._limits = limits
        self._tick = tick
        self._slots = Slots()
        self._limiter = Limiter(max_keys=limits.max_keys)
        self._remote = remote
        self._snapshot = (
            None
            if limits.snapshot is None
            else Snapshot(limits.snapshot, self._limiter, max_keys=limits.max_keys, clock=clock, tick=tick, alarm=alarm)
        )
        self._known: dict[tuple[str, int, str | None], Spending] = {}

    def succeeded(self, limits: Limits) -> Spender:
        """The spender of another configuration: what was spent stays spent, what is in flight stays in flight."""
        successor = copy(self)
        successor._limits = limits
        successor._known = {}
        return successor

    def spending(
        self, principal: Principal, rule: Rule | None, *, governed: bool, opening: str | None = None
    ) -> Spending:
        """What one message spends; ``governed`` tells calls from other messages, and ``opening`` is the method of one
        that opens something (`HANDSHAKES`)."""
        # A client comes back with a new token every few minutes: what it spends stays the same.
        known_by = (digest(joined(principal.identity, principal.organization_identity)), id(rule), opening)
        spending = self._known.get(known_by)
        if spending is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            spending = spending_of(principal, rule, limits=self._limits, governed=governed, opening=opening)
            self._known[known_by] = spending
        return spending

    def asking(self, principal: Principal, asks: Sequence[Budget | str], *, reads: bool = False) -> Spending:
        """What one question to a human spends, or reading the message that might bring it."""
        return asking_of(principal, asks, limits=self._limits, reads=reads)

    def hold(self, spending: Spending, *, nested: bool, streams: bool) -> Held | None:
        """The call's place among those in flight, to be freed when its tool or its stream has ended. Raises
        `Limited`."""
        slots = (spending.nested_slots if nested else spending.slots) + (spending.streams if streams else ())
        return self._slots.take(slots) if slots else None

    @property
    def is_remote(self) -> bool:
        """Whether `admit` has a store to wait for."""
        return self._remote is not None

    def admit_at_once(self, spending: Spending, *, tick: int) -> Grant | None:
        """`admit`, where nobody has to be waited for."""
        if not spending.charges:
            return None
        try:
            return self._limiter.admit(domain=spending.domain, charges=spending.charges, tick=tick)
        except Limited as limited:
            _explain(limited, spending)
            raise

    async def admit(
        self, spending: Spending, *, tick: int, on_fallback: Callable[[str], None] | None = None
    ) -> Grant | RemoteGrant | None:
        """Spend all or nothing. ``on_fallback`` is called with ``local``, ``allow`` or ``deny`` where the store did not
        decide. Raises `Limited` in the words of the configuration, and `Unavailable` where the store cannot decide and
        the rule says ``deny``."""
        if self._remote is None or not spending.charges:
            return self.admit_at_once(spending, tick=tick)
        try:
            return await self._remote.admit(
                domain=spending.domain,
                charges=spending.charges,
                on_error=spending.on_error,
                on_fallback=on_fallback,
            )
        except Limited as limited:
            _explain(limited, spending)
            raise

    async def settle(self, grant: Grant | RemoteGrant, cost: int) -> None:
        """A call turned out to cost ``cost``."""
        if isinstance(grant, Grant):
            self._limiter.settle(grant, cost, tick=self._tick())
        elif self._remote is not None:
            await self._remote.settle(grant, cost)

    def names(self, spending: Spending, keys: Iterable[str]) -> tuple[str, ...]:
        """The budgets behind the keys, in the words of the configuration."""
        return _names(spending, keys)

    def describe(self, rule: Rule) -> Iterator[str]:
        """The budgets a call under the rule spends, a line each."""
        nobody = Principal("", "", None, None, (), None, 0.0)
        for charge, label in charged(nobody, rule, limits=self._limits, governed=True):
            shared = "" if label.scope == label.budget else f" ({label.scope})"
            yield f"spends {charge.cost} of {charge.limit} for {label.budget}{shared}{' (observed)' * charge.observe}"
        for slot in spending_of(nobody, rule, limits=self._limits, governed=True).slots:
            yield f"at most {slot.concurrency} in flight for {slot.budget} (client){' (observed)' * slot.observe}"
        for charge, label in charged(nobody, None, limits=self._limits, governed=False, opening=SESSION):
            observed = " (observed)" * charge.observe
            yield f"opening a session or a stream spends 1 of {charge.limit} for {label.budget} (client){observed}"

    async def flush(self) -> None:
        """Write the snapshot, and give back to the store what was taken in advance."""
        if self._snapshot is not None:
            self._snapshot.save()
        if self._remote is not None:
            await self._remote.aclose()

    def close(self) -> None:
        """Write the snapshot a last time."""
        if self._snapshot is not None:
            self._snapshot.close()


def _explain(limited: Limited, spending: Spending) -> None:
    """Put the words of the configuration in the place of the keys."""
    label = spending.labels[limited.budget]
    limited.budget, limited.limit, limited.scope = label.budget, label.limit, label.scope
    limited.violated = (label.budget,) if len(limited.violated) == 1 else _names(spending, limited.violated)


def _names(spending: Spending, keys: Iterable[str]) -> tuple[str, ...]:
    return tuple([spending.labels[key].budget for key in keys])
