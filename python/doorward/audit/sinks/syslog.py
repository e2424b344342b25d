"""Syslog: a local socket, UDP, TCP or TLS."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from doorward.audit.chain import Chain
from doorward.settings import SyslogAddress, parse_syslog

__all__ = ["SyslogSink"]

_SEND_SECONDS: Final = 5.0
"""For one message to be taken, and for a connection: a collector that needs longer is away."""

_AUTHPRIV_NOTICE: Final = 10 * 8 + 5
"""RFC 5424 section 6.2.1: facility 10, security messages that not everybody reads; severity 5, normal but
significant."""

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""RFC 3164 section 4.1.2: in English, whatever the locale."""

_TIMESTAMP: Final = b'"timestamp":"'


class SyslogSink:
    """Sends each line as one message: RFC 5424 over UDP (RFC 5426), TCP (RFC 6587) or TLS (RFC 5425); to a local socket
    the older form of RFC 3164 without a host name, which rsyslog, journald and syslog-ng expect there.

    The standard library's handler cannot report what was not sent.
    """

    follows: str | None = None

    def __init__(self, address: str, instance: str) -> None:
        """Raises `ValueError` for a certificate file that cannot be read."""
        self.chain = Chain(instance)
        self.undelivered = 0
        """Datagrams that are known not to have arrived."""
        self._to = parse_syslog(address)
        self._tls = _tls_context(self._to) if self._to.transport == "tls" else None
        self._socket: socket.socket | None = None
        host = "".join(each for each in socket.gethostname() if "!" <= each <= "~")[:255] or "-"
        self._host = host.encode()
        self._process = b"%d" % os.getpid()

    def write(self, data: bytes) -> int:
        """One message a line. Raises `OSError` when not even the first is taken."""
        taken = 0
        for line in data.splitlines(keepends=True):
            try:
                self._send(self._message(line[:-1]))
            except OSError:
                self._hang_up()
                if taken == 0:
                    raise
                break
            taken += len(line)
        return taken

    def sync(self) -> None:
        """The protocol has no acknowledgement."""

    def close(self) -> None:
        """Hang up."""
        self._hang_up()

    def _message(self, line: bytes) -> bytes:
        at = _timestamp(line)
        if self._to.transport == "local":
            # PRI TIMESTAMP TAG[PID]: MSG; the receiver knows the host.
            return b"<%d>%b doorward[%b]: %b" % (_AUTHPRIV_NOTICE, _local_time(at), self._process, line)
        # PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG (RFC 5424 section 6)
        head = b"<%d>1 %b %b doorward %b audit - " % (_AUTHPRIV_NOTICE, at or b"-", self._host, self._process)
        return head + line

    def _send(self, message: bytes) -> None:
        match self._to.transport:
            case "udp":
                self._send_by_udp(message)
            case "local":
                self._send_locally(message)
            case _:
                is_counted = self._to.framing == "octets"
                self._connected().sendall(b"%d %b" % (len(message), message) if is_counted else message + b"\n")

    def _send_by_udp(self, message: bytes) -> None:
        """UDP promises nothing, so that a datagram which is refused is counted and no failure of the sink."""
        for _ in range(2):
            connection = self._connected()
            try:
                connection.send(message)
            except ConnectionRefusedError:
                # The answer to an earlier datagram; this one was not sent.
                self.undelivered += 1
            except OSError:
                break
            else:
                return
        self.undelivered += 1
        self._hang_up()

    def _send_locally(self, message: bytes) -> None:
        try:
            self._connected().send(message)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            # It would be too long for ever, and all others would wait behind it.
            self.undelivered += 1

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = self._connect()
        return self._socket

    def _connect(self) -> socket.socket:
        to = self._to
        if to.transport in ("tcp", "tls"):
            connection = socket.create_connection((to.host, to.port), timeout=_SEND_SECONDS)
            if self._tls is None:
                return connection
            try:
                return self._tls.wrap_socket(connection, server_hostname=to.host)
            except BaseException:
                connection.close()
                raise
        family, place = _place(to)
        made = socket.socket(family, socket.SOCK_DGRAM)
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


def _place(to: SyslogAddress) -> tuple[int, Any]:
    if to.transport == "local":
        return socket.AF_UNIX, to.host
    family, _, _, _, place = socket.getaddrinfo(to.host, to.port, type=socket.SOCK_DGRAM)[0]
    return family, place


def _tls_context(to: SyslogAddress) -> ssl.SSLContext:
    """The collector's certificate and its name are always verified (RFC 5425 section 5.2)."""
    name, path = "ca_file", to.ca_file
    try:
        context = ssl.create_default_context(cafile=to.ca_file)
        if to.certificate_file is not None:
            name, path = "certificate_file", to.certificate_file
            context.load_cert_chain(to.certificate_file)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ValueError(f"syslog: {name} {path} cannot be used ({why}): it must be a readable PEM file") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _timestamp(line: bytes) -> bytes:
    """When it happened, as the record says; empty where it does not."""
    _, found, rest = line.partition(_TIMESTAMP)
    return rest.partition(b'"')[0] if found else b""


def _local_time(timestamp: bytes) -> bytes:
    """``Mmm dd hh:mm:ss`` in local time (RFC 3164 section 4.1.2)."""
    at = datetime.now().astimezone()
    with suppress(ValueError):
        at = datetime.fromisoformat(timestamp.decode("ascii", "replace")).astimezone()
    return f"{_MONTHS[at.month - 1]} {at.day:2d} {at:%H:%M:%S}".encode()
