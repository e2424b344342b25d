"""Values that are secret by the name before them: members, header fields, parameters of a query; and HTTP credentials
by their scheme."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final

from doorward._pure.scrubber.shapes import Span
from doorward._pure.scrubber.view import MAX_LEVEL, NAME, QUOTES, SPACE, TOKEN68, View
from doorward._pure.scrubber.words import REDACTED, Words, looks_random

__all__ = ["find_credentials", "find_named"]

MAX_NAME: Final = 48
"""Bytes of a name that are read: more than any that is looked for, with what is joined to it."""

_SEPARATOR: Final = re.compile(rb"[=:,]")
_BLANK: Final = frozenset(b" \t")
_GAP: Final = SPACE | frozenset(b":=,+")
_PADDING: Final = frozenset(b"=")
_OPENING: Final = frozenset(b"[(")
_BACKSLASHES: Final = frozenset(b"\\")
_CONTROL_LETTERS: Final = frozenset(b"nrt")
r"""After a backslash: ``\n``, ``\r`` and ``\t`` in JSON and in a repr."""

_PREFIX_LETTERS: Final = frozenset(b"bBuUrR")
_BEFORE_PARAMETER: Final = frozenset(b"?&;#")
_LOWER: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz_")
_AND: Final = frozenset(b"&")
_BYTES_PREFIX: Final = frozenset(b"bB")
_PARENTHESIS: Final = frozenset(b"(")

_END_OF_VALUE: Final = re.compile(rb"""[ \t\n\r\x0b\x0c"'&,;)}\\(]""")
_END_OF_QUOTED: Final = {0x22: re.compile(rb'["\r\n]'), 0x27: re.compile(rb"['\r\n]")}
_END_OF_LINE: Final = re.compile(rb"""["'\r\n\\]""")


class Kind(Enum):
    """What a name says of its value."""

    HEADER = 1
    MEMBER = 2
    PARAMETER = 3


def find_credentials(view: View, words: Words) -> Iterator[Span]:
    """An authentication scheme and credentials that no word of a sentence looks like (RFC 9110 section 11.4)."""
    for scheme in words.schemes:
        at = view.find(scheme, 0, any_case=True)
        while at >= 0:
            after = at + len(scheme)
            begin = _after_gap(view, after + view.is_one_of(after, QUOTES))
            end = after
            if begin is not None:
                begin = _opening_quote(view, begin, else_at=begin)
                letters = view.run(begin, TOKEN68)
                end = view.run(letters, _PADDING)
                is_parameter = letters < end and all(octet in _LOWER for octet in view.text[begin:letters])
                if not is_parameter and looks_random(view.text[begin:end]):
                    yield begin, end
            at = view.find(scheme, end, any_case=True)


def _after_gap(view: View, at: int) -> int | None:
    begin = _skip(view, at, _GAP)
    return None if begin == at else begin


def find_named(view: View, words: Words) -> Iterator[Span]:
    """The values of secret names. What was found is not looked into again, so that every byte is read once."""
    no_query_until = [0] * (MAX_LEVEL + 1)
    at = view.any_of(_SEPARATOR, 0)
    while at < len(view.text):
        end = at + 1
        for span in _values_behind(view, words, at, no_query_until):
            if span[0] < span[1] and view.text[span[0] : span[1]] != REDACTED:
                yield span
            end = max(end, span[1])
        at = view.any_of(_SEPARATOR, end)


def _values_behind(view: View, words: Words, separator: int, no_query_until: list[int]) -> list[Span]:
    end = view.run_before(separator, _BLANK, most=separator)
    is_quoted = view.is_one_of(end - 1, QUOTES)
    end -= is_quoted
    is_comma = view.text[separator] == 0x2C
    if is_comma and not is_quoted:
        return []
    start = view.run_before(end, NAME, most=MAX_NAME)
    if start == end:
        return []
    is_joined = separator == end and view.text[separator] == 0x3D
    kind = _kind(view, words, start, end, is_assigned=is_joined or (is_quoted and not is_comma))
    if kind is None or (is_comma and kind is Kind.MEMBER and not _is_first_of_pair(view, start)):
        return []
    if kind is Kind.PARAMETER:
        return _parameter(view, start, separator, no_query_until) if is_joined else []
    if kind is Kind.HEADER and view.text[separator] == 0x3A and not is_quoted:
        line = _line(view, words, start, separator)
        if line is not None:
            return [line]
    return _values(view, words, separator, is_header=kind is Kind.HEADER, is_comma=is_comma)


def _parameter(view: View, start: int, separator: int, no_query_until: list[int]) -> list[Span]:
    """The value of a parameter that stands where a query or a form has one: ``code`` and ``state`` are words as well.
    ``no_query_until``: for each level, up to where no ``&`` follows, so that nothing is read twice to find that out."""
    level = view.level(separator)
    is_behind = view.is_one_of(start - 1, _BEFORE_PARAMETER) or (
        view.is_one_of(start - 1, QUOTES) and view.is_one_of(start - 2, _BYTES_PREFIX)
    )
    if not is_behind and separator < no_query_until[level]:
        return []
    begin = _after_redacted(view, separator + 1)
    end = _end_of_value(view, begin, level)
    if is_behind or view.is_one_of(end, _AND):
        return [(begin, end)]
    no_query_until[level] = end
    return []


