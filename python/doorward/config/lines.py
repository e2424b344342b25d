"""On which line of a TOML text every key stands.

Parsers give values without their places, so that this walks the text once more, when an error has to be told. The
text is valid: a parser has read it before.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

__all__ = ["Steps", "lines_of"]

Steps = tuple[str | int, ...]
"""The way to a value: keys, and positions in arrays."""

_TOKEN: Final = re.compile(
    "|".join(
        (
            r'"""(?:\\.|[^\\])*?"{3,5}',
            r"'''.*?'{3,5}",
            r'"(?:\\.|[^"\\])*"',
            r"'[^']*'",
            r"#[^\n]*",
            r"[\[\]{}=,.\n]",
            r"[^\s\"'#\[\]{}=,.]+",
        )
    ),
    re.DOTALL,
)
_END_OF_SCALAR: Final = frozenset({"", "\n", ",", "]", "}"})


def lines_of(text: str) -> dict[Steps, int]:
    """The line on which each key, table and member of an array begins, the first being 1."""
    return _Walk(text).lines


class _Walk:
    def __init__(self, text: str) -> None:
        self.lines: dict[Steps, int] = {}
        self._last: dict[Steps, int] = {}
        """The position of the last table of each array of tables."""
        self._tokens = _tokens(text)
        self._position = 0
        table: Steps = ()
        while self._ahead:
            if self._ahead == "[":
                table = self._header()
            elif not self._skipped():
                self._member(table)

    @property
    def _ahead(self) -> str:
        return self._tokens[self._position][0]

    def _take(self) -> str:
        token = self._ahead
        self._position += 1
        return token

    def _skipped(self) -> bool:
        """Whether what stood here was a comment or the end of a line."""
        if self._ahead == "\n" or self._ahead.startswith("#"):
            self._position += 1
            return True
        return False

    def _note(self, steps: Steps) -> None:
        line = self._tokens[self._position][1]
        for length in range(1, len(steps) + 1):
            self.lines.setdefault(steps[:length], line)

    def _header(self) -> Steps:
        begin = self._position
        self._take()
        is_array = self._ahead == "["
        if is_array:
            self._take()
        *outer, key = self._keys()
        end, self._position = self._position, begin
        steps: Steps = ()
        for each in outer:
            steps = (*steps, each)
            if steps in self._last:
                steps = (*steps, self._last[steps])
        steps = (*steps, key)
        if is_array:
            self._last[steps] = self._last.get(steps, -1) + 1
            steps = (*steps, self._last[steps])
        self._note(steps)
        self._position = end + (2 if is_array else 1)
        return steps

    def _member(self, table: Steps) -> None:
        begin = self._position
        keys = self._keys()
        end, self._position = self._position, begin
        self._note((*table, *keys))
        self._position = end + 1  # the equals sign
        self._value((*table, *keys))

    def _keys(self) -> list[str]:
        keys = [_unquoted(self._take())]
        while self._ahead == ".":
            self._take()
            keys.append(_unquoted(self._take()))
        return keys

    def _value(self, steps: Steps) -> None:
        if self._ahead == "[":
            self._array(steps)
        elif self._ahead == "{":
            self._inline_table(steps)
        else:
            while self._ahead not in _END_OF_SCALAR and not self._ahead.startswith("#"):
                self._take()

    def _array(self, steps: Steps) -> None:
        self._take()
        position = 0
        while self._ahead != "]":
            if self._ahead == ",":
                self._take()
                position += 1
            elif not self._skipped():
                self._note((*steps, position))
                self._value((*steps, position))
        self._take()

    def _inline_table(self, steps: Steps) -> None:
        self._take()
        while self._ahead != "}":
            if self._ahead == ",":
                self._take()
            elif not self._skipped():
                self._member(steps)
        self._take()


def _tokens(text: str) -> list[tuple[str, int]]:
    tokens = []
    line, counted = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", counted, match.start())
        counted = match.start()
        tokens.append((match[0], line))
    return [*tokens, ("", line)]


def _unquoted(token: str) -> str:
    return str(tomllib.loads(f"key = {token}")["key"]) if token[0] in "\"'" else token
