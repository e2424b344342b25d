"""Resource URIs that may mean another resource than they spell (RFC 3986 sections 3.2, 6.2.2 and 6.2.3, WHATWG URL).

A rule matches the text; the server behind resolves, decodes or opens it. Where the two could differ, a rule for
``file:///secret/*`` would be got around by ``file:///public/../secret/key``. An honest caller can always spell plainly.
What has to be encoded has two spellings all the same: those are for the rules to compare, by `decoded`.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from itertools import product
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["decoded", "is_always_disguised", "is_disguised", "with_blanks", "without_query"]

_DISGUISES: Final = tuple(
    re.compile(expression, re.IGNORECASE)
    for expression in (
        # Parsers drop or turn them: urllib drops tab and newline anywhere, so that "/.\n./" becomes a dot segment. Half
        # of a surrogate pair is no character at all.
        r"[\x00-\x20\x7f\\\s\ud800-\udfff]",
        # Dot segments, also before the parameters of a segment.
        r"/\.{1,2}(?:[/;?#]|$)",
        # Empty segments: a file system reads a//b as a/b. "://" and the empty host of "file:///" are none.
        r"//(?<!://)(?<!:///)",
        # Encoded: NUL, the separators, and what needs no encoding (letters, digits, "-._~"); also encoded twice.
        r"%(?:25)*(?:00|2[def]|3[0-9]|4[1-9a-f]|5[0-9acf]|6[1-9a-f]|7[0-9ae])",
    )
)
"""One expression each, as each begins with what is found fast: all in one would be tried at every character."""

_DISGUISED_BEGINNINGS: Final = tuple(
    re.compile(expression, re.IGNORECASE)
    for expression in (
        r"\.{1,2}(?:[/;?#]|$)",
        # An empty user or password, an empty port, a port with zeros before it: parsers leave those out. The colon of
        # "web://https://example.com" is none of a port.
        r"[^:/?#]+://(?:[^/?#]*:)?@",
        r"[^:/?#]+://(?!https?://)[^/?#]*:(?:0[0-9]+)?(?:[/?#]|$)",
    )
)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://(?:[^/?#@]*@)?\[([^/?#\]]*)\])?")
_SPECIAL: Final = {"file": "", "ftp": "21", "http": "80", "https": "443", "ws": "80", "wss": "443"}
"""The schemes of which a WHATWG parser knows what must follow, and adds what is missing; with their default ports."""

_HOST: Final = re.compile(r"//(?P<host>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])(?::(?P<port>[0-9]{1,5}))?/")
_IS_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
"""What a WHATWG parser takes for an IPv4 address, by its last label."""

_ENCODED_TWICE: Final = re.compile(rb"%(?:25)+(?=[0-9a-f]{2})", re.IGNORECASE)
_LONE_PERCENT: Final = re.compile(rb"%(?![0-9a-f]{2})", re.IGNORECASE)
"""Encoded first, as `unquote_to_bytes` takes ten times as long for one that encodes nothing."""

_ENCODED_STAR: Final = re.compile(rb"%2a", re.IGNORECASE)
_BEYOND_ASCII: Final = re.compile(r"(?:%[89a-f][0-9a-f])+", re.IGNORECASE)

_BLANK: Final = re.compile(r";([^;/?#=]+)=?(?=[;/]|\Z)")
"""A parameter of a path segment that has no value: templates read ``;x`` and ``;x=`` alike (RFC 6570 section 3.2.7)."""

_FIRST_STAR: Final = ("", "1", "x", "/x", "x/x", "//", "//x", "//x/x", "///x")
_OTHER_STARS: Final = ("1", "x")
"""What may stand for the stars of a pattern: in a path, a host, a port, or where the host is still to come."""


def is_disguised(uri: str) -> bool:
    """Whether some reader may take the URI for another one; in time that grows with its length alone."""
    return (
        any(disguise.match(uri) for disguise in _DISGUISED_BEGINNINGS)
        or any(disguise.search(uri) for disguise in _DISGUISES)
        or not _is_utf8(uri)
        or _has_other_origin(uri)
    )


def is_always_disguised(pattern: str) -> bool:
    """Whether all that a pattern fits is disguised, as far as that can be told by trying."""
    before, star, after = pattern.partition("*")
    if not star:
        return is_disguised(pattern)
    tried = product(_FIRST_STAR, _OTHER_STARS)
    return all(is_disguised(before + first + after.replace("*", others)) for first, others in tried)


def decoded(uri: str, *, is_pattern: bool = False) -> str:
    """What may be read where everything is decoded, also what is encoded twice. An asterisk is encoded instead, as in
    the decoded form of a pattern it would stand for anything."""
    once = _LONE_PERCENT.sub(b"%25", _ENCODED_TWICE.sub(b"%", uri.encode()))
    if is_pattern:
        once = _ENCODED_STAR.sub(b"%252A", once)
    octets = unquote_to_bytes(once)
    return (octets if is_pattern else octets.replace(b"*", b"%2A")).decode(errors="surrogateescape")


def without_query(uri: str) -> str:
    """Without the query and the fragment, which templates and ``urlsplit(uri).path`` pass over."""
    return re.split("[?#]", uri, maxsplit=1)[0]


def with_blanks(uri: str) -> tuple[str, ...]:
    """The URI with ``;x`` and with ``;x=`` for each parameter in its path that has no value; nothing if it has none."""
    path = without_query(uri)
    if ";" not in path or _BLANK.search(path) is None:
        return ()
    rest = uri[len(path) :]
    return (_BLANK.sub(r";\1", path) + rest, _BLANK.sub(r";\1=", path) + rest)


def _is_utf8(uri: str) -> bool:
    """Other octets are dropped or replaced by whoever decodes, and so is the dot that is encoded overlong."""
    beyond_ascii = "20".join(_BEYOND_ASCII.findall(uri)).replace("%", "")
    try:
        bytes.fromhex(beyond_ascii).decode()
    except UnicodeDecodeError:
        return False
    return True


def _has_other_origin(uri: str) -> bool:
    """Whether a parser may spell the scheme, the host or the port otherwise."""
    parts = _SCHEME.match(uri)
    if parts is None:
        return False
    scheme, bracketed = parts.groups()
    if scheme != scheme.lower() or (bracketed is not None and _is_longer_ipv6(bracketed)):
        return True
    if scheme not in _SPECIAL:
        return False
    if scheme == "file":  # "file:/a" and "file://localhost/a" are "file:///a", and "c:" is no scheme there
        return not uri.startswith("file:///") or "//" in without_query(uri)[len("file:///") :]
    named = _HOST.match(uri, len(scheme) + 1)
    if named is None:
        return True
    is_other_port = named["port"] == _SPECIAL[scheme] or int(named["port"] or 0) > 65_535
    return is_other_port or (_IS_NUMERIC.fullmatch(named["host"]) is not None and not _is_ipv4(named["host"]))


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_longer_ipv6(host: str) -> bool:
    """Whether this is an IPv6 address that has a shorter spelling, or an IPv4 address in other clothes."""
    try:
        address = IPv6Address(host)
    except ValueError:
        return False
    return str(address) != host or address.ipv4_mapped is not None
