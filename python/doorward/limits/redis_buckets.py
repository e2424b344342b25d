"""Buckets in Redis: one script call a slot, and what is owed to them paid first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from doorward._redis import Command, Request, Store, StoreError, StoreSlow
from doorward.limits.fallback import MAX_DEBTS, Debts
from doorward.limits.redis_keys import Bucket, Plan, Slot
from doorward.limits.redis_script import Answer, command, needs, read, spend_command

__all__ = ["RemoteBuckets"]

_CHANGED_TOGETHER = 64
"""Buckets of one call: about a millisecond of a server's time."""

Change = tuple[Bucket, Sequence[float]]
"""A bucket, and the script's words for it."""


class RemoteBuckets:
    """What `admit.lua` does, for plans."""

    def __init__(self, store: Store, *, on_paid: Callable[[], None]) -> None:
        self._store = store
        self._on_paid = on_paid
        self._now = ""
        """Microseconds, for tests alone: the server's own clock counts."""
        self.debts = Debts()
        store.go_ahead(self._payments)

    async def spend(self, plan: Plan) -> Answer:
        """Spend all or nothing. Raises `StoreError`."""
        first, *others = plan.slots
        if not others:
            return read(await self._store.ask(self._command("spend", first)), len(first.buckets))
        # Two slots can lie on two servers, where no script sees both: each is asked, and the first is undone when the
        # second refuses.
        late = time.monotonic() + self._store.seconds
        answer = await self._ask("spend", first, late)
        try:
            second = await self._ask("spend" if answer.admitted else "look", others[0], late)
        except StoreError:
            self._undo(first, answer)
            raise
        if not second.admitted:
            self._undo(first, answer)
        return answer.followed_by(second)

    async def settle(self, plan: Plan, answer: Answer, actual: Sequence[int]) -> None:
        """What was granted turned out to cost so much in each bucket. What does not arrive is lost: tokens, never more
        than that."""
        for request in self._requests("settle", _settled(plan.buckets, answer, actual)):
            with suppress(StoreError):
                await self._store.ask(request.command)

    def post(self, plan: Plan, needs: Sequence[int], told: Callable[[Request], None]) -> None:
        """`spend` for the one slot of a plan, told by callback whoever is still there. Raises `StoreAway`."""
        asked = command("spend", plan.slots[0].names, needs, now=self._now)
        self._store.post(Request(asked, on_answer=told))

    def owe(self, plan: Plan) -> None:
        """The call was admitted without Redis, which is told as soon as it can be."""
        was_complete = self.debts.is_complete
        self.debts.add(plan)
        if was_complete and not self.debts.is_complete:
            self._store.tell(
                "redis_debts_lost", f"more than {MAX_DEBTS} budgets were used while redis was away: not all are charged"
            )
        self._store.nudge()

    def send(self, requests: Sequence[Request]) -> None:
        """Send what nobody waits for; what cannot be sent is lost."""
        for request in requests:
            with suppress(StoreError):
                self._store.post(request)

    def settlements(self, changes: Sequence[Change]) -> list[Request]:
        """Requests that settle, and that nobody waits for."""
        return self._requests("settle", changes, on_answer=_ignore)

    async def _ask(self, verb: str, slot: Slot, late: float) -> Answer:
        seconds = late - time.monotonic()
        if seconds <= 0:
            raise StoreSlow("no answer within the deadline")
        return read(await self._store.ask(self._command(verb, slot), timeout=seconds), len(slot.buckets))

    def _command(self, verb: str, slot: Slot) -> Command:
        if verb == "spend" and not self._now:
            return spend_command(slot)
        return command(verb, slot.names, needs(slot), now=self._now)

    def _undo(self, slot: Slot, answer: Answer) -> None:
        if answer.admitted:
            self.send(self.settlements(_settled(slot.buckets, answer, [0] * len(slot.buckets))))

    def _payments(self) -> Sequence[Request]:
        """What is owed, before anything else is decided."""
        if not self.debts:
            return ()
        changes = [(bucket, (bucket.period, bucket.burst, tokens)) for bucket, tokens in self.debts.take()]
        return self._requests("owe", changes, on_answer=self._paid)

    def _requests(
        self, verb: str, changes: Sequence[Change], *, on_answer: Callable[[list[Change], Request], None] | None = None
    ) -> list[Request]:
        """A call for each slot."""
        slots: dict[tuple[str, int], list[Change]] = {}
        turns: Counter[str] = Counter()
        for change in changes:
            # Under two limits a key can be held twice, and a script sees each key once.
            name = change[0].name
            slots.setdefault((name.rpartition(":")[0], turns[name]), []).append(change)
            turns[name] += 1
        requests = []
        for together in slots.values():
            for start in range(0, len(together), _CHANGED_TOGETHER):
                part = together[start : start + _CHANGED_TOGETHER]
                names = [bucket.name for bucket, _ in part]
                asked = command(verb, names, [word for _, words in part for word in words], now=self._now)
                requests.append(Request(asked, on_answer=None if on_answer is None else partial(on_answer, part)))
        return requests

    def _paid(self, changes: list[Change], request: Request) -> None:
        if request.error is None:
            self._on_paid()
        else:
            self.debts.put_back([(bucket, int(words[2])) for bucket, words in changes])


def _settled(buckets: Sequence[Bucket], answer: Answer, actual: Sequence[int]) -> list[Change]:
    return [
        (bucket, (bucket.period, bucket.burst, granted, cost, answer.at, *answer.after(position)))
        for position, (bucket, granted, cost) in enumerate(zip(buckets, answer.granted, actual, strict=True))
        if granted and granted != cost
    ]


def _ignore(changes: list[Change], request: Request) -> None:
    """Nobody waits for this one."""
