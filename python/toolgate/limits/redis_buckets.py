"""Buckets in Redis: one script call a slot, and what is owed to them paid first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from toolgate._redis import DEADLINE, Request, Store, StoreError, StoreSlow
from toolgate.limits.fallback import Debts
from toolgate.limits.redis_keys import Bucket, Plan, Slot
from toolgate.limits.redis_script import Answer, admit_script, read

__all__ = ["RemoteBuckets"]

_GIVEN_TOGETHER = 64
"""Buckets of one call: about a millisecond of a server's time."""

Gift = tuple[Bucket, int, int, int]
"""A bucket, the tokens it gets back (or loses, when negative), when they were spent, and how many bursts it may owe."""

Answered = Callable[[list[Gift], Request], None]


class RemoteBuckets:
    """What `admit.lua` does, for plans."""

    def __init__(self, store: Store, *, on_paid: Callable[[], None]) -> None:
        self._store = store
        self._on_paid = on_paid
        self._now = ""
        """Microseconds, for tests alone: the server's own clock counts."""
        self.debts = Debts()
        store.go_ahead(self._payments)

    async def spend(self, plan: Plan, needs: Sequence[Sequence[int]]) -> Answer:
        """Spend all or nothing; ``needs`` are the script's words for each slot. Raises `StoreError`."""
        first, *others = plan.slots
        if not others:
            return await self._ask("spend", first, needs[0], DEADLINE)
        # Two slots can lie on two servers, where no script sees both: each is asked, and the first is undone when the
        # second refuses.
        late = time.monotonic() + DEADLINE
        answer = await self._ask("spend", first, needs[0], DEADLINE)
        try:
            verb = "spend" if answer.admitted else "look"
            second = await self._ask(verb, others[0], needs[1], late - time.monotonic())
        except StoreError:
            self._undo(first, answer)
            raise
        if not second.admitted:
            self._undo(first, answer)
        return answer.followed_by(second)

    async def give(self, gifts: Sequence[Gift]) -> None:
        """Give back, or take without asking. What does not arrive is lost: tokens, never more than that."""
        for request in self._gifts(gifts):
            with suppress(StoreError):
                await self._store.ask(request)

    def post(self, gifts: Sequence[Gift]) -> None:
        """`give` without waiting for it."""
        for request in self._gifts(gifts, on_answer=_ignore):
            with suppress(StoreError):
                self._store.post(request)

    async def _ask(self, verb: str, slot: Slot, needs: Sequence[int], timeout: float) -> Answer:
        if timeout <= 0:
            raise StoreSlow("no answer within the deadline")
        words = (self._now, verb, *needs)
        return read(await self._store.script(admit_script(), keys=slot.names, args=words, timeout=timeout))

    def _undo(self, slot: Slot, answer: Answer) -> None:
        if answer.admitted:
            pairs = zip(slot.buckets, answer.granted, strict=True)
            self.post([(bucket, granted, answer.at, 0) for bucket, granted in pairs if granted])

    def _payments(self) -> Sequence[Request]:
        """What is owed, before anything else is decided."""
        if not self.debts:
            return ()
        self._on_paid()
        gifts = [(bucket, -tokens, 0, 1) for bucket, tokens in self.debts.take()]
        return self._gifts(gifts, on_answer=self._put_back)

    def _gifts(self, gifts: Sequence[Gift], on_answer: Answered | None = None) -> list[Request]:
        """A call for each slot."""
        slots: dict[str, list[Gift]] = {}
        for gift in gifts:
            slots.setdefault(gift[0].name.rpartition(":")[0], []).append(gift)
        parts = (
            together[start : start + _GIVEN_TOGETHER]
            for together in slots.values()
            for start in range(0, len(together), _GIVEN_TOGETHER)
        )
        return [self._gift(part, on_answer) for part in parts]

    def _gift(self, gifts: list[Gift], on_answer: Answered | None) -> Request:
        words: list[object] = [self._now, "give"]
        for bucket, tokens, at, ceiling in gifts:
            words += (bucket.period, bucket.burst, tokens, at, ceiling)
        told = None if on_answer is None else partial(on_answer, gifts)
        return Request.of_script(admit_script(), [gift[0].name for gift in gifts], words, on_answer=told)

    def _put_back(self, gifts: list[Gift], request: Request) -> None:
        if request.error is not None:
            self.debts.put_back([(bucket, -tokens) for bucket, tokens, _, _ in gifts])


def _ignore(gifts: list[Gift], request: Request) -> None:
    """Nobody waits for this one."""
