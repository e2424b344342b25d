"""The server that a name means: ``module:object`` as uvicorn writes it, ``path.py[:object]`` as the SDK's command."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from doorward.audit import redact
from doorward.gate import Gate
from doorward.settings import Audit, Issuer

__all__ = ["is_stand_in", "named"]

_USUAL: Final = ("mcp", "server", "app")
"""The names that the SDK's own command looks for."""

_NOBODY: Final = Issuer("https://nobody.invalid", ["ES256"], max_token_lifetime=1.0)


def named(name: str) -> Any:
    """The object, imported from the current directory as a server program would. What the module prints goes to the
    standard error. Raises `ValueError` that says what to do."""
    place, colon, attribute = name.rpartition(":")
    if not colon or (len(place) == 1 and attribute[:1] in ("\\", "/")):  # a drive of Windows
        place, attribute = name, ""
    is_file = place.endswith(".py")
    if not place or (not is_file and not attribute):
        raise ValueError(f"{name!r} names no server: write module:object, path.py or path.py:object")
    with _letting_nobody_in(), redirect_stdout(sys.stderr):
        module = _imported(Path(place) if is_file else place)
    return _attribute(module, place, attribute) if attribute else _usual(module, place)


def is_stand_in(gate: Gate) -> bool:
    """Whether it stands for one that a file describes."""
    return list(gate.configuration.issuers) == [_NOBODY]


def _imported(place: Path | str) -> ModuleType:
    directory = str(place.resolve().parent if isinstance(place, Path) else Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    if isinstance(place, Path) and not place.is_file():
        raise ValueError(f"there is no file {place}")
    try:
        return _executed(place) if isinstance(place, Path) else importlib.import_module(place)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == place:
            raise ValueError(f"there is no module {place!r} here: name it from the directory it lies in") from None
        raise ValueError(f"{place} cannot be imported: {_told(error)}") from error


def _executed(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickles of the module look for it there.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _told(error: BaseException) -> str:
    """The error and its place, without the lines of code between."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames and frames[-1].filename != __file__ else ""
    return f"{type(error).__name__}: {error}{place}"


def _attribute(module: ModuleType, place: str, attribute: str) -> Any:
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ValueError(f"{place} has no {attribute!r}") from None
    return found


def _usual(module: ModuleType, place: str) -> Any:
    found = [name for name in _USUAL if hasattr(module, name)]
    if not found:
        raise ValueError(f"{place} has none of {', '.join(_USUAL)}: name the server, like {place}:orders")
    return getattr(module, found[0])


@contextmanager
def _letting_nobody_in() -> Iterator[None]:
    """The module may load the very file that is to be written, or one whose secrets are not here; a gate opens its
    audit trail, and one before a local server wants its caller's token. Whoever only looks gets a gate without a rule,
    an issuer that can be met or a file instead."""

    def from_file(cls: type[Gate], *_args: Any, **_options: Any) -> Gate:
        return cls(resource="http://127.0.0.1/mcp", issuers=[_NOBODY], audit=Audit(path=os.devnull))

    def protect_stdio(_gate: Gate, server: Any, **_options: Any) -> Any:
        return server

    def announce(_gate: Gate) -> None:
        """Without the start-up summary: nothing starts, and the gate may be a stand-in without rules."""
        redact.install()

    instead = {"from_file": classmethod(from_file), "protect_stdio": protect_stdio, "_announce": announce}
    before = {name: Gate.__dict__[name] for name in instead}
    try:
        for name, method in instead.items():
            setattr(Gate, name, method)
        yield
    finally:
        for name, method in before.items():
            setattr(Gate, name, method)
