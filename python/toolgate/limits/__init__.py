"""May they now: budgets become charges, keyed by verified claims alone."""

from toolgate.limits.local import FailedAttempts
from toolgate.limits.slots import Held
from toolgate.limits.snapshot import Snapshot
from toolgate.limits.spender import Spender
from toolgate.limits.spending import Spending

__all__ = ["FailedAttempts", "Held", "Snapshot", "Spender", "Spending"]
