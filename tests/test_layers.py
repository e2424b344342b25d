"""The plan of the house as data: who may import whom. Imports go down, and features do not know each other.

A new module needs a row here first.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "doorward"


class Row(NamedTuple):
    """A module or package of ``doorward``: its layer, and the layers and modules it may import."""

    layer: int
    may_import: str
    later: bool = False  # planned, and not there yet: whoever writes it drops this


PYTHON = {
    "errors": Row(0, ""),
    "principal": Row(0, "errors"),
    "certificates": Row(0, ""),
    "request": Row(0, "errors"),
    "request_ids": Row(0, ""),
    "resource": Row(0, "hosts"),
    "addresses": Row(0, ""),
    "background": Row(0, ""),
    "checks": Row(0, ""),
    "extras": Row(0, ""),
    "hosts": Row(0, ""),
    "methods": Row(0, ""),
    "patterns": Row(0, ""),
    "private_files": Row(0, ""),
    "queries": Row(0, "uris"),
    "uris": Row(0, ""),
    "version": Row(0, ""),
    "_rust": Row(1, "0"),
    "_pure": Row(1, "0"),
    "_core": Row(1, "_rust _pure"),
    "_redis": Row(1, "0"),
    "settings": Row(1, "0 _core _redis"),  # what cannot be read is a mistake at start, and these do the reading
    # features: none imports another
    "arguments": Row(2, "0 1"),
    "audit": Row(2, "0 1"),
    "config": Row(2, "0 1"),
    "confirmation": Row(2, "0 1"),
    "limits": Row(2, "0 1"),
    "metadata": Row(2, "0 1"),
    "policy": Row(2, "0 1"),
    "refusal_log": Row(2, "0 1"),
    "rendering": Row(2, "0 1"),
    "telemetry": Row(2, "0 1"),
    "tokens": Row(2, "0 1"),
    "transport": Row(2, "0 1"),
    "workers": Row(2, "0 1"),
    # only the steps of the gate know that there is more than one
    "callers": Row(3, "0 1 2"),
    "decision": Row(3, "0 1 2"),
    "admitting": Row(3, "0 1 2 decision"),
    "confirming": Row(3, "0 1 2 admitting decision"),
    "explanation": Row(3, "0 1 2"),
    "startup": Row(3, "0 1 2"),
    "steps": Row(3, "0 1 2 admitting callers confirming decision explanation"),
    "gate": Row(3, "0 1 2 callers confirming decision explanation startup steps"),
    "adapters": Row(4, "0 1 2 3"),
    "testing": Row(4, "0 1 2 3"),
    "__init__": Row(5, "0 1 2 3 testing"),
    "cli": Row(5, "0 1 2 3 4 __init__"),
    "__main__": Row(5, "cli"),
}

REACHING_UP = {
    # A name of the public contract for what lies above it: the import waits inside the function until it is wanted.
    ("gate", "Gate.protect"): "adapters",
    ("gate", "Gate.protect_stdio"): "adapters",
    ("gate", "Gate.auth"): "adapters",
    ("gate", "Gate.well_known"): "adapters",
    ("gate", "Gate.middleware"): "adapters",
    ("gate", "Gate.token_verifier"): "adapters",
    ("gate", "Gate.from_file"): "config",
    # A log record names the call it was made in, and only a decision knows that.
    ("audit", "_request_id"): "decision",
}

RUST = {
    "refusal": "",
    "json": "refusal",
    "canonical": "refusal json",
    "chain": "canonical",
    "envelope": "refusal json canonical",
    "record": "canonical",
    "crypto": "refusal",
    "jwk": "refusal json crypto",
    "jws": "refusal json crypto jwk",
    "kind": "json",
    "subject": "refusal",
    "claims": "refusal json jwk jws kind subject",
    "jwt": "refusal json crypto jwk jws kind subject claims",
    "cache": "jws jwt",
    "recogniser": "cache",
    "bucket": "",
    "charge": "bucket",
    "table": "bucket charge",
    "limiter": "refusal bucket charge table",
    "leases": "charge",
    "scrubber": "",
    "python": (
        "refusal json canonical chain envelope record crypto jwk jws kind subject claims jwt cache recogniser "
        "bucket charge table limiter leases scrubber"
    ),
}
"""The core, and by the same rows its twin in ``doorward._pure``; ``python`` is the binding, above all."""

ELSEWHERE = {"refusal": PACKAGE / "errors.py"}
"""Rows of the core whose Python half the native core shares."""

WITHOUT_TWIN = {"python"}

FRAMEWORKS = {"fastmcp", "hiredis", "httpx2", "mcp", "opentelemetry", "redis", "rich", "starlette", "typer", "uvicorn"}
ONLY_WHEN_NEEDED = FRAMEWORKS | {"cryptography", "duckdb", "jwt", "pytest"}


class Import(NamedTuple):
    """An import statement: where it stands, and the row it leads to."""

    path: Path
    row: str
    function: str
    target: str

    def __str__(self) -> str:
        where = f"{self.path.relative_to(ROOT)}{f', in {self.function}' if self.function else ''}"
        return f"{where}: {self.row} imports {self.target}"


def python_files() -> list[Path]:
    """Every source of the package, the contract included."""
    return sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")])


def row_of(path: Path, root: Path = PACKAGE) -> str:
    """The row that a file belongs to: its module, or the package it lies in."""
    return path.relative_to(root).parts[0].partition(".")[0]


def imports_in(path: Path) -> Iterator[Import]:
    """The imports of one Python file that stay in the package."""

    def visit(node: ast.AST, function: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            inside = function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inside = f"{function}.{child.name}".lstrip(".")
            for target in _targets(child):
                yield Import(path, row_of(path), function, target)
            yield from visit(child, inside)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), "")


def _targets(node: ast.AST) -> list[str]:
    names: list[str] = []
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are written in full"
        module = node.module or ""
        names = [f"doorward.{alias.name}" for alias in node.names] if module == "doorward" else [module]
    elif isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    inside = [name.split(".") for name in names if name.split(".")[0] == "doorward"]
    return [parts[1] if len(parts) > 1 and parts[1] in PYTHON else "__init__" for parts in inside]


def every_import() -> list[Import]:
    """The imports of the whole package."""
    return [found for path in python_files() for found in imports_in(path)]


def uses_in(path: Path) -> set[str]:
    """The modules of the crate that one Rust file names, its tests and comments apart."""
    code = re.sub(r"//.*", "", path.read_text(encoding="utf-8")).partition("#[cfg(test)]")[0]
    grouped = " ".join(re.findall(r"\bcrate::\{[^;]*\};", code))
    names = re.findall(r"\bcrate::(\w+)", code) + re.findall(r"[{,]\s*(\w+)", grouped)
    return {name for name in names if name in RUST}


def rust_files() -> list[Path]:
    """Every source of the crate."""
    return sorted((ROOT / "rust").rglob("*.rs"))


# --- the table itself -------------------------------------------------------------------------------------------------


def test_every_row_leads_down() -> None:
    for name, row in PYTHON.items():
        for allowed in row.may_import.split():
            beneath = int(allowed) < row.layer if allowed.isdigit() else PYTHON[allowed].layer <= row.layer
            assert beneath, f"{name} (layer {row.layer}) may not import {allowed}"


def test_features_do_not_know_each_other() -> None:
    for name, row in PYTHON.items():
        if row.layer == 2:
            assert set(row.may_import.split()) <= {"0", "1"}, name


def test_the_core_leads_down() -> None:
    above: set[str] = set(RUST)
    for name in reversed(RUST):
        above.discard(name)
        assert set(RUST[name].split()) <= above, name


def test_every_module_has_a_row() -> None:
    assert {row_of(path) for path in python_files()} <= set(PYTHON)
    assert {row_of(path, ROOT / "rust") for path in rust_files()} <= {*RUST, "lib"}


@pytest.mark.parametrize("name", PYTHON)
def test_every_row_has_a_module_unless_it_is_for_later(name: str) -> None:
    there = any(row_of(path) == name for path in python_files())
    assert there is not PYTHON[name].later, f"drop `later` from {name}" if there else f"{name} is missing"


@pytest.mark.parametrize("name", RUST)
def test_every_row_of_the_core_has_a_module(name: str) -> None:
    assert (ROOT / "rust" / f"{name}.rs").is_file()


# --- the code against it ----------------------------------------------------------------------------------------------


def test_imports_go_down() -> None:
    wrong = [str(found) for found in every_import() if not _allowed(found) and not _listed(found)]
    assert not wrong, "\n".join(wrong)


def test_what_reaches_up_is_listed_and_still_does() -> None:
    reaching = {(found.row, found.function): found.target for found in every_import() if _listed(found)}
    assert reaching == REACHING_UP


def _allowed(found: Import) -> bool:
    allowed = PYTHON[found.row].may_import.split()
    return found.target == found.row or found.target in allowed or str(PYTHON[found.target].layer) in allowed


def _listed(found: Import) -> bool:
    return REACHING_UP.get((found.row, found.function)) == found.target


@pytest.mark.parametrize("path", rust_files(), ids=lambda path: path.relative_to(ROOT / "rust").as_posix())
def test_the_core_imports_down(path: Path) -> None:
    name = row_of(path, ROOT / "rust")
    if name != "lib":
        assert uses_in(path) <= {name, *RUST[name].split()}


def test_only_the_binding_names_pyo3() -> None:
    def names_it(path: Path) -> bool:
        return re.search(r"\bpyo3\b", re.sub(r"//.*", "", path.read_text(encoding="utf-8"))) is not None

    assert {row_of(path, ROOT / "rust") for path in rust_files() if names_it(path)} == {"python"}


# --- the core and its twin --------------------------------------------------------------------------------------------


def test_the_twins_have_the_same_rooms() -> None:
    native = _rooms(ROOT / "rust", "*.rs") - {"lib"}
    pure = _rooms(PACKAGE / "_pure", "*.py")
    assert pure == native - {*ELSEWHERE, *WITHOUT_TWIN}
    assert all(path.is_file() for path in ELSEWHERE.values())


def test_the_pure_twin_imports_as_the_native_core_does() -> None:
    wrong = []
    for path in (PACKAGE / "_pure").rglob("*.py"):
        name = row_of(path, PACKAGE / "_pure")
        used = set(re.findall(r"^\s*from doorward\._pure\.(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
        if name != "__init__" and not used <= {name, *RUST[name].split()}:
            wrong.append(f"{path.relative_to(ROOT)} imports {', '.join(sorted(used))}")
    assert not wrong, "\n".join(wrong)


def _rooms(root: Path, pattern: str) -> set[str]:
    # What a room has inside is its own affair: the native one may need more to be quick.
    return {row_of(path, root) for path in root.rglob(pattern)} - {"__init__"}


# --- what `import doorward` brings along ------------------------------------------------------------------------------


@pytest.mark.parametrize("implementation", ["rust", "python"])
def test_importing_doorward_imports_no_framework(implementation: str) -> None:
    if implementation == "rust" and find_spec("doorward._rust") is None:
        pytest.skip("the native core is not built: run `make build`")
    listed = subprocess.run(
        [sys.executable, "-c", "import sys, doorward; print(doorward.IMPLEMENTATION, *sys.modules)"],
        env={**os.environ, "DOORWARD_CORE": implementation},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert listed[0] == implementation
    assert {name.partition(".")[0] for name in listed} & ONLY_WHEN_NEEDED == set()


@pytest.mark.parametrize("row", [name for name, row in PYTHON.items() if row.layer < 4])
def test_below_the_adapters_nothing_names_a_framework(row: str) -> None:
    named = {
        target
        for path in python_files()
        if row_of(path) == row
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for target in _packages(node) & FRAMEWORKS
    }
    # Who fetches from the network, counts in Redis or traces names that one library, inside a function.
    owners = {
        "audit": {"opentelemetry"},
        "confirmation": {"httpx2"},
        "tokens": {"httpx2"},
        "_redis": {"redis", "hiredis"},
        "limits": {"redis"},
        "telemetry": {"opentelemetry"},
    }
    assert named <= owners.get(row, set())


def _packages(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]}
    return set()
