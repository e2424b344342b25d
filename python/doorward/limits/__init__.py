"""May they now: budgets become charges, keyed by verified claims alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from doorward.limits.failures import FailedAttempts
from doorward.limits.slots import Held
from doorward.limits.snapshot import Snapshot
from doorward.limits.spender import Spender
from doorward.limits.spending import Spending
from doorward.settings import Limits

if TYPE_CHECKING:
    from doorward.limits.redis import RedisLimiter

__all__ = ["FailedAttempts", "Held", "RedisLimiter", "Snapshot", "Spender", "Spending", "remote_limiter"]


def __getattr__(name: str) -> Any:
    # Most processes need no Redis, and its client takes long to import.
    if name == "RedisLimiter":
        from doorward.limits.redis import RedisLimiter

        return RedisLimiter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def remote_limiter(limits: Limits, alarm: Callable[[str], None]) -> RedisLimiter | None:
    """The limiter of the store that the configuration names; None where budgets are kept in this process. Raises
    `ImportError` without redis-py."""
    if limits.url is None:
        return None
    from doorward.limits.redis import RedisLimiter

    return RedisLimiter(
        limits.url,
        mode=limits.mode,
        on_error=limits.on_error,
        instances=limits.shares,
        prefix=limits.prefix,
        alarm=alarm,
    )
