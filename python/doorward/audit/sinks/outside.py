"""Sinks beyond files: a sink of the operator's own, OpenTelemetry. They are handed lines in a thread."""

from __future__ import annotations

import json
from typing import Final

from doorward.audit.chain import Chain
from doorward.extras import install
from doorward.settings import LineSink

__all__ = ["OtelSink", "OutsideSink"]


class OutsideSink:
    """A sink of two methods that somebody else wrote."""

    follows: str | None = None
    undelivered = 0

    def __init__(self, sink: LineSink, instance: str) -> None:
        self.chain = Chain(instance)
        self._sink = sink

    def write(self, data: bytes) -> int:
        """All of it, or whatever its author raises."""
        self._sink.write(data.splitlines(keepends=True))
        return len(data)

    def sync(self) -> None:
        """What it means to have taken a line is its own affair."""

    def close(self) -> None:
        """Its own way."""
        self._sink.close()


class OtelSink:
    """OpenTelemetry logs: the line as the body, and what one searches for as attributes."""

    follows: str | None = None
    undelivered = 0

    def __init__(self, instance: str) -> None:
        """Raises `ValueError` where OpenTelemetry is not installed."""
        try:
            from opentelemetry._logs import SeverityNumber, get_logger
        except ImportError:
            raise ValueError(f"otel needs OpenTelemetry: {install('otel')}") from None
        self.chain = Chain(instance)
        self._logger = get_logger("doorward.audit")
        self._severity = SeverityNumber.INFO

    def write(self, data: bytes) -> int:
        """Hand them to the process's provider, which has a queue of its own."""
        for line in data.splitlines():
            record = json.loads(line)
            known = {name: record.get(name) for name in _ATTRIBUTES}
            self._logger.emit(
                severity_number=self._severity,
                severity_text="INFO",
                event_name=f"doorward.audit.{record['event']}",
                body=line.decode(),
                attributes={f"doorward.{name}": value for name, value in known.items() if value is not None},
            )
        return len(data)

    def sync(self) -> None:
        """Whether it arrives is the exporter's affair."""

    def close(self) -> None:
        """The provider is the process's."""


_ATTRIBUTES: Final = (
    "request_id",
    "trace_id",
    "client_id",
    "method",
    "tool_name",
    "result",
    "reason",
    "rule",
    "instance",
    "sequence",
)
