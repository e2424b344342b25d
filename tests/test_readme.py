"""What the documents show must be true: code compiles, TOML parses, commands and files exist."""

from __future__ import annotations

import ast
import builtins
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = ROOT / "README.md"
COMMAND = re.compile(r"(?:^|[`$&;] ?|[A-Z_]=\S+ )make (?:[A-Z_]+=\S+ )*([a-z-]+)", re.MULTILINE)


def blocks(language: str) -> Sequence[object]:
    """Every fenced block of a language in every document, named by where it stands."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append(pytest.param(match[1], id=f"{path.relative_to(ROOT)}:{line}"))
    return found


@pytest.mark.parametrize("source", blocks("python"))
def test_python_compiles(source: str) -> None:
    compile(source, "a document", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


@pytest.mark.parametrize("source", blocks("python"))
def test_python_can_be_pasted(source: str) -> None:
    """Whatever it names it brings along, but for what the first one of the README makes."""
    tree = list(ast.walk(ast.parse(source)))
    names = [node for node in tree if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in tree if isinstance(node, ast.arg)}
    bound |= {node.name for node in tree if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    imports = [alias for node in tree if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    bound |= {(alias.asname or alias.name).partition(".")[0] for alias in imports}
    assert {node.id for node in names} - bound - set(dir(builtins)) <= {"gate", "server"}


def test_the_readme_names_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    install = README.read_text(encoding="utf-8").partition("## Install\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z]+)` \|", install, re.MULTILINE)) == {*project["optional-dependencies"]} - {
        "dev",
        "bench",
    }


@pytest.mark.parametrize("source", blocks("toml"))
def test_toml_parses(source: str) -> None:
    tomllib.loads(source)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_command_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    code = re.findall(r"`[^`]+`|^```.*?^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    named = {name for text in code for name in COMMAND.findall(text)}
    assert named <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_the_readme_names_the_two_commands() -> None:
    text = README.read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text


def test_every_target_is_explained_by_make_help() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert set(phony[1].split()) == explained


def test_ci_runs_what_the_readme_promises() -> None:
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in commands if line.startswith("make ")] == ["make test", "make demo"]
