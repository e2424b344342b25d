"""Three budgets of a call - client, tool, organisation - in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import anyio
import pyrate_limiter
import pytest
import throttled
from benches.contest import CALLS, CORES, OURS, Measure, many
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

BUDGETS = ("client:agent-7", "tool:delete_*:agent-7", "organization:acme")
MINUTE, DAY = 900_000_000, 1_000_000_000
"""So many that nothing is ever refused."""
THREADS = 8


class ByHand:
    """What one writes without a library: a dict a budget, one lock, one window, nothing ever forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: tuple[dict[str, tuple[float, float]], ...] = ({}, {}, {})

    def admit(self) -> bool:
        now = time.monotonic()
        with self._lock:
            after = []
            for buckets, key in zip(self._buckets, BUDGETS, strict=True):
                tokens, at = buckets.get(key, (MINUTE, now))
                tokens = min(MINUTE, tokens + (now - at) * MINUTE / 60)
                if tokens < 1:
                    return False
                after.append((tokens - 1, now))
            for buckets, key, bucket in zip(self._buckets, BUDGETS, after, strict=True):
                buckets[key] = bucket
        return True


def native(name: str, together: Callable[[Any], Any] | None = None) -> Callable[[], Any]:
    """Three budgets by minute and day, all or nothing; ``together`` as the gate has them where not said otherwise."""
    core = CORES[name]
    limiter, tick = core.Limiter(), time.monotonic_ns
    limits = (f"{MINUTE}/minute", f"{DAY}/day")
    charges = (together or core.Charges)([core.Charge(key, limit) for key in BUDGETS for limit in limits])
    return lambda: limiter.admit(domain="acme", charges=charges, tick=tick())


def limits_library() -> Callable[[], Any]:
    """One window each, with the cheapest strategy."""
    hit, limit = FixedWindowRateLimiter(MemoryStorage()).hit, parse(f"{DAY}/minute")
    first, second, third = BUDGETS
    return lambda: hit(limit, first) and hit(limit, second) and hit(limit, third)


def pyrate() -> Callable[[], Any]:
    """Both windows, one limiter a budget, as its token bucket keeps no log of every call."""
    rates = [
        pyrate_limiter.Rate(MINUTE, pyrate_limiter.Duration.MINUTE),
        pyrate_limiter.Rate(DAY, pyrate_limiter.Duration.DAY),
    ]
    bucket, algorithm = pyrate_limiter.StateBucket, pyrate_limiter.TokenBucket
    first, second, third = (pyrate_limiter.Limiter(bucket(rates, algorithm())).try_acquire for _ in BUDGETS)
    a, b, c = BUDGETS
    return lambda: first(a, blocking=False) and second(b, blocking=False) and third(c, blocking=False)


def throttled_py() -> Callable[[], Any]:
    """One window, its token bucket."""
    quota = throttled.rate_limiter.per_min(MINUTE, burst=MINUTE)
    limit = throttled.Throttled(using="token_bucket", quota=quota, store=throttled.store.MemoryStore()).limit
    first, second, third = BUDGETS
    return lambda: not (limit(first).limited or limit(second).limited or limit(third).limited)


CONTESTANTS: dict[str, Callable[[], Callable[[], Any]]] = {
    **{name: lambda name=name: native(name) for name in CORES},  # type: ignore[misc]
    f"{OURS}, charges in a tuple": lambda: native(OURS, tuple),
    f"{OURS}, charges in a list": lambda: native(OURS, list),
    "limits, three calls, one window": limits_library,
    "pyrate-limiter, three calls, two windows": pyrate,
    "throttled-py, three calls, one window": throttled_py,
    "three dicts and a lock, one window": lambda: ByHand().admit,
}


@pytest.mark.parametrize("name", CONTESTANTS)
def test_admit(name: str, measure: Measure) -> None:
    admit = CONTESTANTS[name]()
    assert admit()
    measure("admit: three budgets, two windows where not said otherwise", name, many(admit), decisions=CALLS)
    assert admit(), "a contestant that refuses does less than it should"


@pytest.mark.parametrize("name", CONTESTANTS)
def test_admit_under_threads(name: str, measure: Measure) -> None:
    admit = CONTESTANTS[name]()

    calls = many(admit)
    with ThreadPoolExecutor(THREADS) as pool:
        measure(
            f"admit under {THREADS} threads, a decision",
            name,
            lambda: list(pool.map(lambda _: calls(), range(THREADS))),
            decisions=THREADS * CALLS,
        )
    assert admit(), "a contestant that refuses does less than it should"


def test_admit_by_fastmcp(measure: Measure) -> None:
    """Its middleware has one window and refuses by an exception; three of them, one a budget. In a loop of its own."""
    limiting = pytest.importorskip(
        "fastmcp.server.middleware.rate_limiting", reason="fastmcp is not installed: pip install 'fastmcp>=4.1'"
    )

    async def handler(_: Any) -> bool:
        return True

    admit: Callable[[Any], Any] = handler
    for budget in BUDGETS:
        middleware = limiting.RateLimitingMiddleware(
            max_requests_per_second=MINUTE / 60, burst_capacity=MINUTE, get_client_id=lambda _, budget=budget: budget
        )
        admit = partial(_through, middleware.on_request, admit)

    async def calls() -> None:
        for _ in range(CALLS):
            await admit(None)

    name = "fastmcp, three middlewares, one window"
    measure(
        "admit: three budgets, two windows where not said otherwise", name, lambda: anyio.run(calls), decisions=CALLS
    )


def _through(on_request: Any, call_next: Any, context: Any) -> Any:
    return on_request(context, call_next)
