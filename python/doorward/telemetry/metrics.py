"""What is counted of every decision. No label has more values than the configuration, the protocol and our own slugs
have: a caller can make up names, and each would be a series of its own for ever."""

from __future__ import annotations

from typing import Final

from opentelemetry import metrics

from doorward.telemetry.ended import Ended, bounded_method, bounded_reason
from doorward.telemetry.spans import is_real

__all__ = ["Metrics", "metrics_of_the_process"]

_BOUNDARIES: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
"""Seconds: those of the semantic conventions for MCP, and below them where refusals end."""


def metrics_of_the_process() -> Metrics | None:
    """The instruments; None while nothing would become of what they measure."""
    provider = metrics.get_meter_provider()
    return Metrics(provider.get_meter("doorward")) if is_real(provider) else None


class Metrics:
    """The instruments."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._duration = meter.create_histogram(
            "doorward.call.duration",
            unit="s",
            description="From the first look at a request until its outcome was recorded",
            explicit_bucket_boundaries_advisory=_BOUNDARIES,
        )
        self._would_deny = meter.create_counter(
            "doorward.would_deny", unit="{call}", description="What observed rules and budgets would have refused"
        )
        self._alarms = meter.create_counter(
            "doorward.alarms", unit="{alarm}", description="What an operator should know, by slug"
        )

    def ended(self, ended: Ended) -> None:
        """One decision."""
        labels = {"doorward.transport": ended.transport, "doorward.result": ended.result}
        method = bounded_method(ended.method)
        if method is not None:
            labels["mcp.method.name"] = method
        if ended.rule is not None:
            labels["doorward.rule"] = ended.rule
        if not ended.is_well:
            labels["error.type"] = bounded_reason(ended.reason or ended.result)
        if ended.budget is not None:
            labels["doorward.budget"] = ended.budget
        if ended.budget_scope is not None:
            labels["doorward.budget.scope"] = ended.budget_scope
        if ended.budget_window is not None:
            labels["doorward.budget.window"] = ended.budget_window
        if ended.limits_fallback is not None:
            labels["doorward.limits.fallback"] = ended.limits_fallback
        self._duration.record(ended.seconds, labels)
        for reason in ended.would_deny:
            self._would_deny.add(1, {"doorward.rule": ended.rule or "", "error.type": reason})

    def alarm(self, slug: str) -> None:
        """One alarm."""
        self._alarms.add(1, {"error.type": slug})
