"""Step 6: may they now. A place in flight, the budgets, and the intent on disk where that was promised."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from doorward.audit import Trail
from doorward.decision import Decision
from doorward.errors import Refused, Unavailable
from doorward.limits import Spender, Spending
from doorward.methods import STREAMS

if TYPE_CHECKING:
    from doorward._core import Grant, RemoteGrant

__all__ = ["Admitting"]


class Admitting:
    """What one configuration makes of limits: whatever admits raises `Limited` for a call that is over one, and
    `Unavailable` where that cannot be told, or not be recorded."""

    def __init__(self, spender: Spender, trail: Trail, *, tick: Callable[[], int]) -> None:
        self.spender = spender
        self._trail = trail
        self._tick = tick
        self._is_remote = spender.is_remote
        self._is_durable = trail.is_durable

    def admit(self, decision: Decision, spending: Spending, admitted: Callable[[], None]) -> Awaitable[None] | None:
        """All of it at once; what is left to be awaited where a store or a disk is waited for. ``admitted`` is called
        once the call is paid for, before its intent is written: here belongs what costs more than reading the body. It
        may refuse; what was spent stays spent."""
        if self._is_durable or (self._is_remote and spending.charges):
            return self._admit_and_intend(decision, spending, admitted)
        if spending.slots or spending.streams:
            self.hold(decision, spending)
        if spending.charges:
            self._spent(decision, spending, self.spender.admit_at_once(spending, tick=self._tick()))
        admitted()
        return None

    def hold(self, decision: Decision, spending: Spending) -> None:
        """Its place among the calls in flight, where it has none yet."""
        # Before the budgets: a slot costs nothing, and comes back by itself when the decision closes.
        if (spending.slots or spending.streams) and decision.held is None:
            streams = decision.call is None or decision.call.method in STREAMS
            held = decision.held = self.spender.hold(spending, nested=decision.is_nested, streams=streams)
            if held is not None:
                decision.would_deny += held.would_deny

    async def spend(self, decision: Decision, spending: Spending) -> None:
        """Its place and its budgets."""
        self.hold(decision, spending)
        self._spent(decision, spending, await self._admitted(decision, spending))

    async def intend(self, decision: Decision) -> None:
        """The intent on disk, before the call runs. One that cannot be put there costs nothing."""
        if not self._trail.is_durable:
            return
        try:
            await self._trail.intend(decision.intent())
        except Unavailable:
            if decision.grant is not None:
                await self.spender.settle(decision.grant, 0)
            raise

    def open_stream(self, decision: Decision) -> None:
        """The place of a stream that carries no call; or the decision is refused."""
        try:
            self.hold(decision, self.spender.spending(decision.caller.principal, None, governed=False))
        except Refused as refused:
            decision.refuse(refused)

    async def _admit_and_intend(self, decision: Decision, spending: Spending, admitted: Callable[[], None]) -> None:
        await self.spend(decision, spending)
        admitted()
        await self.intend(decision)

    async def _admitted(self, decision: Decision, spending: Spending) -> Grant | RemoteGrant | None:
        on_fallback = decision.decided_without_store
        return await self.spender.admit(spending, tick=self._tick(), on_fallback=on_fallback)

    def _spent(self, decision: Decision, spending: Spending, grant: Grant | RemoteGrant | None) -> None:
        decision.grant = grant
        if grant is not None and grant.would_deny:
            decision.would_deny += self.spender.names(spending, grant.would_deny)
