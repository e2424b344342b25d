"""The values of a configuration: each converter takes one kind and refuses every other."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, Final

from doorward import checks
from doorward.config.places import Converter, Place
from doorward.settings import Secret
from doorward.settings.sinks import STREAMS

__all__ = [
    "audit_path",
    "boolean",
    "integer",
    "jwks",
    "jwks_file",
    "parsed",
    "path",
    "scopes",
    "seconds",
    "secret",
    "string",
    "strings",
    "syslog",
    "text_of",
]

_MAX_FILE_BYTES: Final = 512 * 1024
"""Of a file that is named: as much as a key set may have."""

_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")
_DURATION_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def string(place: Place, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise place.error("must be a string")
    return value


def strings(place: Place, value: Any) -> list[str]:
    """A list of strings."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise place.error("must be a list of strings")
    return value


def text_of(parse: Callable[[str], object]) -> Converter:
    """A string that ``parse`` takes."""

    def checked(place: Place, value: Any) -> str:
        given = string(place, value)
        try:
            parse(given)
        except ValueError as error:
            raise place.error(str(error)) from None
        return given

    return checked


def parsed(parse: Callable[[str], object]) -> Converter:
    """A list of strings that ``parse`` takes."""

    def checked(place: Place, value: Any) -> list[str]:
        given = strings(place, value)
        try:
            for each in given:
                parse(each)
        except ValueError as error:
            raise place.error(str(error)) from None
        return given

    return checked


def scopes(place: Place, value: Any) -> tuple[str, ...]:
    """A list of scopes."""
    try:
        return checks.scopes("scopes", value)
    except ValueError as error:
        raise place.error(str(error).removeprefix("scopes ")) from None


def integer(place: Place, value: Any) -> int:
    """An integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise place.error("must be an integer")
    return value


def boolean(place: Place, value: Any) -> bool:
    """A boolean."""
    if not isinstance(value, bool):
        raise place.error("must be true or false")
    return value


def seconds(place: Place, value: Any) -> float:
    """Seconds, as a number or as a duration."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        return float(int(match[1]) * _DURATION_UNITS[match[2]])
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    raise place.error('must be seconds, or a duration like "24h" (s, m, h, d)')


def secret(place: Place, value: Any) -> Secret:
    """A secret from the environment or a file. Its errors repeat nothing that stands there: it may be the secret."""
    if not isinstance(value, dict) or ("env" in value) == ("file" in value):
        raise place.error('a secret is { env = "NAME" } or { file = "path" }, never inline')
    given = place.table(value, {"env": ("env", string), "file": ("file", string), "id": ("id", string)})
    if "env" in given:
        found = os.fsencode(os.environ.get(given["env"], ""))
        if not found:
            raise place.at("env").error("no environment variable of that name is set")
    else:
        found = _contents(place.at("file"), given["file"]).strip()
        if not found:
            raise place.at("file").error("the file is empty")
    return Secret(found, given.get("id", ""), str(place.file.parent / given["file"]) if "file" in given else "")


def jwks(place: Place, value: Any) -> dict[str, Any]:
    """A JWK Set written out."""
    if not isinstance(value, dict):
        raise place.error("must be a table, like { keys = [...] }")
    return value


def jwks_file(place: Place, value: Any) -> bytes:
    """A JWK Set in a file."""
    return _contents(place, string(place, value))


def path(place: Place, value: Any) -> str:
    """A path, relative to the configuration's directory."""
    given = string(place, value)
    return given and str(place.file.parent / given)


def audit_path(place: Place, value: Any) -> str:
    """A path, ``stdout`` or ``stderr``."""
    return str(value) if value in STREAMS else path(place, value)


def syslog(place: Place, value: Any) -> str:
    """A syslog address; a path is relative to the configuration's directory, like every other."""
    given = string(place, value)
    return given if "://" in given or not given else path(place, given)


def _contents(place: Place, name: str) -> bytes:
    try:
        with (place.file.parent / name).open("rb") as file:
            contents = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise place.error(f"the file cannot be read: {error.strerror}") from None
    except ValueError:
        raise place.error("is not a path") from None
    if len(contents) > _MAX_FILE_BYTES:
        raise place.error(f"the file is larger than {_MAX_FILE_BYTES} bytes")
    return contents
