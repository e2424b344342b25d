"""The span of a decision: begun when its parent is known, ended with its record.

Its parent is the span that the message names in ``_meta`` (as that of the server's own span is: the two stand side by
side then), else the one that is current, else the one of the HTTP header. A caller whom nobody knows chooses no
parent: what it names is linked to. While the server runs the message, the span is current.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import Token
from typing import TYPE_CHECKING, Final

from opentelemetry import context, trace
from opentelemetry.context import Context

from doorward.telemetry.ended import Ended, bounded_method
from doorward.telemetry.traceparent import SpanParent

if TYPE_CHECKING:
    from doorward.telemetry.telemetry import Telemetry

__all__ = ["Spans", "Trace", "is_real", "spans_of_the_process"]

Spans = trace.Tracer

_MAX_NAME: Final = 256
"""Characters of a name that reach a span, as in a record."""

_FAILED: Final = frozenset({"error", "tool_error", "tool_failure", "unavailable"})
"""What is nobody's refusal."""


def is_real(provider: object) -> bool:
    """Whether it is another one than those of the API, which record nothing."""
    return not type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


def spans_of_the_process() -> Spans | None:
    """What makes spans; None while nothing would become of them."""
    provider = trace.get_tracer_provider()
    return provider.get_tracer("doorward") if is_real(provider) else None


class Trace:
    """What is told of one decision."""

    __slots__ = ("_around", "_at", "_ended", "_span", "_telemetry", "claimed")

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._at = time.time_ns()
        self._around = context.get_current()
        self._span: trace.Span | None = None
        self._ended = False
        self.claimed: SpanParent | None = None
        """What the HTTP request says it is part of."""

    @property
    def trace_id(self) -> str | None:
        """Of the span, 32 hexadecimal digits."""
        if self._span is None:
            return None
        made = self._span.get_span_context()
        return trace.format_trace_id(made.trace_id) if made.is_valid else None

    def start(self, method: str | None, *, is_known: bool, claimed: SpanParent | None = None) -> None:
        """Begin the span, once. ``is_known``: whether the caller is; ``claimed``: what the message says it is part
        of."""
        if self._span is not None or self._telemetry.spans is None:
            return
        try:
            parent, links = self._parent(is_known, claimed)
            told = bounded_method(method)
            self._span = self._telemetry.spans.start_span(
                "doorward" if told is None else f"doorward {told}",
                context=parent,
                attributes=None if told is None else {"mcp.method.name": told},
                links=links,
                start_time=self._at,
            )
        except Exception as error:  # of a sampler or a processor of somebody's own, anything
            self._telemetry.failed(error)

    def enter(self) -> Token[Context] | None:
        """Make the span the current one: what the server does is part of it."""
        if self._span is None:
            return None
        return context.attach(trace.set_span_in_context(self._span))

    def leave(self, token: Token[Context] | None) -> None:
        """Undo `enter`."""
        if token is not None:
            context.detach(token)

    def end(self, ended: Ended) -> None:
        """End the span and count it, once."""
        if self._ended:
            return
        self._ended = True
        try:
            self._end_span(ended)
            if self._telemetry.metrics is not None:
                self._telemetry.metrics.ended(ended)
        except Exception as error:  # of a processor or a reader of somebody's own, anything
            self._telemetry.failed(error)

    def end_later(self, ended: Ended) -> None:
        """`end`, for a finalizer."""
        self._telemetry.leave(lambda: self.end(ended))

    def _parent(self, is_known: bool, in_message: SpanParent | None) -> tuple[Context, Sequence[trace.Link]]:
        current = trace.get_current_span(self._around).get_span_context()
        claimed = in_message or self.claimed
        if claimed is None:
            return self._around, ()
        remote = trace.SpanContext(
            claimed.trace_id, claimed.span_id, is_remote=True, trace_flags=trace.TraceFlags(claimed.sampled)
        )
        if is_known and (in_message is not None or not current.is_valid):
            made = trace.set_span_in_context(trace.NonRecordingSpan(remote), self._around)
            return made, [trace.Link(current)] if current.is_valid else ()
        return self._around, () if current.trace_id == remote.trace_id else [trace.Link(remote)]

    def _end_span(self, ended: Ended) -> None:
        span = self._span
        if span is None:
            return
        if span.is_recording():
            span.set_attributes({name: value for name, value in _attributes(ended) if value is not None})
            if ended.result in _FAILED:
                span.set_status(trace.StatusCode.ERROR)
        span.end(self._at + int(ended.seconds * 1e9))


def _attributes(ended: Ended) -> Sequence[tuple[str, str | int | bool | Sequence[str] | None]]:
    return (
        ("doorward.request_id", ended.request_id),
        ("doorward.parent_id", ended.parent_id),
        ("doorward.transport", ended.transport),
        ("doorward.client_id", ended.client_id and ended.client_id[:_MAX_NAME]),
        ("gen_ai.tool.name", ended.tool and ended.tool[:_MAX_NAME]),
        ("doorward.rule", ended.rule),
        ("doorward.result", ended.result),
        ("error.type", None if ended.is_well else ended.reason or ended.result),
        ("doorward.budget", ended.budget),
        ("doorward.budget.scope", ended.budget_scope),
        ("doorward.budget.window", ended.budget_window),
        ("doorward.limits.fallback", ended.limits_fallback),
        ("doorward.retry_after_ms", ended.retry_after_ms),
        ("doorward.would_deny", ended.would_deny or None),
        ("doorward.disconnected", ended.disconnected or None),
    )
