"""A process that listens: the real OpenTelemetry SDK, whose spans and metrics stay in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mcp.shared._otel
import opentelemetry.metrics._internal as metrics_globals
import opentelemetry.trace as trace_globals
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once


class Heard:
    """What was exported."""

    def __init__(self) -> None:
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self._spans = InMemorySpanExporter()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)

    def spans(self, scope: str = "doorward") -> list[ReadableSpan]:
        """Those of one library, in the order in which they ended."""
        return [span for span in self._spans.get_finished_spans() if _scope(span) == scope]

    def metrics_as_text(self) -> str:
        """All that was measured, by whomever."""
        data = self._reader.get_metrics_data()
        return "" if data is None else data.to_json()

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """The labels and the values of one metric of ours; of a histogram, how often something was measured."""
        data = self._reader.get_metrics_data()
        return [
            (dict(point.attributes or {}), getattr(point, "count", None) or getattr(point, "value", None))
            for of_resource in (data.resource_metrics if data else ())
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
            if of_scope.scope.name == "doorward" and metric.name == name
            for point in metric.data.data_points
        ]


@contextmanager
def listening_to_all() -> Iterator[Heard]:
    """The process has set providers; afterwards it has none, as if it never had."""
    heard = Heard()
    trace.set_tracer_provider(heard.tracer_provider)
    metrics.set_meter_provider(heard.meter_provider)
    try:
        yield heard
    finally:
        # They can be set once in a process, which is right for a process and wrong for its tests.
        trace_globals._TRACER_PROVIDER = None
        trace_globals._TRACER_PROVIDER_SET_ONCE = Once()
        metrics_globals._METER_PROVIDER = None
        metrics_globals._METER_PROVIDER_SET_ONCE = Once()
        setattr(mcp.shared._otel._tracer, "_real_tracer", None)  # noqa: B010 - the SDK's own, which remembers
        heard.tracer_provider.shutdown()
        heard.meter_provider.shutdown()


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """What it says."""
    return dict(span.attributes or {})


def trace_of(span: ReadableSpan) -> str:
    """Its trace, as a record spells it."""
    return trace.format_trace_id(context_of(span).trace_id)


def id_of(span: ReadableSpan) -> int:
    """Its own."""
    return context_of(span).span_id


def parent_of(span: ReadableSpan) -> int | None:
    """The id of the span above it."""
    return None if span.parent is None else span.parent.span_id


def _scope(span: ReadableSpan) -> str | None:
    return None if span.instrumentation_scope is None else span.instrumentation_scope.name


def context_of(span: ReadableSpan) -> trace.SpanContext:
    """Which every span has that was recorded."""
    found = span.get_span_context()
    assert found is not None
    return found
