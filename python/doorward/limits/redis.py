"""Budgets that many processes share, in Redis.

The arithmetic is `admit.lua`'s, the same as the core's but in microseconds of the server's clock. What happens when
Redis is slow or away is each call's own choice: ``local``, ``deny`` or ``allow``.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from anyio.lowlevel import checkpoint

from doorward import checks
from doorward._core import Charge, RemoteGrant
from doorward._redis import NotAnAnswer, Store, StoreError
from doorward.errors import refusal
from doorward.limits.fallback import LocalShare
from doorward.limits.leases import Leases
from doorward.limits.redis_buckets import RemoteBuckets
from doorward.limits.redis_grant import Locally, Source
from doorward.limits.redis_keys import Plan, Plans
from doorward.limits.redis_script import Answer, limited, short_of

__all__ = ["MODES", "POLICIES", "RedisLimiter", "RemoteGrant"]

MODES: Final = ("exact", "leased")
POLICIES: Final = ("local", "deny", "allow")

MAX_INSTANCES: Final = 10_000
"""More processes than anybody runs side by side; the same in process."""

MAX_COST: Final = 1_000_000_000
"""No limit ever holds more tokens than this."""

_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
"""No braces: they would decide on the slot."""


class RedisLimiter:
    """Token buckets in Redis, for all processes that use one ``prefix``.

    ``mode``: ``exact`` asks Redis about every call; ``leased`` takes tokens of hot keys in advance. ``on_error``: what
    a call gets while Redis does not answer within 50 ms. ``local`` is a share of one in ``instances`` in this process,
    ``deny`` a refusal, ``allow`` an admission; `fallbacks` counts each. ``alarm`` is told slugs: ``redis_unreachable``,
    ``redis_refuses``, ``redis_evicts``, ``redis_debts_lost``.

    Starts on the running loop (asyncio or trio) with the first call; nothing here waits for Redis before that. Raises
    `ValueError` for an argument that cannot be right and `ImportError` without redis-py.
    """

    def __init__(
        self,
        url: str,
        *,
        mode: str = "exact",
        on_error: str = "local",
        instances: int = 1,
        prefix: str = "doorward",
        alarm: Callable[[str], None] | None = None,
    ) -> None:
        checks.one_of("mode", mode, MODES)
        checks.one_of("on_error", on_error, POLICIES)
        checks.whole("instances", instances, at_least=1)
        if instances > MAX_INSTANCES:
            raise ValueError(f"instances is at most {MAX_INSTANCES}")
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise ValueError("prefix is 1 to 64 letters, digits and any of _.:-")
        self._mode = mode
        self._on_error = on_error
        self._store = Store(url, alarm=alarm)
        self._plans = Plans(prefix, apart=self._store.is_cluster)
        self._share = LocalShare(instances)
        self._buckets = RemoteBuckets(self._store, on_paid=self._share.start_anew)
        self._leases = Leases(self._store, self._buckets) if mode == "leased" else None
        self._take = None if self._leases is None else self._leases.holdings.take
        self.fallbacks: Counter[str] = Counter()
        """How many calls Redis did not decide, by what they got instead: admitted by ``local`` or ``allow``, refused by
        ``deny``."""

    @property
    def store(self) -> Store:
        """The connection, for what else the instances tell each other."""
        return self._store

    def __repr__(self) -> str:
        return f"RedisLimiter({self._store!r}, mode={self._mode!r}, on_error={self._on_error!r})"

    async def admit(
        self,
        *,
        domain: str,
        charges: Sequence[Charge],
        on_error: str | None = None,
        on_fallback: Callable[[str], None] | None = None,
    ) -> RemoteGrant:
        """Spend all charges or none, within 50 ms. ``on_error`` overrides the limiter's own for this call;
        ``on_fallback`` is called with it where Redis did not decide.

        Raises `Limited` with nothing spent: its ``retry_after`` is that of the longest violated budget, in seconds,
        exact; None when it never fits. Raises `Unavailable` when Redis cannot be asked and ``on_error`` is ``deny``.
        """
        if self._take is not None:
            # Every call of a hot key comes this way and no further.
            grant = self._take(domain, charges, time.monotonic())
            if grant is not None:
                return grant
        plan = self._plans.of(domain, charges)
        leases = self._leases
        if on_error is not None:
            checks.one_of("on_error", on_error, POLICIES)
        if not plan.charges:
            return RemoteGrant(plan, ())
        try:
            if leases is not None and leases.serve(plan):
                return await leases.admit(plan)
            return _granted(plan, await self._buckets.spend(plan))
        except StoreError as error:
            # Who asks again and again without a pause must not keep the loop from finding Redis back.
            await checkpoint()
            problem = str(error)
            if isinstance(error, NotAnAnswer):
                self._store.misunderstood("limits", error.word)
        policy = on_error or self._on_error
        if on_fallback is not None:
            on_fallback(policy)
        return self._without(plan, policy, problem)

    async def refund(self, grant: RemoteGrant) -> None:
        """Give back what a call spent that never started, as far as the time since has not given it back already. A
        grant is refunded or settled once in all; again does nothing. What Redis cannot be told within 50 ms is lost."""
        await self._settle(grant, 0)

    async def settle(self, grant: RemoteGrant, actual: int) -> None:
        """Each charge of the grant that cost something costs ``actual`` tokens instead. More may leave a bucket in
        debt, at most one full burst below empty; less gives back by the rule of `refund`. Raises `ValueError` for an
        ``actual`` that no charge could cost."""
        if isinstance(actual, bool) or not isinstance(actual, int):
            raise TypeError("actual is an int")
        if not 0 <= actual <= MAX_COST:
            raise ValueError(f"a cost is between 0 and {MAX_COST}")
        await self._settle(grant, actual)

    async def aclose(self) -> None:
        """Give back what is leased and close the connection of the running loop; a later call opens it again."""
        if self._leases is not None:
            self._buckets.send(self._leases.end())
        await self._store.aclose()

    async def _settle(self, grant: RemoteGrant, actual: int) -> None:
        if not isinstance(grant, RemoteGrant):
            raise TypeError("a RedisLimiter settles its own grants")
        plan: Plan = grant.plan
        source: Source | None = grant.close()
        if isinstance(source, Answer):
            await self._buckets.settle(plan, source, [bucket.paying * actual for bucket in plan.buckets])
        elif isinstance(source, Locally):
            source.limiter.settle(source.grant, actual, tick=time.monotonic_ns())
            self._buckets.debts.settle(plan, actual)
        elif source is not None and self._leases is not None:
            self._buckets.send(self._leases.settle(plan, source, actual))

    def _without(self, plan: Plan, policy: str, problem: str) -> RemoteGrant:
        """What a call gets that Redis did not decide, because of the ``problem``."""
        if policy == "deny":
            self.fallbacks[policy] += 1
            raise refusal("store_unavailable", problem)
        if policy == "allow":
            self.fallbacks[policy] += 1
            self._buckets.owe(plan)
            return RemoteGrant(plan, (0,) * len(plan.order))
        local = self._share.admit(plan, tick=time.monotonic_ns())
        self.fallbacks[policy] += 1
        self._buckets.owe(plan)
        return RemoteGrant(plan, local.grant.remaining, local.grant.would_deny, local)


def _granted(plan: Plan, answer: Answer) -> RemoteGrant:
    """What Redis decided. Raises `Limited`."""
    if not answer.admitted:
        raise limited(plan, answer.wait, answer.left)
    return RemoteGrant(
        plan,
        tuple(answer.left if plan.in_order else [answer.left[position] for position in plan.order]),
        short_of(plan, answer.wait, observe=True) if any(answer.wait) else (),
        answer,
    )
