"""Observed budgets in Redis, as in process: they never refuse, and change nothing for an enforced one beside them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from servers.standalone import RedisServer

import doorward
from doorward.errors import Limited
from doorward.limits import RedisLimiter

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patient")]

ENFORCED = doorward.Charge("enforced", "5/day")
TIGHT = doorward.Charge("observed", "2/day", observe=True)
TIGHTER = doorward.Charge("enforced", "2/hour", observe=True)
NEVER = doorward.Charge("never", "1/day", cost=3, observe=True)
BESIDE = {
    "another": (TIGHT,),
    "its own key": (TIGHTER,),
    "one that never fits": (NEVER,),
    "all": (TIGHT, TIGHTER, NEVER),
}
MODES = ["exact", "leased"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("observed", BESIDE.values(), ids=BESIDE)
async def test_an_enforced_budget_notices_nothing(
    mode: str, observed: tuple[doorward.Charge, ...], redis_server: RedisServer
) -> None:
    limiter = RedisLimiter(redis_server.url, mode=mode, on_error="deny")
    alone = [await outcome(limiter, "alone", [ENFORCED]) for _ in range(8)]
    beside = [await outcome(limiter, "beside", [ENFORCED, *observed]) for _ in range(8)]
    await limiter.aclose()
    assert beside == alone
    assert [admitted for admitted, _ in beside] == [True] * 5 + [False] * 3


@pytest.mark.parametrize("mode", MODES)
async def test_it_says_when_it_would_have_refused(mode: str, redis_server: RedisServer) -> None:
    limiter = RedisLimiter(redis_server.url, mode=mode, on_error="deny")
    grants = [await limiter.admit(domain="domain", charges=[ENFORCED, TIGHT]) for _ in range(4)]
    await limiter.aclose()
    assert [grant.would_deny for grant in grants] == [(), (), ("observed",), ("observed",)]


async def outcome(
    limiter: RedisLimiter, domain: str, charges: Sequence[doorward.Charge]
) -> tuple[bool, int | tuple[str, ...]]:
    """Whether a call was admitted, and what is left of the enforced budget or which were violated."""
    try:
        return True, (await limiter.admit(domain=domain, charges=charges)).remaining[0]
    except Limited as refused:
        return False, refused.violated
