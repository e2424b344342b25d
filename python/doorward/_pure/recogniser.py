"""The fast path for the head of an HTTP request: every header is known here, or the request takes the slow path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Generic, TypeVar, final

from doorward._pure.cache import TokenCache

__all__ = ["Recognised", "Recogniser"]

_T = TypeVar("_T")

MAX_SIZE_DIGITS: Final = 15
"""Of a declared size: a petabyte. Longer ones would only make the conversion slow."""

_BEARER: Final = b"Bearer "
"""The spelling of every known client. Others are valid (RFC 9110 section 11.1) and take the slow path."""

_HARMLESS: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"baggage",
        b"connection",
        b"content-type",
        b"cookie",
        b"mcp-method",
        b"mcp-name",
        b"mcp-session-id",
        b"sec-fetch-mode",
        b"tracestate",
        b"user-agent",
        b"via",
        b"x-request-id",
    }
)
"""Headers that no check of the gate reads: what the official clients, common HTTP libraries and tracing send. A header
that is neither here nor in `_READ` takes the slow path, so a check that is added there cannot be bypassed here."""

_HARMLESS_PREFIX: Final = b"mcp-param-"
"""Of the headers that repeat arguments of a call (MCP 2026-07-28); the server behind the gate compares them."""

_WITHHELD: Final = b"authorization"

_LOOPBACK: Final = IPv6Address("::1")

_READ: Final = frozenset({b"host", _WITHHELD, b"mcp-protocol-version", b"traceparent", b"content-length"})
"""Headers that the fast path reads itself."""


@final
@dataclass(frozen=True, slots=True, repr=False)
class Recognised(Generic[_T]):
    """A request with a cached caller."""

    caller: _T
    protocol: str | None
    traceparent: str | None
    content_length: int | None
    others: list[tuple[bytes, bytes]]


@final
class Recogniser(Generic[_T]):
    """Finds the cached caller of a request whose head is plain."""

    def __init__(self, callers: TokenCache[_T], *, hosts: Iterable[str], max_body_bytes: int) -> None:
        self._callers = callers
        self._hosts = frozenset(host.encode() for host in hosts)
        self._max_body_bytes = max_body_bytes

    def recognise(self, headers: object, *, scheme: str, peer: str | None, now: float) -> Recognised[_T] | None:
        """The cached caller of a request, if each of its headers is one that the fast path knows. None means "take
        the slow path", not "refuse"."""
        if not isinstance(headers, list) or not (scheme == "https" or _is_loopback(peer)):
            return None
        found: dict[bytes, bytes] = {}
        others = []
        for pair in headers:
            if not _is_pair(pair):
                return None
            name = pair[0].lower()
            if name in _READ:
                if name in found or not pair[1].isascii():
                    return None
                found[name] = pair[1]
            elif name not in _HARMLESS and not name.startswith(_HARMLESS_PREFIX):
                return None
            if name != _WITHHELD:
                others.append(pair)
        size, credentials = found.get(b"content-length"), found.get(_WITHHELD, b"")
        if not credentials.startswith(_BEARER) or found.get(b"host") not in self._hosts:
            return None
        # RFC 9110 section 8.6: digits alone.
        if size is not None and not (size.isdigit() and len(size) <= MAX_SIZE_DIGITS):
            return None
        length = None if size is None else int(size)
        caller = self._callers.get(credentials[len(_BEARER) :], now=now)
        if caller is None or (length or 0) > self._max_body_bytes:
            return None
        protocol, traceparent = (_decoded(found.get(name)) for name in (b"mcp-protocol-version", b"traceparent"))
        return Recognised(caller, protocol, traceparent, length, others)


@lru_cache(maxsize=1024)
def _is_loopback(peer: str | None) -> bool:
    try:
        address = ip_address(peer or "")
    except ValueError:
        return False
    return address.is_loopback if isinstance(address, IPv4Address) else address == _LOOPBACK


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _is_pair(pair: object) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], bytes) and isinstance(pair[1], bytes)
