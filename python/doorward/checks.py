"""What every setting is checked for: each check raises `ValueError` whose first word is the name of the field."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar
from urllib.parse import urlsplit

__all__ = [
    "each",
    "flag",
    "hierarchy",
    "made_of",
    "members_of",
    "number",
    "one_of",
    "path",
    "scopes",
    "text",
    "texts",
    "unwritable",
    "web_url",
    "whole",
]

_SCOPE: Final = re.compile(r"[!#-\[\]-~]+")

_Parsed = TypeVar("_Parsed")


def each(name: str, value: object, parse: Callable[[str], _Parsed]) -> tuple[_Parsed, ...]:
    """A list of strings, each of which ``parse`` takes."""
    if not isinstance(value, list | tuple) or not all(isinstance(member, str) for member in value):
        raise ValueError(f"{name} must be a list of strings")
    try:
        return tuple(map(parse, value))
    except ValueError as error:
        raise ValueError(f"{name} is wrong: {error}") from None


def scopes(name: str, value: object) -> tuple[str, ...]:
    """A list of scopes (RFC 6749 section 3.3), without repetition: they go into headers as they are."""
    if not isinstance(value, list | tuple):
        raise ValueError(f'{name} must be a list, like ["mcp:tools:read"]')
    for scope in value:
        if (
            not isinstance(scope, str)
            or not scope
            or not all("!" <= each <= "~" and each not in '"\\' for each in scope)
        ):
            raise ValueError(f"{name} has {scope!r}: a scope is visible ASCII without quotes and backslashes")
    return tuple(dict.fromkeys(value))


def text(name: str, value: object) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a string, and not empty")
    return value


def path(name: str, value: object) -> str:
    """A path as a string, or as an object like `pathlib.Path`."""
    return text(name, os.fspath(value) if isinstance(value, os.PathLike) else value)


def texts(name: str, value: object) -> tuple[str, ...]:
    """A list of such strings, not empty itself."""
    if not isinstance(value, list | tuple) or not value or not all(isinstance(each, str) and each for each in value):
        raise ValueError(f"{name} must be a list of strings, and not empty")
    return tuple(value)


def one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    """One of a few words."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: it must be {' or '.join(allowed)}")


def flag(name: str, value: object) -> None:
    """Yes or no; 1 is neither."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")


def whole(name: str, value: object, *, at_least: int) -> None:
    """An integer; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"{name} must be a whole number, at least {at_least}")


def number(name: str, value: object) -> None:
    """A number; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number of seconds")


def made_of(name: str, value: object, kind: type) -> None:
    """One element of the settings."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {_what(value)}: it must be a doorward.{kind.__name__}(...)")


def members_of(name: str, value: object, kind: type) -> None:
    """A list of such elements."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} is {_what(value)}: it must be a list, like [doorward.{kind.__name__}(...)]")
    for member in value:
        if not isinstance(member, kind):
            raise ValueError(f"{name} has {_what(member)}: each must be a doorward.{kind.__name__}(...)")


def hierarchy(name: str, value: object) -> None:
    """Scopes, and those that each of them implies."""
    if not isinstance(value, Mapping):
        words = 'it must be a dictionary, like {"mcp:tools:write": ["mcp:tools:read"]}'
        raise ValueError(f"{name} is {_what(value)}: {words}")
    for scope, implied in value.items():
        scopes(name, [scope])
        scopes(name, implied)


def unwritable(name: str, path: object, error: OSError) -> OSError:
    """The same error for a file that a setting names, in words for whoever wrote it."""
    words = error.strerror or type(error).__name__
    hint = "see that this user may write there, or name another file"
    if isinstance(error, FileNotFoundError):
        hint = "make its directory first, or name another file"
    elif isinstance(error, IsADirectoryError):
        hint = "name a file in it"
    told = type(error)(f"{name} {path} cannot be written: {words}: {hint}")
    told.errno = error.errno
    return told


def web_url(name: str, value: object) -> None:
    """An issuer's URL, without query and fragment (RFC 8414 section 2), all of it visible: it is emitted as it is."""
    url = text(name, value)
    if not all("!" <= each <= "~" for each in url) or "?" in url or "#" in url or not _has_host(url):
        raise ValueError(f"{name} is {url!r}: it must be like https://auth.example.com, without query and fragment")


def _what(value: object) -> str:
    """What somebody gave, never its contents: they may be secret."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
