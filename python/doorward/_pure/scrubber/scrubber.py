"""Takes credentials out of text, in time that grows with the length of the text alone.

Text of a log is chosen by callers (a path, a query, a header in an exception), so nothing here searches backwards or
tries a second time: each finder reads the text once, in the two ways that `view` has of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from doorward._pure.scrubber.named import find_credentials, find_named
from doorward._pure.scrubber.shapes import (
    Span,
    find_configured,
    find_encoded,
    find_jwts,
    find_prefixed,
    find_private_keys,
)
from doorward._pure.scrubber.urls import find_userinfo
from doorward._pure.scrubber.view import View, decoded
from doorward._pure.scrubber.words import REDACTED, Words

__all__ = ["MAX_TEXT", "Scrubber"]

MAX_TEXT: Final = 32_768
"""Characters of one text that are kept: more than a traceback that people read, and a bound for the cost of one."""

MARGIN: Final = 4_096
"""Characters behind those that are read as well, so that a secret that is cut off is still known."""

MIN_FORM: Final = 8
"""Bytes of what is left of a form when it is decoded: less would be found in words."""

_CUT: Final = b" [cut off after 32768 characters]"


class Scrubber:
    """Knows words and forms of secrets; frozen."""

    __slots__ = ("_encoded", "_forms", "_words")

    def __init__(
        self,
        *,
        headers: Sequence[str],
        names: Sequence[str],
        assigned: Sequence[str],
        parameters: Sequence[str],
        schemes: Sequence[str],
        prefixes: Sequence[str],
        forms: Sequence[bytes],
        encoded: Sequence[bytes],
    ) -> None:
        if not all(forms) or not all(encoded):
            raise ValueError("a form must not be empty: it would be found everywhere")
        self._words = Words(
            headers=headers,
            names=names,
            assigned=assigned,
            parameters=parameters,
            schemes=schemes,
            prefixes=prefixes,
        )
        plain = (view.text for view in map(decoded, forms) if view is not None)
        self._forms = tuple(dict.fromkeys((*forms, *(form for form in plain if len(form) >= MIN_FORM))))
        self._encoded = tuple(encoded)

    def scrub(self, text: str, /) -> str:
        """The text with ``[redacted]`` for each credential; the same text where there is none."""
        spans, source, _ = self._scan(text)
        if not spans and len(text) <= MAX_TEXT:
            return text
        end = len(_encode(text[:MAX_TEXT]))
        pieces: list[bytes] = []
        at = 0
        for start, stop in _merged(source, spans):
            if start >= end:
                break
            pieces += (source[at:start], REDACTED)
            at = stop
        pieces.append(source[at:end])
        if len(text) > MAX_TEXT:
            pieces.append(_CUT)
        return b"".join(pieces).decode("utf-8", "surrogatepass")

    def steps(self, text: str, /) -> int:
        """How many bytes scanning the text reads, some of them more than once."""
        return self._scan(text)[2]

    def _scan(self, text: str) -> tuple[list[Span], bytes, int]:
        source = _encode(text[: MAX_TEXT + MARGIN])
        views = [View(source)]
        inside = decoded(source)
        if inside is not None:
            views.append(inside)
        spans = [view.source(start, end) for view in views for start, end in self._found(view) if start < end]
        return spans, source, sum(view.steps for view in views)

    def _found(self, view: View) -> Iterator[Span]:
        return chain(
            find_configured(view, self._forms, self._encoded),
            find_private_keys(view),
            find_prefixed(view, self._words.prefixes),
            find_jwts(view),
            find_encoded(view, self._words.prefixes),
            find_credentials(view, self._words),
            find_named(view, self._words),
            find_userinfo(view),
        )


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _merged(source: bytes, spans: list[Span]) -> Iterator[Span]:
    """In order, apart from each other, and made of whole characters."""
    begin, end = -1, -1
    for start, stop in sorted(_whole(source, span) for span in spans):
        if start > end:
            if end > begin:
                yield begin, end
            begin, end = start, stop
        else:
            end = max(end, stop)
    if end > begin:
        yield begin, end


def _whole(source: bytes, span: Span) -> Span:
    start, end = span
    while start > 0 and 0x80 <= source[start] < 0xC0:
        start -= 1
    while end < len(source) and 0x80 <= source[end] < 0xC0:
        end += 1
    return start, end
