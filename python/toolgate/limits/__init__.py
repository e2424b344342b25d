"""May they now: budgets become charges, keyed by verified claims alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolgate.limits.failures import FailedAttempts
from toolgate.limits.slots import Held
from toolgate.limits.snapshot import Snapshot
from toolgate.limits.spender import Spender
from toolgate.limits.spending import Spending

if TYPE_CHECKING:
    from toolgate.limits.redis import RedisLimiter

__all__ = ["FailedAttempts", "Held", "RedisLimiter", "Snapshot", "Spender", "Spending"]


def __getattr__(name: str) -> Any:
    # Most processes need no Redis, and its client takes long to import.
    if name == "RedisLimiter":
        from toolgate.limits.redis import RedisLimiter

        return RedisLimiter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
