"""TOML files that hold an array of tables: read strictly, with the line of what is wrong as far as it is known.

No error repeats a value: somebody may have pasted a token into the wrong place.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["Entry", "Wrong", "entries", "instant", "written_instant"]

_PLACE: Final = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")

_KEY: Final = re.compile(r"[a-z_-]{1,32}")
"""What may be named in an error: no token looks like this."""


class Wrong(ValueError):
    """What is wrong with a document; ``line`` is 0 where it is not known."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(problem)
        self.line = line


class Entry:
    """One table of the array."""

    def __init__(self, array: str, line: int, members: dict[str, Any]) -> None:
        self.members = members
        self._array = array
        self._line = line

    def wrong(self, problem: str) -> Wrong:
        """The error for this table."""
        return Wrong(f"[[{self._array}]]: {problem}", self._line)

    def check_keys(self, known: Collection[str], *, required: Collection[str] = ()) -> None:
        """Nothing unknown, and nothing missing."""
        for key in self.members:
            if key not in known:
                named = f" {key}" if _KEY.fullmatch(key) else ""
                raise self.wrong(f"unknown key{named}; known are {', '.join(known)}")
        for key in required:
            if key not in self.members:
                raise self.wrong(f"{key} is missing")

    def text(self, key: str, *, longest: int) -> str | None:
        """A string that can be shown in a table, or None where the key is absent."""
        value = self.members.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value or len(value) > longest or not value.isprintable():
            raise self.wrong(f"{key} must be a string of 1 to {longest} printable characters")
        return value

    def instant(self, key: str) -> float | None:
        """A date and time with its offset, in seconds since the epoch, or None where the key is absent."""
        value = self.members.get(key)
        return None if value is None else instant(self, key, value)


def instant(entry: Entry, key: str, value: Any) -> float:
    """The seconds since the epoch of a date and time, which needs its offset: a local one means another time on
    another machine."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise entry.wrong(f"{key} must be a date and time like 2030-01-31T12:00:00Z")
    return value.timestamp()


def written_instant(seconds: float) -> str:
    """The same the other way round, to the second."""
    return f"{datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None).isoformat()}Z"


def entries(data: bytes, array: str) -> list[Entry]:
    """The tables of a document that has nothing else. Raises `Wrong`."""
    try:
        text = data.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise Wrong("not UTF-8", data.count(b"\n", 0, error.start) + 1) from None
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        line = int(found[1]) if found and found[1] else text.rstrip("\n").count("\n") + 1
        raise Wrong("not TOML", line) from None
    except (RecursionError, ValueError):  # brackets by the thousand; a number of more digits than Python converts
        raise Wrong("nested too deeply, or with a number that is too long") from None
    if not document.keys() <= {array}:
        raise Wrong(f"only [[{array}]] may stand here")
    tables = document.get(array, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise Wrong(f"{array} must be an array of tables: write [[{array}]]")
    lines = _lines(text, array)
    lines += [0] * (len(tables) - len(lines))
    return [Entry(array, line, table) for line, table in zip(lines, tables, strict=False)]


def _lines(text: str, array: str) -> list[int]:
    """Where each header stands: good enough, since none looks like one in the middle of a string of these files."""
    header = re.compile(rf"[ \t]*\[\[[ \t]*{array}[ \t]*\]\]")
    return [number for number, line in enumerate(text.split("\n"), 1) if header.match(line)]
