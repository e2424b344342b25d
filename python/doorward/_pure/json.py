"""One strict JSON parser for tokens, key sets and bodies (RFC 8259, and the choices of I-JSON, RFC 7493).

The standard library's parser with the checks it lacks: whatever two parsers could read as two different values is
refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final, NamedTuple, NoReturn

__all__ = ["MAX_DEPTH", "MAX_MEMBERS", "MAX_NUMBER_BYTES", "JsonError", "Located", "parse", "parse_located"]

MAX_DEPTH: Final = 128
"""How deep arrays and objects may nest. Honest arguments stay below 20; each level costs stack."""

MAX_NUMBER_BYTES: Final = 512
"""The longest number literal. The longest finite integer has 309 digits, the shortest exact text of a double 24; what
is longer only costs whoever converts it."""


MAX_MEMBERS: Final = 256
"""The most members of an object that `parse_located` walks: JSON-RPC and MCP name fewer than ten of each."""


class JsonError(ValueError):
    """Why something is not strict JSON: fixed words, never input."""


def parse(data: bytes) -> Any:
    """Exactly one JSON value in UTF-8; integers are exact."""
    text = _decoded(data)
    try:
        value = _DECODER.decode(text)
    except JsonError:
        raise
    except (ValueError, RecursionError):  # from None: a JSONDecodeError carries the input
        raise JsonError("not JSON") from None
    if _SURROGATE_ESCAPE.search(text):
        _refuse_lone_surrogates(value)
    return value


class Located(NamedTuple):
    """A value, and where in its text the members of one of its members are written."""

    value: Any
    text: str
    places: dict[str, slice]


def parse_located(data: bytes, member: str) -> Located:
    """`parse`, which also notes the place of every member of the object ``member`` of the object that is read, in the
    same pass. These two objects have at most `MAX_MEMBERS` members each."""
    text = _decoded(data)
    places: dict[str, slice] = {}

    def inner(name: str, start: int) -> tuple[Any, int]:
        value, end = _DECODER.raw_decode(text, start)
        places[name] = slice(start, end)
        return value, end

    def outer(name: str, start: int) -> tuple[Any, int]:
        return _object_at(text, start, inner) if name == member else _DECODER.raw_decode(text, start)

    try:
        value, end = _object_at(text, _end_of(_SPACE, text, 0), outer)
    except JsonError:
        raise
    except (ValueError, RecursionError):
        raise JsonError("not JSON") from None
    if _end_of(_SPACE, text, end) != len(text):
        raise JsonError("something follows the value")
    if _SURROGATE_ESCAPE.search(text):
        _refuse_lone_surrogates(value)
    return Located(value, text, places)


_SPACE: Final = re.compile(r"[ \t\n\r]*")
_OPEN: Final = re.compile(r"\{[ \t\n\r]*")
_COLON: Final = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_COMMA: Final = re.compile(r"[ \t\n\r]*,[ \t\n\r]*")
_CLOSE: Final = re.compile(r"[ \t\n\r]*\}")


def _object_at(text: str, start: int, read: Callable[[str, int], tuple[Any, int]]) -> tuple[Any, int]:
    """The value at ``start`` and its end; ``read`` reads the values of its members where it is an object."""
    if not text.startswith("{", start):
        return _DECODER.raw_decode(text, start)
    members: dict[str, Any] = {}
    position = _end_of(_OPEN, text, start)
    closed = _CLOSE.match(text, position)
    while closed is None:
        if len(members) == MAX_MEMBERS:
            raise JsonError("an object has too many members")
        if not text.startswith('"', position):
            raise JsonError("the name of a member is missing")
        name, position = _DECODER.raw_decode(text, position)
        if name in members:
            raise JsonError("a member occurs twice")
        members[name], position = read(name, _end_of(_COLON, text, position))
        closed = _CLOSE.match(text, position)
        if closed is None:
            position = _end_of(_COMMA, text, position)
    return members, closed.end()


def _end_of(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    if found is None:
        raise JsonError("not JSON")
    return found.end()


def _decoded(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise JsonError("not UTF-8") from None
    if _is_too_deep(text):
        raise JsonError("nested too deeply")
    return text


_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_STRING: Final = re.compile('"[^"]*"?')
_NO_BRACKET: Final = re.compile(r"[^][{}]+")
_STEP: Final = {"[": 1, "{": 1, "]": -1, "}": -1}
_MAX_SAFE_DIGITS: Final = 308  # an integer of no more characters is below 10**308, the largest power of ten in a double


def _is_too_deep(text: str) -> bool:
    """Told before parsing, so that the parser's recursion is bounded. Exact up to the first error in the text, and no
    parser comes further."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text.replace(r"\\", "").replace(r"\"", "")))
    return any(depth > MAX_DEPTH for depth in accumulate(map(_STEP.__getitem__, brackets)))


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        raise JsonError("a member occurs twice")
    return value


def _integer(literal: str) -> int:
    if len(literal) > _MAX_SAFE_DIGITS:
        _float(literal)
    return int(literal)


def _float(literal: str) -> float:
    if len(literal) > MAX_NUMBER_BYTES:
        raise JsonError("a number is too long")
    value = float(literal)
    if math.isinf(value):
        raise JsonError("a number is too large")
    return value


def _constant(_: str) -> NoReturn:
    raise JsonError("a value is missing")  # NaN, Infinity or -Infinity


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise JsonError("a lone surrogate in a string") from None


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_integer, parse_constant=_constant
)
