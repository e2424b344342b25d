"""Where lines go."""

from __future__ import annotations

from doorward.audit.sinks.descriptors import Sink, StderrSink, StdoutSink, UnsaidSink
from doorward.audit.sinks.files import FileSink
from doorward.audit.sinks.outside import OtelSink, OutsideSink
from doorward.audit.sinks.syslog import SyslogSink
from doorward.settings import AuditSink

__all__ = [
    "FileSink",
    "OtelSink",
    "OutsideSink",
    "Sink",
    "StderrSink",
    "StdoutSink",
    "SyslogSink",
    "UnsaidSink",
    "open_sink",
]


def open_sink(place: AuditSink, instance: str) -> Sink:
    """The sink that the settings describe. Raises `OSError`, or `ValueError` for what is not installed."""
    if place.sink is not None:
        return OutsideSink(place.sink, instance)
    if place.syslog is not None:
        return SyslogSink(place.syslog, instance)
    if place.otel:
        return OtelSink(instance)
    if place.path == "stdout" or place.path is None:
        return StdoutSink(instance)
    if place.path == "stderr":
        return StderrSink(instance)
    return FileSink(place.path, instance, max_bytes=place.max_bytes, daily=place.daily)
