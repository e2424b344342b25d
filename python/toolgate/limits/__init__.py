"""May they now: budgets become charges, keyed by verified claims alone."""

from toolgate.limits.local import FailedAttempts, Spender, Spending

__all__ = ["FailedAttempts", "Spender", "Spending"]
