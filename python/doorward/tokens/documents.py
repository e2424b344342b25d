"""The JSON documents that issuers serve, read strictly: what two parsers could read as two different documents is none.

The core parses what callers send; what an issuer sends comes through here.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

__all__ = ["MAX_DEPTH", "MAX_NUMBER_CHARACTERS", "parse_document"]

MAX_DEPTH: Final = 32
"""How deep a document may nest. Honest ones stay below 10; each level costs stack to whoever walks it later."""

MAX_NUMBER_CHARACTERS: Final = 32
"""The longest number literal: a double needs 24 characters, a longer integer is no time and no count."""


def parse_document(data: bytes) -> dict[str, Any]:
    """The one JSON object in ``data``: UTF-8, no member twice, finite numbers, no lone surrogates. The caller has
    bounded its size. Raises `ValueError`, in fixed words: a document may hold what is secret."""
    try:
        # Decoded here, because `json.loads` would guess UTF-16 and UTF-32 as well.
        value = _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("not one strict JSON value") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    if _is_deep(value):
        raise ValueError("nested too deeply")
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a lone surrogate in a string") from None
    return value


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        raise ValueError("a member occurs twice")
    return value


def _integer(literal: str) -> int:
    return int(_short(literal))


def _float(literal: str) -> float:
    value = float(_short(literal))
    if math.isinf(value):
        raise ValueError("a number is too large")
    return value


def _constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


def _short(literal: str) -> str:
    if len(literal) > MAX_NUMBER_CHARACTERS:
        raise ValueError("a number is too long")
    return literal


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_integer, parse_constant=_constant
)
