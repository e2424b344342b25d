"""The head of an HTTP request that is like nearly all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Head", "read_head"]

MAX_SIZE_DIGITS: Final = 15
"""Of a declared size: a petabyte. Longer ones would only make the conversion slow."""

_BEARER: Final = "Bearer "
"""As every client spells it; other spellings are as good (RFC 9110 section 11.1), and not plain."""

_UNUSUAL: Final = frozenset(
    {
        *(b"client-cert", b"content-encoding", b"origin", b"traceparent"),
        *(b"x-forwarded-client-cert", b"x-forwarded-for", b"x-forwarded-proto"),
    }
)
"""What is judged of a head beside what `Head` has: with one of them, it takes a second look."""

_PLAIN: Final = frozenset({b"host", b"authorization", b"mcp-protocol-version", b"content-length"})

_WITHHELD: Final = b"authorization"


@dataclass(frozen=True, slots=True)
class Head:
    """What a plain head says."""

    host: str
    token: str
    protocol: str | None
    content_length: int | None
    others: list[tuple[bytes, bytes]]


def read_head(headers: object) -> Head | None:
    """What a head says that has one Host, one bearer token and nothing else that is judged; None for every other."""
    if not isinstance(headers, list):
        return None
    found: dict[bytes, str] = {}
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
            found[name] = pair[1].decode()
        if name != _WITHHELD:
            others.append(pair)
    host, credentials = found.get(b"host"), found.get(_WITHHELD)
    size = found.get(b"content-length")
    if host is None or credentials is None or not credentials.startswith(_BEARER):
        return None
    # RFC 9110 section 8.6: digits alone.
    if size is not None and not (size.isdecimal() and len(size) <= MAX_SIZE_DIGITS):
        return None
    length = None if size is None else int(size)
    return Head(host, credentials[len(_BEARER) :], found.get(b"mcp-protocol-version"), length, others)


def _is_pair(pair: object) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], bytes) and isinstance(pair[1], bytes)