def _is_first_of_pair(view: View, start: int) -> bool:
    """Whether a quoted name opens a tuple, as that of a header in a repr: ``('x-api-key', '...')``."""
    back = 2 + view.is_one_of(start - 2, _BYTES_PREFIX)
    return view.is_one_of(start - back, _PARENTHESIS)


def _kind(view: View, words: Words, start: int, end: int, *, is_assigned: bool) -> Kind | None:
    name = view.lower[start:end]
    squeezed = name.replace(b"-", b"").replace(b"_", b"")
    if squeezed.endswith(words.headers):
        return Kind.HEADER
    if squeezed.endswith(words.names) or (is_assigned and words.is_assigned_name(name)):
        return Kind.MEMBER
    return Kind.PARAMETER if name in words.parameters else None


def _values(view: View, words: Words, separator: int, *, is_header: bool, is_comma: bool) -> list[Span]:
    """One value, or those of a list."""
    at = _skip(view, separator + 1, SPACE)
    is_list = False
    while view.is_one_of(at, _OPENING) and not view.text.startswith(REDACTED, at):
        is_list = True
        at = _skip(view, at + 1, SPACE)
    spans: list[Span] = []
    while True:
        begin = _opening_quote(view, at, else_at=-1)
        if begin < 0:
            if not spans and not is_comma:
                begin = _after_redacted(view, at)
                spans.append((begin, _end_of_value(view, begin, view.level(separator))))
            return spans
        close = _closing_quote(view, begin - 1)
        spans.append((_after_scheme(view, words, begin) if is_header else begin, close))
        at = _skip(view, close + 1, SPACE)
        if not is_list or not view.text.startswith(b",", at):
            return spans
        at = _skip(view, at + 1, SPACE)


def _line(view: View, words: Words, start: int, separator: int) -> Span | None:
    """The value of a header field that ends with its line, or with the quotes around it: cookies, and credentials of
    other schemes, are several words. None where it is quoted or one word."""
    begin = _skip(view, separator + 1, _BLANK)
    if _opening_quote(view, begin, else_at=-1) >= 0 or view.is_one_of(begin, _OPENING):
        return None
    credentials = _after_scheme(view, words, begin)
    if credentials > begin:
        credentials = _after_redacted(view, credentials)
        return credentials, _end_of_value(view, credentials, view.level(separator))
    begin = _after_redacted(view, begin)
    enclosing = start - 1 if view.is_one_of(start - 1, QUOTES) else None
    at = view.any_of(_END_OF_LINE, begin)
    while at < len(view.text):
        octet = view.text[at]
        if octet == 0x5C:
            if view.is_one_of(at + 1, _CONTROL_LETTERS):
                break
        elif octet not in QUOTES or (
            enclosing is not None and octet == view.text[enclosing] and view.level(at) <= view.level(enclosing)
        ):
            break
        at = view.any_of(_END_OF_LINE, at + 1)
    return begin, at


def _after_scheme(view: View, words: Words, at: int) -> int:
    for scheme in words.schemes:
        if view.lower.startswith(scheme, at) and view.is_one_of(at + len(scheme), _GAP):
            return _skip(view, at + len(scheme), _GAP)
    return at


def _after_redacted(view: View, at: int) -> int:
    return at + len(REDACTED) if view.text.startswith(REDACTED, at) else at


def _skip(view: View, at: int, accepted: frozenset[int]) -> int:
    r"""Behind whitespace, also where it is written as ``\n``."""
    while True:
        at = view.run(at, accepted)
        if not (view.is_one_of(at, _BACKSLASHES) and view.is_one_of(at + 1, _CONTROL_LETTERS)):
            return at
        at += 2


def _opening_quote(view: View, at: int, *, else_at: int) -> int:
    """Behind the quote with which a string begins; ``b'`` of Python's reprs included."""
    if view.is_one_of(at, _PREFIX_LETTERS) and view.is_one_of(at + 1, QUOTES):
        return at + 2
    return at + 1 if view.is_one_of(at, QUOTES) else else_at


def _closing_quote(view: View, opening: int) -> int:
    """Where the string ends: at the same quote, not deeper in escapes, or with the line."""
    quote, level = view.text[opening], view.level(opening)
    at = view.any_of(_END_OF_QUOTED[quote], opening + 1)
    while at < len(view.text) and view.text[at] == quote and view.level(at) > level:
        at = view.any_of(_END_OF_QUOTED[quote], at + 1)
    return at


def _end_of_value(view: View, at: int, level: int) -> int:
    """Where a value without quotes ends. A delimiter that is deeper in escapes than the separator is a part of it."""
    at = view.any_of(_END_OF_VALUE, at)
    while at < len(view.text):
        octet = view.text[at]
        if octet == 0x28:
            inside = _opening_quote(view, at + 1, else_at=-1)
            if inside >= 0:  # SecretStr('...')
                at = _closing_quote(view, inside - 1)
        elif octet == 0x5C:
            if view.is_one_of(at + 1, _CONTROL_LETTERS | QUOTES):
                return at
        elif view.level(at) <= level:
            return at
        at = view.any_of(_END_OF_VALUE, at + 1)
    return at
