"""Where in a configuration something stands, for errors that lead there: file, line, table and key."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from doorward.config.lines import Steps, lines_of

__all__ = ["Converter", "Keys", "Layout", "Place"]

_Made = TypeVar("_Made")

_NEAR = 0.6
"""How alike two keys must be for one to be taken for the other's misspelling; below it all known keys are told."""

_SURELY = 0.8
"""How alike they must be where the key has a place elsewhere in the file, too."""


class Layout(NamedTuple):
    """What stands where in a file."""

    headers: Mapping[str, str] = {}
    """The tables of the top, as they are written."""
    homes: Mapping[str, Sequence[str]] = {}
    """Of keys that can hardly mean another thing: the headers they may stand under; an empty one is the top."""
    synonyms: Mapping[str, str] = {}
    """What other products call a key that is known here: no measure of likeness finds that."""


_NO_LAYOUT = Layout()


class Place:
    """A value's place in a file."""

    def __init__(self, file: Path, text: str, steps: Steps = (), *, layout: Layout = _NO_LAYOUT) -> None:
        """``layout``: for what is told of a key that is not known where it stands."""
        self.file = file
        self._text = text
        self.steps = steps
        self._layout = layout

    def at(self, *steps: str | int) -> Place:
        """A place further in."""
        return Place(self.file, self._text, (*self.steps, *steps), layout=self._layout)

    def error(self, problem: str) -> ValueError:
        """What is wrong here. The problem is in our words and never holds what may be a secret."""
        return ValueError(": ".join(filter(None, (f"{self.file}:{self._line()}", self._name(), problem))))

    def table(self, given: Any, keys: Keys, *, required: tuple[str, ...] = ()) -> dict[str, Any]:
        """The table's members under the names of the arguments they become."""
        if not isinstance(given, dict):
            raise self.error("must be a table")
        for key, value in given.items():
            if key not in keys:
                raise self.at(key).error(f"unknown key, {self._hint(key, value, keys)}")
        for key in required:
            if key not in given:
                raise self.at(key).error("is missing")
        return {keys[key][0]: keys[key][1](self.at(key), value) for key, value in given.items()}

    def make(self, kind: Callable[..., _Made], given: Any, keys: Keys, *, required: tuple[str, ...] = ()) -> _Made:
        """The element that a table describes; what the element refuses is told at its key."""
        arguments = self.table(given, keys, required=required)
        try:
            return kind(**arguments)
        except ValueError as error:
            field, _, problem = str(error).partition(" ")
            for key in given:
                if keys[key][0] == field:
                    raise self.at(key).error(problem) from None
            raise self.error(str(error)) from None

    def _hint(self, key: str, value: Any, keys: Keys) -> str:
        """What may have been meant by a key that is not known here."""
        headers, homes, synonyms = self._layout
        if synonyms.get(key) in keys and self.steps:
            return f"did you mean {synonyms[key]}?"
        is_table = _holds_tables(value)
        known = {each: each if self.steps else headers.get(each, each) for each in keys}
        # Who writes a table means a table, if there is one of such a name.
        alike = [each for each in keys if self.steps or (known[each] != each) is is_table]

        def meant(among: Collection[str], near: float) -> str | None:
            found = difflib.get_close_matches(key, among, 1, near)
            return f"did you mean {known[found[0]]}?" if found else None

        in_table = sum(isinstance(step, str) for step in self.steps) == 1
        elsewhere = None
        if in_table and key in headers:
            elsewhere = f"it is a table of its own: {headers[key]}"
        elif key in homes and (in_table or not (self.steps or is_table)):
            elsewhere = f"it belongs {_under(homes[key])}"
        near = meant(alike, _SURELY) or elsewhere or meant(alike, _NEAR) or meant(keys, _NEAR)
        return near or f"known are {', '.join(keys)}"

    def _name(self) -> str:
        """``[[tool]] limit.rate``: the table as it is written, and the keys behind it."""
        match self.steps:
            case ():
                return ""
            case (str() as key,):
                return key
            case (str() as array, int(), *inner):
                return " ".join(filter(None, (f"[[{array}]]", _dotted(inner))))
            case (table, *inner):
                return f"[{table}] {_dotted(inner)}"
        raise AssertionError(self.steps)

    def _line(self) -> int:
        """The line of this place, or of the nearest around it that stands in the file."""
        lines = lines_of(self._text)
        steps = self.steps
        while steps and steps not in lines:
            steps = steps[:-1]
        return lines.get(steps, 1)


Converter = Callable[[Place, Any], Any]
"""Takes a value of the file, at its place, for the argument it becomes."""

Keys = Mapping[str, tuple[str, Converter]]
"""The keys of a table: the argument each becomes, and how."""


def _under(headers: Sequence[str]) -> str:
    return f"under {' or '.join(headers)}" if all(headers) else "at the top of the file, before the first table"


def _holds_tables(value: Any) -> bool:
    members = value if isinstance(value, list) else [value]
    return any(isinstance(each, dict) for each in members)


def _dotted(steps: list[str | int]) -> str:
    return ".".join(step for step in steps if isinstance(step, str))
