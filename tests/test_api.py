"""The public names: all there, all documented, and quick to import."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from types import ModuleType

import pytest

import doorward
from doorward import errors

CONTRACT = {
    *("IMPLEMENTATION", "KeySet", "Verifier", "Verifiers", "Claims", "Limiter", "Charge", "Grant", "hash_arguments"),
    *("Refused", "Unauthenticated", "Forbidden", "Limited", "Unavailable", "Malformed"),
    *("Gate", "Request", "current"),
    *("Issuer", "ToolRule", "ResourceRule", "PromptRule", "MethodRule", "Limits", "Audit"),
}


def test_the_names_people_build_on_are_there() -> None:
    assert set(doorward.__all__) >= CONTRACT


def test_all_lists_every_public_name_and_no_other() -> None:
    listed = {name for name in doorward.__all__ if not isinstance(getattr(doorward, name), ModuleType)}
    public = {name for name in vars(doorward) if not name.startswith("_") and name != "annotations"}
    assert {name for name in public if not isinstance(getattr(doorward, name), ModuleType)} == listed
    assert len(set(doorward.__all__)) == len(doorward.__all__)


@pytest.mark.parametrize("name", sorted(doorward.__all__))
def test_every_public_name_says_what_it_is(name: str) -> None:
    value = getattr(doorward, name)
    if not isinstance(value, str):
        assert inspect.getdoc(value), f"{name} has no docstring"


@pytest.mark.parametrize("name", sorted(doorward.__all__))
def test_every_public_method_says_what_it_does(name: str) -> None:
    value = getattr(doorward, name)
    if not inspect.isclass(value):
        return
    members = {key: member for key, member in vars(value).items() if not key.startswith("_") and _is_method(member)}
    undocumented = [key for key in members if not inspect.getdoc(getattr(value, key))]
    assert not undocumented


def _is_method(member: object) -> bool:
    return inspect.isroutine(member) or isinstance(member, staticmethod | classmethod)


def test_implementation_says_which_core_runs() -> None:
    assert os.environ.get("DOORWARD_CORE", doorward.IMPLEMENTATION) == doorward.IMPLEMENTATION
    module = inspect.getmodule(doorward.Verifier)
    assert module is not None
    assert module.__name__.startswith({"rust": "doorward._rust", "python": "doorward._pure"}[doorward.IMPLEMENTATION])


def test_the_version_is_that_of_the_distribution_and_looked_up_when_asked_for() -> None:
    code = "import sys, doorward; print('importlib.metadata' in sys.modules, doorward.__version__)"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", metadata.version("doorward")]
    with pytest.raises(AttributeError, match="no attribute 'versions'"):
        doorward.versions  # type: ignore[attr-defined]  # noqa: B018


def test_the_command_tells_the_version() -> None:
    pytest.importorskip("typer")
    command = [sys.executable, "-m", "doorward", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown == f"doorward {doorward.__version__} ({doorward.IMPLEMENTATION} core)\n"


def test_what_is_refused_is_one_tree() -> None:
    tree = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]
    assert all(issubclass(value, doorward.Refused) for value in tree)


def test_testing_is_reached_without_an_import_of_their_own() -> None:
    code = "import doorward; print(doorward.testing.Issuer.__name__, doorward.testing.verify_jws.__name__)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["Issuer", "verify_jws"]


@pytest.mark.parametrize("core", ["rust", "python", "ruby", ""])
def test_doorward_core_forces_one_or_says_what_it_may_be(core: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import doorward; print(doorward.IMPLEMENTATION)"],
        env={**os.environ, "DOORWARD_CORE": core},
        capture_output=True,
        text=True,
        check=False,
    )
    if core == "ruby":
        assert "DOORWARD_CORE is 'ruby': it must be rust or python" in ended.stderr
    else:
        assert ended.stdout.strip() == (core or "rust")


def test_import_time_is_reported(tell: Callable[[str], None]) -> None:
    code = (
        "import time; import asyncio, json; start = time.perf_counter(); import doorward;"
        "print((time.perf_counter() - start) * 1000)"
    )
    command = [sys.executable, "-c", code]
    times = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(3)]
    tell(f"import doorward ({doorward.IMPLEMENTATION}): {min(times):.0f} ms, best of {len(times)} (goal: under 100)")
