"""Text as the scrubber reads it: as it was written, and with its escapes decoded.

Every function here reads forward and counts the bytes that it reads (`View.steps`), so that a test can compare the cost
of scanning with the length of the text.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from typing import Final

__all__ = ["BASE64", "MAX_LEVEL", "NAME", "QUOTES", "SPACE", "TOKEN68", "WORD", "View", "decoded"]

MAX_LEVEL: Final = 8
"""Nested encodings that are told apart. It bounds how often one byte is read by `urls.find_userinfo`."""

_LONGEST_ESCAPE: Final = 10
r"""Bytes of ``\U0001F600``."""

LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
WORD: Final = frozenset(LETTERS + b"_")
NAME: Final = frozenset(LETTERS + b"_-")
BASE64: Final = frozenset(LETTERS + b"_-+/")
TOKEN68: Final = frozenset(LETTERS + b"_-.~+/")
"""RFC 9110 section 11.2, without the padding."""

SPACE: Final = frozenset(b" \t\n\r\x0b\x0c")
QUOTES: Final = frozenset(b"'\"")
DIGITS16: Final = frozenset(b"0123456789abcdefABCDEF")

_ESCAPED: Final = frozenset(b"\\\"'/")
_ACTIVE: Final = frozenset(b"%\\")
_SPECIAL: Final = re.compile(rb"[%\\\x00]")
_BACKSLASH: Final = 0x5C
_HIGH: Final = range(0xD800, 0xDC00)
_LOW: Final = range(0xDC00, 0xE000)


class View:
    """The bytes of a text, and for each of them where it stands in the source and in how many encodings."""

    __slots__ = ("_end", "_level", "_start", "lower", "steps", "text")

    def __init__(
        self,
        text: bytes,
        start: array[int] | None = None,
        end: array[int] | None = None,
        level: bytes | None = None,
    ) -> None:
        self.text = text
        self.lower = text.lower()
        self._start = start
        self._end = end
        self._level = level
        self.steps = len(text)

    def source(self, begin: int, end: int) -> tuple[int, int]:
        """Where a span that is not empty stands in the source."""
        if self._start is None or self._end is None:
            return begin, end
        return self._start[begin], self._end[end - 1]

    def level(self, at: int) -> int:
        """In how many encodings the byte was written: 0 for one that stands there as it is."""
        return 0 if self._level is None else self._level[at]

    def is_one_of(self, at: int, accepted: frozenset[int]) -> bool:
        """Whether there is a byte, and it is accepted."""
        return 0 <= at < len(self.text) and self.text[at] in accepted

    def find(self, needle: bytes, at: int, *, any_case: bool = False) -> int:
        """Where the needle stands next, or -1. ``any_case``: a needle in lower case fits both cases."""
        found = (self.lower if any_case else self.text).find(needle, at)
        self.steps += (len(self.text) if found < 0 else found + len(needle)) - at
        return found

    def run(self, at: int, accepted: frozenset[int]) -> int:
        """The end of the run of accepted bytes that begins at ``at``."""
        text, end = self.text, at
        while end < len(text) and text[end] in accepted:
            end += 1
        self.steps += end - at + 1
        return end

    def run_before(self, at: int, accepted: frozenset[int], *, most: int) -> int:
        """The start of the run of accepted bytes that ends at ``at``; at most ``most`` bytes are read."""
        text, start, stop = self.text, at, max(0, at - most)
        while start > stop and text[start - 1] in accepted:
            start -= 1
        self.steps += at - start + 1
        return start

    def runs(self, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
        """The maximal runs of one class of bytes; the pattern has a minimal length."""
        self.steps += len(self.text)
        for found in pattern.finditer(self.text):
            yield found.span()

    def any_of(self, pattern: re.Pattern[bytes], at: int) -> int:
        """Where a byte of the pattern, which is one class, stands next; else the end of the text."""
        found = pattern.search(self.text, at)
        end = len(self.text) if found is None else found.start()
        self.steps += end - at + 1
        return end


def decoded(source: bytes) -> View | None:
    r"""The source with percent-encoding and the escapes of JSON and of Python's reprs decoded to the last level, and
    without NUL, which UTF-16 puts between letters. Escapes of one letter (``\n``) stay: decoded, they would hide a name
    that begins with that letter. None where there is nothing to decode."""
    if _SPECIAL.search(source) is None:
        return None
    decoder = _Decoder(source)
    decoder.run()
    return View(bytes(decoder.text), decoder.start, decoder.end, bytes(decoder.level))


class _Decoder:
    """Puts each byte behind those before it, and decodes the escape that it completes. What was decoded may complete
    another one. An escape is longer than what it stands for, so all of it costs no more than the source is long. A
    backslash escapes a quote or a backslash of its own level: the first of ``\\\\"`` does not escape the quote."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self.text = bytearray()
        self.start = array("I")
        self.end = array("I")
        self.level = bytearray()

    def run(self) -> None:
        source, at, active = self._source, 0, -_LONGEST_ESCAPE
        while at < len(source):
            if len(self.text) - active > _LONGEST_ESCAPE:
                at = self._copy_plain(at)
                if at == len(source):
                    return
            if source[at] in _ACTIVE:
                active = len(self.text)
            self._push(source[at : at + 1], at, at + 1, 0)
            before = len(self.text)
            self._decode_tail()
            if len(self.text) < before and self.text and self.text[-1] in _ACTIVE:
                active = len(self.text) - 1
            at += 1

    def _copy_plain(self, at: int) -> int:
        special = _SPECIAL.search(self._source, at)
        stop = len(self._source) if special is None else special.start()
        self.text += self._source[at:stop]
        self.start.extend(range(at, stop))
        self.end.extend(range(at + 1, stop + 1))
        self.level += bytes(stop - at)
        return stop

    def _push(self, octets: bytes, start: int, end: int, level: int) -> None:
        for octet in octets:
            self.text.append(octet)
            self.start.append(start)
            self.end.append(end)
            self.level.append(min(level, MAX_LEVEL))

    def _replace(self, count: int, octets: bytes) -> None:
        start, end, level = self.start[-count], self.end[-1], max(self.level[-count:]) + 1
        for column in (self.text, self.start, self.end, self.level):
            del column[-count:]
        self._push(octets, start, end, level)

    def _decode_tail(self) -> None:
        text = self.text
        while text:
            last = text[-1]
            if last == 0:
                self._replace(1, b"")
                return
            if last in _ESCAPED and len(text) > 1 and text[-2] == _BACKSLASH and self.level[-2] == self.level[-1]:
                self._replace(2, bytes((last,)))
                continue
            if last not in DIGITS16:
                return
            if len(text) > 2 and text[-3] == 0x25 and text[-2] in DIGITS16:
                self._replace(3, bytes((int(text[-2:], 16),)))
            elif self._is_escape(4, b"xX"):
                self._replace(4, bytes((int(text[-2:], 16),)))
            elif self._is_escape(6, b"u"):
                self._replace_character(6, int(text[-4:], 16))
            elif self._is_escape(10, b"U") and int(text[-8:], 16) < 0x110000:
                self._replace_character(10, int(text[-8:], 16))
            else:
                return

    def _is_escape(self, count: int, letters: bytes) -> bool:
        text = self.text
        return (
            len(text) >= count
            and text[-count] == _BACKSLASH
            and text[1 - count] in letters
            and all(octet in DIGITS16 for octet in text[2 - count :])
        )

    def _replace_character(self, count: int, code: int) -> None:
        before = self.text[-count - 3 : -count] if len(self.text) >= count + 3 else b""
        if code in _LOW and len(before) == 3 and before[0] == 0xED and 0xA0 <= before[1] <= 0xAF:
            high = _HIGH[((before[1] & 0x0F) << 6) | (before[2] & 0x3F)]
            count, code = count + 3, 0x10000 + ((high - _HIGH.start) << 10) + (code - _LOW.start)
        self._replace(count, chr(code).encode("utf-8", "surrogatepass"))
