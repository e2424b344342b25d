"""Credentials that are known by what they look like, or because they are configured."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Final

from doorward._pure.scrubber.view import BASE64, WORD, View

__all__ = ["Span", "find_configured", "find_encoded", "find_jwts", "find_prefixed", "find_private_keys"]

Span = tuple[int, int]

MAX_LABEL: Final = 64
"""Bytes of the label of a PEM block that are read: the longest in use is half as long."""

MIN_JWT: Final = 16
"""Bytes of a first part by which a JWT is known even where the rest was cut off: the shortest header has as many."""

MIN_HEADER: Final = 8
"""Bytes of a first part that two other parts follow."""

_HEADER_BYTES: Final = 24
"""Of a first part that are decoded to see whether it is a JSON object: whitespace included."""

MIN_ENCODED: Final = 32
"""Bytes of base64 or hexadecimal that are decoded: what holds a token is longer."""

_BEGIN: Final = b"-----BEGIN "
_END: Final = b"-----END "
_PRIVATE_KEY: Final = b"PRIVATE KEY"
_LABEL: Final = re.compile(rb"[A-Z ]*PRIVATE KEY")
_TOKEN_RUN: Final = re.compile(rb"[A-Za-z0-9_.-]{%d,}" % MIN_JWT)
_BASE64_RUN: Final = re.compile(rb"[A-Za-z0-9_+/-]{%d,}" % MIN_ENCODED)
_HEX_RUN: Final = re.compile(rb"[0-9A-Fa-f]{%d,}" % MIN_ENCODED)
_MAYBE_OBJECT: Final = re.compile(rb"e[wy]|I[ACH]|C[ginQSX]|D[QSX]")
"""The base64 of an opening brace, or of whitespace before one, begins like this."""

_OBJECT: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"')
_JWT_INSIDE: Final = re.compile(rb"eyJ[A-Za-z0-9_.-]{12}")
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


def find_configured(view: View, forms: Sequence[bytes], encoded: Sequence[bytes]) -> Iterator[Span]:
    """The forms of configured secrets; those that are ``encoded`` in base64 are parts of a run that goes as a whole."""
    for form in forms:
        at = view.find(form, 0)
        while at >= 0:
            yield at, at + len(form)
            at = view.find(form, at + len(form))
    for form in encoded:
        at = view.find(form, 0)
        while at >= 0:
            end = view.run(at, BASE64)
            yield view.run_before(at, BASE64, most=at), end
            at = view.find(form, end)


def find_private_keys(view: View) -> Iterator[Span]:
    """Private keys in PEM (RFC 7468), to the end of the text where a key does not end."""
    at = view.find(_BEGIN, 0)
    while at >= 0:
        label = at + len(_BEGIN)
        end = label
        if _LABEL.match(view.text, label, label + MAX_LABEL) is not None:
            end = _end_of_private_key(view, label)
            yield at, end
        at = view.find(_BEGIN, end)


def _end_of_private_key(view: View, at: int) -> int:
    while (at := view.find(_END, at)) >= 0:
        at += len(_END)
        label = _LABEL.match(view.text, at, at + MAX_LABEL)
        if label is not None:
            dashes = view.find(b"-----", label.end())
            return len(view.text) if dashes < 0 else dashes + 5
    return len(view.text)


def find_prefixed(view: View, prefixes: Sequence[bytes]) -> Iterator[Span]:
    """Tokens that begin with a prefix of their own."""
    for prefix in prefixes:
        at = view.find(prefix, 0, any_case=True)
        while at >= 0:
            end = view.run(at + len(prefix), WORD)
            if end > at + len(prefix):
                yield at, end
            at = view.find(prefix, end, any_case=True)


def find_jwts(view: View) -> Iterator[Span]:
    """JWS and JWE in compact form (RFC 7515, RFC 7516), also cut off and with text joined to them: from where a part
    begins as a JSON object does in base64, to the end of the run."""
    for start, end in view.runs(_TOKEN_RUN):
        begin = _begin_of_jwt(view, start, end)
        if begin is not None:
            yield begin, end


def _begin_of_jwt(view: View, start: int, end: int) -> int | None:
    view.steps += 2 * (end - start)
    last_dot = view.text.rfind(b".", start, end)
    second_last_dot = -1 if last_dot < 0 else view.text.rfind(b".", start, last_dot)
    for found in _MAYBE_OBJECT.finditer(view.text, start, end):
        at = found.start()
        view.steps += _HEADER_BYTES
        if _OBJECT.match(_unbase64(view.text[at : min(at + _HEADER_BYTES, end)].partition(b".")[0])) is None:
            continue
        window = view.text[at : min(at + MIN_JWT, end)]
        dot = window.find(b".")
        is_long = dot < 0 and len(window) == MIN_JWT
        if is_long or (dot >= MIN_HEADER and at + dot <= second_last_dot):
            return at
    return None


def find_encoded(view: View, prefixes: Sequence[bytes]) -> Iterator[Span]:
    """Runs of base64 (RFC 4648), at any offset, and of hexadecimal that hold a token."""
    for start, end in view.runs(_BASE64_RUN):
        run = view.text[start:end]
        view.steps += 4 * len(run)
        if any(_holds_token(_unbase64(run[offset:]), prefixes) for offset in range(4)):
            yield start, end
    for start, end in view.runs(_HEX_RUN):
        run = view.text[start:end]
        view.steps += 2 * len(run)
        if any(_holds_token(_unhex(run[offset:]), prefixes) for offset in range(2)):
            yield start, end


def _holds_token(octets: bytes, prefixes: Sequence[bytes]) -> bool:
    return _JWT_INSIDE.search(octets) is not None or any(prefix in octets for prefix in prefixes)


def _unbase64(text: bytes) -> bytes:
    """What whole groups of four stand for; those that are left over are padded."""
    if len(text) % 4 == 1:
        text = text[:-1]
    return base64.b64decode(text.translate(_STANDARD) + b"=" * (-len(text) % 4))


def _unhex(text: bytes) -> bytes:
    return bytes.fromhex(text[: len(text) // 2 * 2].decode())
