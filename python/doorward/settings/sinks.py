"""Where the record may go: one type for every kind of place, so that a list of them says all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from doorward import checks
from doorward.settings.syslog import parse_syslog

__all__ = ["STREAMS", "AuditSink", "LineSink"]

STREAMS: Final = ("stdout", "stderr")
"""What is no file of such a name."""

MIN_ROTATED_BYTES: Final = 4096
"""A file holds a record at least, or every record would be a file."""


class LineSink(Protocol):
    """A sink of your own. Both methods run in one thread, never on the event loop, and may take their time."""

    def write(self, lines: Sequence[bytes]) -> object:
        """Take all the lines, each with its newline, or raise: then the very same lines come again, later."""

    def close(self) -> object:
        """Take no more."""


@dataclass(frozen=True)
class AuditSink:
    """One place that every record goes to: exactly one of ``path``, ``syslog``, ``otel`` and ``sink``."""

    path: str | None = None
    """A file, ``stdout`` or ``stderr``."""
    syslog: str | None = None
    """A socket like ``/dev/log``, or ``udp://host:514``, ``tcp://host:601``, ``tcp://host:514?framing=newline``,
    ``tls://host:6514``, ``tls://host:6514?ca_file=/etc/ssl/syslog-ca.pem``."""
    otel: bool = False
    """OpenTelemetry logs, by the provider that the process has set. Needs the extra ``otel``."""
    sink: LineSink | None = field(default=None, compare=False)
    """Your own."""
    on_failure: str | None = None
    """``deny`` or ``allow``; None for what `Audit` says."""
    max_bytes: int | None = None
    """Of a file: beyond, it is rotated."""
    daily: bool = False
    """Whether a file is rotated when a day (UTC) ends."""

    def __post_init__(self) -> None:
        if [self.path is not None, self.syslog is not None, self.otel, self.sink is not None].count(True) != 1:
            raise ValueError("path, syslog, otel or sink must be given, exactly one of them")
        checks.flag("otel", self.otel)
        checks.flag("daily", self.daily)
        if self.path is not None:
            object.__setattr__(self, "path", checks.path("path", self.path))
        if self.syslog is not None:
            parse_syslog(checks.text("syslog", self.syslog))
        if self.sink is not None and not all(
            callable(getattr(self.sink, method, None)) for method in ("write", "close")
        ):
            raise ValueError("sink must have two methods, write(lines) and close()")
        if self.on_failure is not None:
            checks.one_of("on_failure", self.on_failure, ("deny", "allow"))
        if self.max_bytes is not None:
            checks.whole("max_bytes", self.max_bytes, at_least=MIN_ROTATED_BYTES)
        if not self.is_file and (self.daily or self.max_bytes is not None):
            raise ValueError(f"{'daily' if self.daily else 'max_bytes'} is for a file: nothing else is rotated")

    @property
    def named(self) -> str:
        """What its operator calls it."""
        own = "OpenTelemetry" if self.sink is None else type(self.sink).__name__
        return self.path or self.syslog or own

    @property
    def is_file(self) -> bool:
        """Whether it is a file, which alone can be made durable."""
        return self.path is not None and self.path not in STREAMS
