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

import toolgate
from toolgate import errors

CONTRACT = {
    *("IMPLEMENTATION", "KeySet", "Verifier", "Verifiers", "Claims", "Limiter", "Charge", "Grant", "hash_arguments"),
    *("Refused", "Unauthenticated", "Forbidden", "Limited", "Unavailable", "Malformed"),
    *("Gate", "Request", "current"),
    *("Issuer", "ToolRule", "ResourceRule", "PromptRule", "MethodRule", "Limits", "Audit"),
}


def test_the_names_people_build_on_are_there() -> None:
    assert set(toolgate.__all__) >= CONTRACT


def test_all_lists_every_public_name_and_no_other() -> None:
    listed = {name for name in toolgate.__all__ if not isinstance(getattr(toolgate, name), ModuleType)}
    public = {name for name in vars(toolgate) if not name.startswith("_") and name != "annotations"}
    assert {name for name in public if not isinstance(getattr(toolgate, name), ModuleType)} == listed
    assert len(set(toolgate.__all__)) == len(toolgate.__all__)


@pytest.mark.parametrize("name", sorted(toolgate.__all__))
def test_every_public_name_says_what_it_is(name: str) -> None:
    value = getattr(toolgate, name)
    if not isinstance(value, str):
        assert inspect.getdoc(value), f"{name} has no docstring"


@pytest.mark.parametrize("name", sorted(toolgate.__all__))
def test_every_public_method_says_what_it_does(name: str) -> None:
    value = getattr(toolgate, name)
    if not inspect.isclass(value):
        return
    members = {key: member for key, member in vars(value).items() if not key.startswith("_") and _is_method(member)}
    undocumented = [key for key in members if not inspect.getdoc(getattr(value, key))]
    assert not undocumented


def _is_method(member: object) -> bool:
    return inspect.isroutine(member) or isinstance(member, staticmethod | classmethod)


def test_implementation_says_which_core_runs() -> None:
    assert os.environ.get("TOOLGATE_CORE", toolgate.IMPLEMENTATION) == toolgate.IMPLEMENTATION
    module = inspect.getmodule(toolgate.Verifier)
    assert module is not None
    assert module.__name__.startswith({"rust": "toolgate._rust", "python": "toolgate._pure"}[toolgate.IMPLEMENTATION])


def test_the_version_is_that_of_the_distribution_and_looked_up_when_asked_for() -> None:
    code = "import sys, toolgate; print('importlib.metadata' in sys.modules, toolgate.__version__)"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", metadata.version("toolgate")]
    with pytest.raises(AttributeError, match="no attribute 'versions'"):
        toolgate.versions  # type: ignore[attr-defined]  # noqa: B018


def test_the_command_tells_the_version() -> None:
    pytest.importorskip("typer")
    command = [sys.executable, "-m", "toolgate", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown == f"toolgate {toolgate.__version__} ({toolgate.IMPLEMENTATION} core)\n"


def test_what_is_refused_is_one_tree() -> None:
    tree = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]
    assert all(issubclass(value, toolgate.Refused) for value in tree)


def test_testing_is_reached_without_an_import_of_their_own() -> None:
    code = "import toolgate; print(toolgate.testing.Issuer.__name__, toolgate.testing.verify_jws.__name__)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["Issuer", "verify_jws"]


@pytest.mark.parametrize("core", ["rust", "python", "ruby", ""])
def test_toolgate_core_forces_one_or_says_what_it_may_be(core: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import toolgate; print(toolgate.IMPLEMENTATION)"],
        env={**os.environ, "TOOLGATE_CORE": core},
        capture_output=True,
        text=True,
        check=False,
    )
    if core == "ruby":
        assert "TOOLGATE_CORE is 'ruby': it must be rust or python" in ended.stderr
    else:
        assert ended.stdout.strip() == (core or "rust")


def test_import_time_is_reported(tell: Callable[[str], None]) -> None:
    code = (
        "import time; import asyncio, json; start = time.perf_counter(); import toolgate;"
        "print((time.perf_counter() - start) * 1000)"
    )
    command = [sys.executable, "-c", code]
    times = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(3)]
    tell(f"import toolgate ({toolgate.IMPLEMENTATION}): {min(times):.0f} ms, best of {len(times)} (goal: under 100)")
