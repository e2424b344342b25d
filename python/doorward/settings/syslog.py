"""Where a syslog collector is, and how messages are framed on the way to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

__all__ = ["SyslogAddress", "parse_syslog"]

_MAX_PORT: Final = 65_535

_OPTIONS: Final = {
    "udp": frozenset[str](),
    "tcp": frozenset({"framing"}),
    "tls": frozenset({"ca_file", "certificate_file"}),
}
"""The transports, and the parameters that each takes in the query of its URL."""

_FRAMINGS: Final = ("octets", "newline")

_EXAMPLES: Final = "/dev/log, udp://host:514, tcp://host:601, tcp://host:514?framing=newline or tls://host:6514"


@dataclass(frozen=True, slots=True)
class SyslogAddress:
    """A parsed address."""

    transport: str
    """``local``, ``udp``, ``tcp`` or ``tls``."""
    host: str
    """The path of the socket, for ``local``."""
    port: int = 0
    framing: str = "octets"
    """How a message ends on a connection: ``octets`` puts its length before it (RFC 6587 section 3.4.1 and RFC 5425
    section 4.3), ``newline`` a newline behind it (RFC 6587 section 3.4.2)."""
    ca_file: str | None = None
    """Certificates that sign the collector's (PEM); None for those of the system."""
    certificate_file: str | None = None
    """The client's own certificate and its key (PEM)."""


def parse_syslog(address: str) -> SyslogAddress:
    """The address of a collector: the path of a local socket, or a URL. Raises `ValueError` that says what is wrong."""
    if address.startswith("/"):
        return SyslogAddress("local", address)
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        raise _wrong(address) from None
    if parts.scheme not in _OPTIONS or not host or not 0 < port <= _MAX_PORT or parts.path not in ("", "/"):
        raise _wrong(address)
    if parts.username is not None or parts.fragment:
        raise _wrong(address)
    return SyslogAddress(parts.scheme, host, port, **_options(address, parts))


def _options(address: str, parts: SplitResult) -> dict[str, str]:
    given = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(given)
    unknown = options.keys() - _OPTIONS[parts.scheme]
    if unknown or len(options) != len(given):
        known = " and ".join(sorted(_OPTIONS[parts.scheme])) or "none"
        raise ValueError(f"syslog is {address!r}: the parameters of {parts.scheme}:// are {known}, each once")
    if options.get("framing", "octets") not in _FRAMINGS:
        raise ValueError(f"syslog is {address!r}: framing must be {' or '.join(_FRAMINGS)}")
    if not all(options.values()):
        raise ValueError(f"syslog is {address!r}: a parameter is empty")
    return options


def _wrong(address: str) -> ValueError:
    return ValueError(f"syslog is {address!r}: it must be like {_EXAMPLES}")
