"""From a file's bytes to the arguments of `Gate`."""

from __future__ import annotations

import re
import tomllib
from os import PathLike
from pathlib import Path
from typing import Any

from doorward.config.places import Place
from doorward.config.tables import GATE, LAYOUT

__all__ = ["MAX_BYTES", "load", "load_for_tokens", "load_rules", "located", "read"]

MAX_BYTES = 4 * 1024 * 1024
"""Of a configuration file: rules by the ten thousand, and a bound."""

_RULES = ("tool", "resource_rule", "prompt", "method", "scopes")

_FOR_TOKENS = ("resource", "audiences", "organization_claim", "issuer", "agents", "revocation")

_PLACE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")


_FIELDS = {"sinks": "sink"}
"""Fields of elements that have another name in the file."""

_TWICE = "Cannot overwrite a value"

_RESOURCE = re.compile(r"\s*\[{1,2}\s*resource\s*\]{1,2}\s*(?:#.*)?")


def load(path: str | PathLike[str]) -> dict[str, Any]:
    """The arguments of `Gate` that the file describes. Paths in it are relative to it. Raises `ValueError` that names
    the file, the line, the table and the key, and `OSError` for a file that cannot be read."""
    return read(path)[0]


def read(path: str | PathLike[str]) -> tuple[dict[str, Any], Place]:
    """`load`, and the place that `located` looks at afterwards."""
    file = Path(path)
    text = _text(file)
    found = _parsed(file, text)
    required = ("resource",) if "agents" in found else ("resource", "issuer")
    top = Place(file, text, layout=LAYOUT)
    return top.table(found, GATE, required=required), top


def located(top: Place, error: Exception) -> str:
    """What went wrong when the arguments were used, at the key that it is about: as everywhere, its first word is the
    name of the argument, with a dot before a field of it (``limits.snapshot``)."""
    name, _, problem = str(error).partition(" ")
    argument, *inner = name.rstrip(":").split(".")
    for key, (becomes, _) in GATE.items():
        if becomes == argument:
            return str(top.at(key, *(_FIELDS.get(each, each) for each in inner)).error(problem))
    return f"{top.file}: {error}"


def load_rules(path: str | PathLike[str]) -> dict[str, Any]:
    """The rules and the hierarchy of scopes alone, for whoever only looks: the secrets that the rest of the file names
    are on the server. Raises as `load` does."""
    file = Path(path)
    text = _text(file)
    found = _parsed(file, text)
    return Place(file, text, layout=LAYOUT).table({key: found[key] for key in _RULES if key in found}, GATE)


def load_for_tokens(path: str | PathLike[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What decides about tokens: the resource, the issuers, the agents and what was revoked. The rest of the file is
    not looked at, nor are the secrets that it names. The second value is the ``introspection`` of each issuer that has
    one, by the issuer's URL and as it is written, since it cannot be made without its secret. Raises as `load` does."""
    file = Path(path)
    text = _text(file)
    found = {key: value for key, value in _parsed(file, text).items() if key in _FOR_TOKENS}
    asked: dict[str, dict[str, Any]] = {}
    issuers = found.get("issuer")
    for issuer in issuers if isinstance(issuers, list) else ():
        if isinstance(issuer, dict) and isinstance(asking := issuer.pop("introspection", None), dict):
            asked[str(issuer.get("url"))] = asking
    return Place(file, text, layout=LAYOUT).table(found, GATE, required=("resource",)), asked


def _text(file: Path) -> str:
    with file.open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{file}: larger than {MAX_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{file}:{line}: not UTF-8") from None


def _parsed(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        line = found[1] if found and found[1] else text.rstrip("\n").count("\n") + 1
        problem = _PLACE.sub("", str(error))
        if problem.startswith(_TWICE):
            problem += ": the same key or table stands here twice"
            if _RESOURCE.fullmatch(text.split("\n")[int(line) - 1]):
                problem += "; rules for resources stand in [[resource_rule]]"
        raise ValueError(f"{file}:{line}: {problem}") from None
    except (RecursionError, ValueError):  # brackets by the thousand; a number of more digits than Python converts
        raise ValueError(f"{file}: nested too deeply, or with a number that is too long") from None
