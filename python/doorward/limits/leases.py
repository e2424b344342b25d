"""Tokens of hot keys, paid for in Redis before they are spent here.

A lease is at most `MOST_LEASED` tokens for at most `LEASE_SECONDS`. So with N instances, in any window of w seconds,
``admitted <= burst + rate * w + min(rate * LEASE_SECONDS, N * MOST_LEASED)``: leases move admissions and make none.
What is unspent when a lease ends is given back. The script grants at most half of what is there, so that close to its
end a budget is decided call by call.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from weakref import WeakSet, WeakValueDictionary

from anyio import Event
from anyio.lowlevel import checkpoint

from doorward._core import Holdings, RemoteGrant
from doorward._redis import Request, Store, StoreError, StoreSlow, wait
from doorward.limits.lease_held import LEASE_SECONDS, MOST_LEASED, Held, Lease, most_leased
from doorward.limits.redis_buckets import Change, RemoteBuckets
from doorward.limits.redis_grant import Leased
from doorward.limits.redis_keys import Plan
from doorward.limits.redis_script import Answer, limited, read, short_of

__all__ = ["LEASE_SECONDS", "MOST_LEASED", "Leases"]


@dataclass(slots=True, eq=False)
class _Ask:
    """A question under way. Whoever asked may have gone when the answer comes, and the tokens are held all the same."""

    plan: Plan
    sent: float
    used: tuple[int, ...]
    """Tokens held here that the call spends,"""
    needs: tuple[int, ...]
    """and those that it spends in Redis."""
    done: Event = field(default_factory=Event)
    abandoned: bool = False
    grant: RemoteGrant | None = None
    refused: Sequence[float] | None = None
    error: StoreError | None = None


class Leases:
    """All leases of one limiter, in the one thread that asked first."""

    def __init__(self, store: Store, buckets: RemoteBuckets) -> None:
        self._store = store
        self._buckets = buckets
        self.holdings = Holdings()
        """What every call of a hot key is served from, if it is enough."""
        self._known: WeakValueDictionary[tuple[str, int, int], Held] = WeakValueDictionary()
        self._ending: deque[tuple[Held, Plan, int, Lease]] = deque()
        """In the order in which they end."""
        store.go_ahead(self._ended)
        _EVERY.add(self)

    def serve(self, plan: Plan) -> bool:
        """Whether a plan's calls are leased: every budget is large enough, in one slot, and in this thread."""
        if plan.held is None:
            plan.held = self._hold(plan)
        # Two threads would spend the same tokens: the second asks Redis itself.
        return bool(plan.held) and self.holdings.serves()

    async def admit(self, plan: Plan) -> RemoteGrant:
        """The grant, out of a lease that is asked for if need be. Raises `Limited` and `StoreError`."""
        self.holdings.claim()
        late = monotonic() + self._store.seconds
        while True:
            now = monotonic()
            grant = self.holdings.take(plan.domain, plan.charges, now) or self._take(plan, now)
            if grant is not None:
                return grant
            waits = [one.blocked(bucket.cost, now) for (one, _), bucket in zip(plan.held, plan.buckets, strict=True)]
            if any(wait and not bucket.observe for wait, bucket in zip(waits, plan.buckets, strict=True)):
                # A flood is told here, and lets others have their turn.
                await checkpoint()
                raise limited(plan, waits)
            # One question at a time for each bucket: many at once would lease many times what is wanted.
            asking = next((one.asking for one, _ in plan.held if one.asking is not None), None)
            if asking is None:
                self.holdings.keep(plan.domain, plan.charges, plan, plan.held, plan.order)
                return await self._outcome(self._ask(plan, now), late)
            if not await wait(asking, late - now):
                raise StoreSlow("no answer within the deadline")

    def _take(self, plan: Plan, now: float) -> RemoteGrant | None:
        """The grant, where everything is held here but what is observed and known to be over."""
        short = []
        for (one, cost), bucket in zip(plan.held, plan.buckets, strict=True):
            is_short = int(not one.has(cost, now))
            if is_short and not (bucket.observe and one.blocked(cost, now)):
                return None
            short.append(is_short)
        for (one, cost), is_short in zip(plan.held, short, strict=True):
            one.tokens -= 0 if is_short else cost
        return self._grant(plan, short)

    def settle(self, plan: Plan, source: Leased, actual: int) -> list[Request]:
        """What a leased call turned out to cost: kept here while its lease lasts. Returns what Redis is to be told."""
        changes: list[Change] = []
        now = monotonic()
        for (one, _), bucket, lease in zip(plan.held, plan.buckets, source, strict=True):
            cost, more = bucket.cost, bucket.paying * actual - bucket.cost
            if lease is None or not more:
                continue
            if more < 0:
                one.unblock()
            if one.lease is lease and one.until > now and one.tokens >= more:
                one.tokens -= more
            else:
                words = (bucket.period, bucket.burst, cost, cost + more, lease.at, *lease.after)
                changes.append((bucket, words))
        return self._buckets.settlements(changes)

    def end(self) -> list[Request]:
        """End all leases now. Returns what Redis is to be told."""
        return self._end(len(self._ending))

    def forget(self) -> None:
        """In a forked process: what is held is the parent's."""
        for held in self._known.values():
            held.forget()
        self._ending.clear()
        self.holdings.clear()

    # --- asking -----------------------------------------------------------------------------------------------------

    def _ask(self, plan: Plan, now: float) -> _Ask:
        words: list[int] = []
        used, needs = [], []
        for (one, _), bucket in zip(plan.held, plan.buckets, strict=True):
            if bucket.observe and one.blocked(bucket.cost, now):
                use, need, want = 0, 0, 0
            else:
                use = min(one.tokens, bucket.cost) if one.until > now else 0
                need = bucket.cost - use
                want = one.wanted(need, now) if need else 0
            used.append(use)
            needs.append(need)
            words += (bucket.period, bucket.burst, need, want, int(bucket.observe))
        ask = _Ask(plan, now, tuple(used), tuple(needs))
        self._buckets.post(plan, words, partial(self._answered, ask))
        for (one, _), use in zip(plan.held, used, strict=True):
            one.tokens -= use
            one.asking = ask.done
        return ask

    async def _outcome(self, ask: _Ask, late: float) -> RemoteGrant:
        try:
            await wait(ask.done, late - monotonic())
        finally:
            ask.abandoned = not ask.done.is_set()
        if ask.error is not None:
            raise ask.error
        if ask.refused is not None:
            raise limited(ask.plan, ask.refused)
        if ask.grant is None:
            raise StoreSlow("no answer within the deadline")
        return ask.grant

    def _answered(self, ask: _Ask, request: Request) -> None:
        try:
            self._settled(ask, request)
        finally:
            for one, _ in ask.plan.held:
                one.asking = None
            ask.done.set()

    def _settled(self, ask: _Ask, request: Request) -> None:
        answer = None
        try:
            answer = None if request.error is not None else read(request.reply, len(ask.plan.buckets))
        except StoreError as error:
            request.error = error
        if answer is not None and answer.admitted:
            self._credit(ask, answer)
        else:
            self._put_back(ask)
            ask.error = request.error
            if answer is not None:
                self._block(ask, answer)
                ask.refused = answer.wait

    def _credit(self, ask: _Ask, answer: Answer) -> None:
        now = monotonic()
        plan = ask.plan
        short = []
        for i, ((one, _), bucket) in enumerate(zip(plan.held, plan.buckets, strict=True)):
            one.left = answer.left[i]
            granted, need = int(answer.granted[i]), ask.needs[i]
            spends = bool(granted or ask.used[i] == bucket.cost)
            short.append(int(not spends))
            if granted:
                lease = Lease(granted, answer.at, answer.after(i))
                # Where nobody is there any more to spend it, the call's own part is held too.
                one.begin(lease, granted if ask.abandoned else granted - need, ask.sent)
                self._ending.append((one, plan, i, lease))
            elif one.lease is not None and (ask.abandoned or not spends):
                one.tokens += ask.used[i]
            if answer.wait[i]:
                one.block(bucket.cost, int(answer.wait[i]), sent=ask.sent, received=now)
        if self._ending:
            self._store.wake_at(self._ending[0][0].until)
        ask.grant = self._grant(plan, short)

    def _put_back(self, ask: _Ask) -> None:
        for (one, _), use in zip(ask.plan.held, ask.used, strict=True):
            if one.lease is not None:
                one.tokens += use

    def _block(self, ask: _Ask, answer: Answer) -> None:
        now = monotonic()
        for (one, _), bucket, blocked in zip(ask.plan.held, ask.plan.buckets, answer.wait, strict=True):
            if blocked:
                one.block(bucket.cost, int(blocked), sent=ask.sent, received=now)

    def _grant(self, plan: Plan, short: Sequence[int]) -> RemoteGrant:
        held = plan.held
        return RemoteGrant(
            plan,
            tuple([held[position][0].tokens + held[position][0].left for position in plan.order]),
            short_of(plan, short, observe=True) if any(short) else (),
            tuple([None if is_short else one.lease for (one, _), is_short in zip(held, short, strict=True)]),
        )

    # --- ending -----------------------------------------------------------------------------------------------------

    def _ended(self) -> Sequence[Request]:
        """What the leases that are over leave behind."""
        now = monotonic()
        over = 0
        for one, _, _, lease in self._ending:
            if one.lease is lease and one.until > now:
                break
            over += 1
        requests = self._end(over)
        if self._ending:
            self._store.wake_at(self._ending[0][0].until)
        return requests

    def _end(self, count: int) -> list[Request]:
        changes: list[Change] = []
        now = monotonic()
        for _ in range(count):
            one, plan, i, lease = self._ending.popleft()
            if one.lease is lease:
                unspent = one.end(now)
                if unspent:
                    bucket = plan.buckets[i]
                    words = (
                        bucket.period,
                        bucket.burst,
                        lease.granted,
                        lease.granted - unspent,
                        lease.at,
                        *lease.after,
                    )
                    changes.append((bucket, words))
        return self._buckets.settlements(changes)

    # --- which ------------------------------------------------------------------------------------------------------

    def _hold(self, plan: Plan) -> tuple[tuple[Held, int], ...]:
        most = [most_leased(bucket) for bucket in plan.buckets]
        if len(plan.slots) != 1 or not all(most):
            return ()
        return tuple(
            (self._known.setdefault((bucket.name, bucket.period, bucket.burst), Held(largest)), bucket.cost)
            for bucket, largest in zip(plan.buckets, most, strict=True)
        )


_EVERY: WeakSet[Leases] = WeakSet()


def _forget() -> None:
    for leases in _EVERY:
        leases.forget()


with suppress(AttributeError):  # where processes do not fork
    os.register_at_fork(after_in_child=_forget)
