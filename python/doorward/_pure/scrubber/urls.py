"""Passwords in URLs (RFC 3986 section 3.2.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from doorward._pure.scrubber.shapes import Span
from doorward._pure.scrubber.view import View
from doorward._pure.scrubber.words import REDACTED, looks_random

__all__ = ["find_userinfo"]

_END_OF_AUTHORITY: Final = re.compile(rb"""[/?#@ \t\n\r\x0b\x0c"'<>\\]""")
_END_OF_URL: Final = re.compile(rb"""[@ \t\n\r\x0b\x0c"'<>]""")
_PATH: Final = frozenset(b"/?#")
_AT: Final = 0x40


def find_userinfo(view: View) -> Iterator[Span]:
    """The password before the host of a URL, and a user name that looks like a token. A password may hold ``/``, ``?``
    and ``#`` that should have been encoded, where what stands before them is no host and port."""
    url_end, last_at = -1, -1
    at = view.find(b"://", 0)
    while at >= 0:
        begin = at + 3
        end, sign = _authority(view, begin, view.level(begin - 1))
        colon = view.text.find(b":", begin, end if sign < 0 else sign)
        view.steps += end - begin
        if sign < 0 and colon >= 0 and view.is_one_of(end, _PATH) and not _is_port(view.text[colon + 1 : end]):
            if begin > url_end:
                url_end, last_at = _last_at(view, begin)
            sign = last_at if last_at > end else -1
        if sign >= 0:
            yield from _secrets_of(view, begin, colon, sign)
        at = view.find(b"://", begin)


def _secrets_of(view: View, begin: int, colon: int, sign: int) -> Iterator[Span]:
    user_end = sign if colon < 0 else colon
    if looks_random(view.text[begin:user_end]) and view.text[begin:user_end] != REDACTED:
        yield begin, user_end
    if 0 <= colon < sign - 1 and view.text[colon + 1 : sign] != REDACTED:
        yield colon + 1, sign


def _authority(view: View, at: int, level: int) -> tuple[int, int]:
    """Where it ends, and its last ``@``, or -1."""
    sign = -1
    at = view.any_of(_END_OF_AUTHORITY, at)
    while at < len(view.text):
        if view.level(at) <= level:
            if view.text[at] != _AT:
                break
            sign = at
        at = view.any_of(_END_OF_AUTHORITY, at + 1)
    return at, sign


def _last_at(view: View, at: int) -> tuple[int, int]:
    """Where the URL ends, and the last ``@`` in it, or -1."""
    sign = -1
    at = view.any_of(_END_OF_URL, at)
    while at < len(view.text) and view.text[at] == _AT:
        sign = at
        at = view.any_of(_END_OF_URL, at + 1)
    return at, sign


def _is_port(text: bytes) -> bool:
    return all(0x30 <= octet <= 0x39 for octet in text)
