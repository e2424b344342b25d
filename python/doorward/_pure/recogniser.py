"""The head of an HTTP request that is like nearly all others, and whose it is."""

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
"""As every client spells it; other spellings are as good (RFC 9110 section 11.1), and not plain."""

_UNUSUAL: Final = frozenset(
    {
        *(b"client-cert", b"content-encoding", b"origin", b"traceparent"),
        *(b"x-forwarded-client-cert", b"x-forwarded-for", b"x-forwarded-proto"),
    }
)
"""What is judged of a head beside what is known of it here: with one of them, it takes a second look."""

_WITHHELD: Final = b"authorization"

_LOOPBACK: Final = IPv6Address("::1")

_PLAIN: Final = frozenset({b"host", _WITHHELD, b"mcp-protocol-version", b"content-length"})


@final
@dataclass(frozen=True, slots=True, repr=False)
class Recognised(Generic[_T]):
    """A request of somebody who was here before."""

    caller: _T
    protocol: str | None
    content_length: int | None
    others: list[tuple[bytes, bytes]]


@final
class Recogniser(Generic[_T]):
    """Knows whose request it is where that takes no second look."""

    def __init__(self, callers: TokenCache[_T], *, hosts: Iterable[str], max_body_bytes: int) -> None:
        self._callers = callers
        self._hosts = frozenset(host.encode() for host in hosts)
        self._max_body_bytes = max_body_bytes

    def recognise(self, headers: object, *, scheme: str, peer: str | None, now: float) -> Recognised[_T] | None:
        """Whose request has such a head, where it is like nearly all others and its token was seen before; None for
        every other, about which nothing is said by that."""
        if not isinstance(headers, list) or not (scheme == "https" or _is_loopback(peer)):
            return None
        found: dict[bytes, bytes] = {}
        others = []
        for pair in headers:
            if not _is_pair(pair):
                return None
            name = pair[0].lower()
            if name in _UNUSUAL:
                return None
            if name in _PLAIN:
                if name in found or not pair[1].isascii():
                    return None
                found[name] = pair[1]
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
        protocol = found.get(b"mcp-protocol-version")
        return Recognised(caller, None if protocol is None else protocol.decode(), length, others)


@lru_cache(maxsize=1024)
def _is_loopback(peer: str | None) -> bool:
    try:
        address = ip_address(peer or "")
    except ValueError:
        return False
    return address.is_loopback if isinstance(address, IPv4Address) else address == _LOOPBACK


def _is_pair(pair: object) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], bytes) and isinstance(pair[1], bytes)
