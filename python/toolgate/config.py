"""``toolgate.toml`` becomes the arguments of `Gate`; nothing unknown, nothing of the wrong type, gets through."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from toolgate.settings import Audit, Budget, Issuer, Limits, MethodRule, PromptRule, ResourceRule, Rule, Secret, ToolRule

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["load"]

_Made = TypeVar("_Made")
_Converter = Callable[["_Place", Any], Any]

_MAX_BYTES = 4 * 1024 * 1024
"""Of a configuration file: rules by the ten thousand, and a bound."""

_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def load(path: str | PathLike[str]) -> dict[str, Any]:
    """The arguments of `Gate` that the file describes. Paths in it are relative to it. Raises `ValueError` that names the file, the
    line, the table and the key, and `OSError` for a file that cannot be read."""
    file = Path(path)
    data = file.read_bytes()
    if len(data) > _MAX_BYTES:
        raise ValueError(f"{file}: larger than {_MAX_BYTES} bytes")
    try:
        text = data.decode()
        document = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{file}: {error}") from None
    return _Place(file, text.splitlines(), "").table(document, _GATE, required=("resource", "issuer"))


class _Place:
    """Where in the file something stands, for errors that lead there."""

    def __init__(self, file: Path, lines: list[str], table: str, nth: int = 0) -> None:
        self.file = file
        self._lines = lines
        self._table = table
        self._nth = nth

    def inside(self, table: str, nth: int = 0) -> _Place:
        """A table of the same file: the ``nth`` of an array of tables."""
        return _Place(self.file, self._lines, table, nth)

    def error(self, key: str, problem: str) -> ValueError:
        """An error at a key of this table."""
        name = f"[{self._table}] " if self._table else ""
        return ValueError(f"{self.file}:{self._line(key)}: {name}{key}: {problem}")

    def table(self, given: Any, keys: Mapping[str, tuple[str, _Converter]], *, required: tuple[str, ...] = ()) -> dict[str, Any]:
        """The table's members under the names of the arguments they become."""
        if not isinstance(given, dict):
            raise self.error("", "must be a table")
        for key in given:
            if key not in keys:
                near = difflib.get_close_matches(key, keys, 1, 0.5)
                raise self.error(key, f"unknown key, {f'did you mean {near[0]}?' if near else 'known are ' + ', '.join(keys)}")
        for key in required:
            if key not in given:
                raise self.error(key, "is missing")
        return {keys[key][0]: keys[key][1](self.at(key), value) for key, value in given.items()}

    def at(self, key: str) -> _Place:
        """This place, remembering the key that is being read."""
        place = self.inside(self._table, self._nth)
        place.key = key
        return place

    key = ""

    def wrong(self, problem: str) -> ValueError:
        """An error at the key that is being read."""
        return self.error(self.key, problem)

    def make(self, kind: Callable[..., _Made], arguments: Mapping[str, Any]) -> _Made:
        """An element; what it refuses is said with its place."""
        try:
            return kind(**arguments)
        except ValueError as error:
            named = next((name for name in arguments if str(error).startswith(name)), "")
            raise self.error(named or next(iter(arguments), ""), str(error).removeprefix(named).lstrip()) from None

    def _line(self, key: str) -> int:
        header = re.compile(rf"\s*\[\[?\s*{re.escape(self._table)}\s*\]") if self._table else None
        member = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]") if key else None
        seen, start = -1, 0
        for number, line in enumerate(self._lines, 1):
            if line.lstrip().startswith("["):
                if header is not None and header.match(line):
                    seen += 1
                    if seen == self._nth:
                        start = number
                elif seen >= self._nth:
                    break
            elif member is not None and member.match(line) and (header is None or seen == self._nth):
                return number
        return start or 1


def _string(place: _Place, value: Any) -> str:
    if not isinstance(value, str):
        raise place.wrong("must be a string")
    return value


