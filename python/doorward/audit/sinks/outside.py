"""Sinks beyond files: a sink of the operator's own, syslog, OpenTelemetry. They are handed lines in a thread."""

from __future__ import annotations

import json
import os
import socket
from typing import Any, Final
from urllib.parse import urlsplit

from doorward.audit.chain import Chain
from doorward.extras import install
from doorward.settings import LineSink

__all__ = ["OtelSink", "OutsideSink", "SyslogSink"]

_SEND_SECONDS: Final = 5.0
"""For one message to be taken, and for a connection: a collector that needs longer is away."""

_AUTHPRIV_NOTICE: Final = 10 * 8 + 5
"""RFC 5424 section 6.2.1: facility 10, security messages that not everybody reads; severity 5, normal but
significant."""


class OutsideSink:
    """A sink of two methods that somebody else wrote."""

    follows: str | None = None

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


class SyslogSink:
    """RFC 5424 over a local socket, UDP (RFC 5426) or TCP (RFC 6587, octet counting). The standard library's handler
    writes the older format, ends TCP messages where a line might, and swallows what fails."""

    follows: str | None = None

    def __init__(self, address: str, instance: str) -> None:
        self.chain = Chain(instance)
        self._address = address
        self._socket: socket.socket | None = None
        self._counts = address.startswith("tcp:")
        host = "".join(each for each in socket.gethostname() if "!" <= each <= "~")[:255] or "-"
        self._head = f"doorward {os.getpid()} audit - ".encode()
        self._host = host.encode()

    def write(self, data: bytes) -> int:
        """One message a line. Raises `OSError` when not even the first is taken."""
        taken = 0
        for line in data.splitlines(keepends=True):
            try:
                self._send(line[:-1])
            except OSError:
                self._hang_up()
                if taken == 0:
                    raise
                break
            taken += len(line)
        return taken

    def sync(self) -> None:
        """Nobody on the other side says what became of it."""

    def close(self) -> None:
        """Hang up."""
        self._hang_up()

    def _send(self, line: bytes) -> None:
        if self._socket is None:
            self._socket = self._connected()
        # PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG (RFC 5424 section 6)
        message = b"<%d>1 %b %b %b%b" % (_AUTHPRIV_NOTICE, _timestamp(line), self._host, self._head, line)
        if self._counts:
            self._socket.sendall(b"%d %b" % (len(message), message))
        else:
            self._socket.send(message)

    def _connected(self) -> socket.socket:
        made: socket.socket
        if self._address.startswith("/"):
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            place: Any = self._address
        else:
            parts = urlsplit(self._address)
            if self._counts:
                return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=_SEND_SECONDS)
            family, kind, protocol, _, place = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_DGRAM)[0]
            made = socket.socket(family, kind, protocol)
        made.settimeout(_SEND_SECONDS)
        try:
            made.connect(place)
        except OSError:
            made.close()
            raise
        return made

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class OtelSink:
    """OpenTelemetry logs: the line as the body, and what one searches for as attributes."""

    follows: str | None = None

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

_TIMESTAMP: Final = b'"timestamp":"'


def _timestamp(line: bytes) -> bytes:
    """When it happened, as the record says; ``-`` where it does not (RFC 5424 section 6.2.3)."""
    _, found, rest = line.partition(_TIMESTAMP)
    return rest.partition(b'"')[0] if found else b"-"
