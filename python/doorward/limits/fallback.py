"""While Redis does not answer: this process's own share of each budget, and what is owed to Redis for it."""

from __future__ import annotations

from typing import Final

from doorward._core import Charge, Limiter
from doorward.limits.redis_grant import Locally
from doorward.limits.redis_keys import Bucket, Plan

__all__ = ["Debts", "LocalShare"]

MAX_DEBTS: Final = 10_000
"""Buckets for which something is owed; so many are paid in a fraction of a second."""


class LocalShare:
    """One in ``instances`` of each limit, starting with a single token: a full bucket in every process would be a
    bucket more for each, at every fault."""

    def __init__(self, instances: int) -> None:
        self._instances = instances
        self._limiter = Limiter(initial=1)
        self._used = False

    def admit(self, plan: Plan, *, tick: int) -> Locally:
        """The share's own admission, and who can undo it. Raises `Limited`."""
        self._used = True
        parts = [self._part(charge) for charge in plan.charges]
        return Locally(self._limiter, self._limiter.admit(domain=plan.domain, charges=parts, tick=tick))

    def start_anew(self) -> None:
        """Redis decides again: the next fault starts with a single token again."""
        if self._used:
            self._used = False
            self._limiter = Limiter(initial=1)

    def _part(self, charge: Charge) -> Charge:
        return Charge(
            charge.key,
            charge.limit,
            cost=charge.cost,
            observe=charge.observe,
            shared=charge.shared,
            instances=self._instances,
        )


class Debts:
    """Tokens spent here that Redis does not know of."""

    def __init__(self) -> None:
        self._owed: dict[str, tuple[Bucket, int]] = {}
        self.is_complete = True
        """Whether all that was owed found room since it was last paid."""

    def __len__(self) -> int:
        return len(self._owed)

    def add(self, plan: Plan) -> None:
        """The call was admitted without Redis."""
        for bucket in plan.buckets:
            self._add(bucket, bucket.cost)

    def settle(self, plan: Plan, actual: int) -> None:
        """The call turned out to cost so much: what was paid meanwhile is not asked back."""
        for bucket in plan.buckets:
            owed, more = self._owed.get(bucket.name), bucket.paying * actual - bucket.cost
            if more > 0:
                self._add(bucket, more)
            elif owed is not None:
                self._owed[bucket.name] = bucket, max(owed[1] + more, 0)

    def take(self) -> list[tuple[Bucket, int]]:
        """All of it, to be paid."""
        owed = [(bucket, tokens) for bucket, tokens in self._owed.values() if tokens]
        self._owed, self.is_complete = {}, True
        return owed

    def put_back(self, unpaid: list[tuple[Bucket, int]]) -> None:
        """What may not have arrived: paid twice at worst, which costs tokens and gives none."""
        for bucket, tokens in unpaid:
            self._add(bucket, tokens)

    def _add(self, bucket: Bucket, tokens: int) -> None:
        owed = self._owed.get(bucket.name)
        if owed is None and len(self._owed) >= MAX_DEBTS:
            self.is_complete = False
        elif tokens:
            # One refill is all that a bucket can be emptied by.
            self._owed[bucket.name] = bucket, min((owed[1] if owed else 0) + tokens, bucket.burst)