def _strings(place: _Place, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise place.wrong("must be a list of strings")
    return value


def _integer(place: _Place, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise place.wrong("must be an integer")
    return value


def _boolean(place: _Place, value: Any) -> bool:
    if not isinstance(value, bool):
        raise place.wrong("must be true or false")
    return value


def _seconds(place: _Place, value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = re.fullmatch(r"(\d{1,9})([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise place.wrong('must be seconds, or a duration like "24h" (s, m, h, d)')
    return float(int(match[1]) * _DURATION_UNITS[match[2]])


def _budget(place: _Place, value: Any) -> Budget:
    if isinstance(value, str):
        value = {"rate": value}
    arguments = place.table(value, _BUDGET, required=("rate",))
    try:
        return Budget(**arguments)
    except ValueError as error:
        raise place.wrong(str(error)) from None


def _budgets(place: _Place, value: Any) -> list[Budget]:
    if not isinstance(value, list):
        raise place.wrong('must be a list, like ["600/minute"]')
    return [_budget(place, each) for each in value]


def _scopes(place: _Place, value: Any) -> dict[str, list[str]]:
    if not isinstance(value, dict):
        raise place.wrong("must be a table")
    inside = place.inside("scopes")
    return {scope: _strings(inside.at(scope), implied) for scope, implied in value.items()}


def _secret(place: _Place, value: Any) -> Secret:
    arguments = place.table(value, {"env": ("env", _string), "file": ("file", _string), "id": ("id", _string)})
    if ("env" in arguments) == ("file" in arguments):
        raise place.wrong('a secret is { env = "NAME" } or { file = "path" }, never inline')
    if "env" in arguments:
        name = arguments["env"]
        secret = os.environ.get(name, "").encode()
        if not secret:
            raise place.wrong(f"the environment variable {name} is not set")
    else:
        try:
            secret = (place.file.parent / arguments["file"]).read_bytes().strip()
        except OSError as error:
            raise place.wrong(f"cannot read {arguments['file']}: {error.strerror}") from None
    if len(secret) < _MIN_KEY_BYTES:
        raise place.wrong(f"the secret must have at least {_MIN_KEY_BYTES} bytes")
    return Secret(secret, arguments.get("id", ""))


_MIN_KEY_BYTES = 32
"""Of a key for HMAC-SHA-256: the hash's own length (RFC 2104 section 3)."""


def _jwks_file(place: _Place, value: Any) -> bytes:
    name = _string(place, value)
    try:
        return (place.file.parent / name).read_bytes()
    except OSError as error:
        raise place.wrong(f"cannot read {name}: {error.strerror}") from None


def _jwks(place: _Place, value: Any) -> Any:
    if not isinstance(value, dict):
        raise place.wrong("must be a table, like { keys = [...] }")
    return value


def _issuers(place: _Place, value: Any) -> list[Issuer]:
    issuers = []
    for nth, given in enumerate(_tables(place, value)):
        inside = place.inside("issuer", nth)
        if isinstance(given, dict) and ("jwks" in given) == ("jwks_file" in given):
            raise inside.error("jwks_file", "give the issuer's keys, as jwks_file or as jwks")
        issuers.append(inside.make(Issuer, inside.table(given, _ISSUER, required=("url", "algorithms"))))
    return issuers


def _rules(kind: type[Rule]) -> _Converter:
    def rules(place: _Place, value: Any) -> list[Rule]:
        made = []
        for nth, given in enumerate(_tables(place, value)):
            inside = place.inside(place.key, nth)
            made.append(inside.make(kind, inside.table(given, _RULE, required=("match", "scopes"))))
        return made

    return rules


def _tables(place: _Place, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise place.wrong(f"must be an array of tables: write [[{place.key}]]")
    return value


def _audit_path(place: _Place, value: Any) -> str:
    path = _string(place, value)
    return path if path == "stdout" else str(place.file.parent / path)


def _one(kind: Callable[..., Any], keys: Mapping[str, tuple[str, _Converter]]) -> _Converter:
    def one(place: _Place, value: Any) -> Any:
        inside = place.inside(place.key)
        return inside.make(kind, inside.table(value, keys))

    return one


_BUDGET = {"rate": ("rate", _string), "strict": ("strict", _boolean), "mode": ("mode", _string)}
_RULE: dict[str, tuple[str, _Converter]] = {
    "match": ("match", _string),
    "scopes": ("scopes", _strings),
    "limit": ("limit", _budgets),
    "total_limit": ("total_limit", _budgets),
    "cost": ("cost", _integer),
    "confirm": ("confirm", _boolean),
    "mode": ("mode", _string),
}
_ISSUER: dict[str, tuple[str, _Converter]] = {
    "url": ("url", _string),
    "algorithms": ("algorithms", _strings),
    "jwks": ("jwks", _jwks),
    "jwks_file": ("jwks", _jwks_file),
    "leeway": ("leeway", _seconds),
    "types": ("types", _strings),
    "max_token_lifetime": ("max_token_lifetime", _seconds),
}
_LIMITS: dict[str, tuple[str, _Converter]] = {
    "client": ("client", _budgets),
    "organization": ("organization", _budgets),
    "failed_auth": ("failed_auth", _budget),
    "max_keys": ("max_keys", _integer),
}
_AUDIT: dict[str, tuple[str, _Converter]] = {
    "path": ("path", _audit_path),
    "durability": ("durability", _string),
    "on_failure": ("on_failure", _string),
    "key": ("key", _secret),
}
_GATE: dict[str, tuple[str, _Converter]] = {
    "resource": ("resource", _string),
    "audiences": ("audiences", _strings),
    "organization_claim": ("organization_claim", _string),
    "challenge_scopes": ("challenge_scopes", _strings),
    "allowed_hosts": ("allowed_hosts", _strings),
    "allowed_origins": ("allowed_origins", _strings),
    "trusted_proxies": ("trusted_proxies", _strings),
    "max_body_bytes": ("max_body_bytes", _integer),
    "issuer": ("issuers", _issuers),
    "scopes": ("scopes", _scopes),
    "tool": ("tools", _rules(ToolRule)),
    "resource_rule": ("resources", _rules(ResourceRule)),
    "prompt": ("prompts", _rules(PromptRule)),
    "method": ("methods", _rules(MethodRule)),
    "limits": ("limits", _one(Limits, _LIMITS)),
    "audit": ("audit", _one(Audit, _AUDIT)),
}
