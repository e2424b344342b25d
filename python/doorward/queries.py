"""What the query of a resource URI may be read as: servers read parameters by their names, in any order.

The templates of the official SDK and of fastmcp (``q://s{?x,y}``) ignore unknown and empty parameters, take the first
of several with one name, and drop the fragment. So ``q://s?z=1&x=alice`` is a call with ``x=alice``, although its text
does not match a rule for ``q://s?x=alice*``. Other servers take the last value or all of them, separate parameters by
semicolons, or split a value at commas. Each of these readings is some of the parameters in some order. There are too
many to try one by one, so each piece of a pattern between two stars is looked for among the parameters. This finds
every reading that the pattern matches, and sometimes one that no server makes: such a URI is refused as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from doorward.uris import decoded

__all__ = ["MAX_PARAMETERS", "QueryPatterns"]

MAX_PARAMETERS: Final = 128
"""The most parameters in one URI, where each part of a value between commas counts. A URI with more is refused if an
earlier rule is about a query of its path: a long list of them costs more to read than to send."""

_MAX_NAME: Final = 64
"""The longest name, in characters, whose value is split at commas: each part is then looked for with its name."""

_QUERY: Final = re.compile("[?#]")
_SEPARATOR: Final = re.compile("[&;#]")
_PART: Final = re.compile("[&;#,]")


class QueryPatterns:
    """The patterns of resource rules, asked whether one matches a reading of a URI."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """``patterns``: the ``match`` of each rule, in their order."""
        self._plain = _Patterns([decoded(text, is_pattern=True) for text in patterns])
        # In forms, a plus sign stands for a space: fastmcp reads queries so, the official SDK does not.
        self._form = _Patterns([decoded(_as_form(text), is_pattern=True) for text in patterns])
        self._have_plus = any("+" in text for text in patterns)

    def match_before(self, position: int, uri: str) -> bool:
        """Whether a pattern before this position matches what the query and the fragment of the URI may be read as."""
        if position == 0 or _QUERY.search(decoded(uri)) is None:
            return False
        if any(self._plain.match_before(position, reading) for reading in _readings(uri)):
            return True
        if not (self._have_plus or "+" in uri):
            return False
        return any(self._form.match_before(position, reading) for reading in _readings(_as_form(uri)))


class _Reading(NamedTuple):
    """A URI, taken apart."""

    path: str
    parameters: str | None
    """Each behind an ``&``, with another at the end; None for more than are read."""

    def has(self, piece: str, *, begins: bool, ends: bool) -> bool:
        """Whether each parameter in a piece of a pattern is there. The piece ``begins`` or ``ends`` with a whole
        parameter, or else with a part of one."""
        if self.parameters is None:
            return True
        parts = _SEPARATOR.split(piece)
        whole = [begins, *[True] * (len(parts) - 1), ends]
        return all(
            f"{'&' * before}{part}{'&' * after}" in self.parameters
            for part, before, after in zip(parts, whole, whole[1:], strict=False)
            if part
        )


class _Patterns:
    """Decoded patterns, cut at their stars."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._by_path: dict[str, list[tuple[int, str, list[str]]]] = {}
        self._others: list[tuple[int, str, list[str]]] = []
        for position, text in enumerate(patterns):
            pieces = text.split("*")
            path, *query = _QUERY.split(pieces[0], maxsplit=1)
            if query:
                self._by_path.setdefault(path, []).append((position, path, pieces))
            elif len(pieces) > 1:
                self._others.append((position, path, pieces))

    def match_before(self, before: int, reading: _Reading) -> bool:
        """Whether one before this position matches the reading."""
        path = reading.path
        candidates = (*self._by_path.get(path, ()), *self._others)
        return any(
            position < before and path.startswith(beginning) and _matches(pieces, reading)
            for position, beginning, pieces in candidates
        )


def _matches(pieces: Sequence[str], reading: _Reading) -> bool:
    """Whether the pieces of a pattern are in a reading that begins as it does: the first ones in the path, as far as
    they go, and the others among the parameters."""
    first, *rest = pieces
    path, *query = _QUERY.split(first, maxsplit=1)
    if query and not reading.has(query[0], begins=True, ends=not rest):
        return False
    at: int | None = None if query else len(path)
    for number, piece in enumerate(rest, 1):
        is_last = number == len(rest)
        at, found = _found(piece, reading, at, is_last=is_last)
        if not found:
            return False
    return True


def _found(piece: str, reading: _Reading, at: int | None, *, is_last: bool) -> tuple[int | None, bool]:
    """Where in the path the search for the next piece starts, None for among the parameters, and whether this piece was
    found. ``at`` is the same for this piece."""
    if at is not None:
        path, *query = _QUERY.split(piece, maxsplit=1)
        if query:
            ends_path = reading.path.endswith(path) and len(reading.path) - len(path) >= at
            if ends_path and reading.has(query[0], begins=True, ends=is_last):
                return None, True
        elif not is_last and (start := reading.path.find(piece, at)) >= 0:
            return start + len(piece), True
    return None, reading.has(piece, begins=False, ends=is_last)


def _readings(uri: str) -> Iterator[_Reading]:
    """The URI as it is read by who takes it apart before decoding, and by who decodes it first."""
    yield _reading(*map(decoded, _QUERY.split(uri, maxsplit=1)))
    if "%" in uri:
        yield _reading(*_QUERY.split(decoded(uri), maxsplit=1))


def _reading(path: str, query: str = "") -> _Reading:
    if len(_PART.findall(query)) >= MAX_PARAMETERS:
        return _Reading(path, None)
    parameters: list[str] = []
    for parameter in _SEPARATOR.split(query):
        name, equals, value = parameter.partition("=")
        parameters.append(parameter)
        if not value:  # "x" and "x=" are the same
            parameters.append(name if equals else f"{name}=")
        if "," in value:
            if len(name) > _MAX_NAME:
                return _Reading(path, None)
            parameters += [f"{name}={part}" for part in value.split(",")]
    return _Reading(path, f"&{'&'.join(parameters)}&")


def _as_form(text: str) -> str:
    return text.replace("+", "%20")
