"""`Gate.explain`: the rule, the scopes and the verdict for a tool, resource or prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from guarded import Guarded

import doorward

Make = Callable[..., Guarded]

RULES = {
    "tools": [doorward.ToolRule("read_*", scopes=["read"]), doorward.ToolRule("seen", scopes=["read"], mode="observe")],
    "resources": [doorward.ResourceRule("docs://*", scopes=["read", "docs"])],
    "prompts": [doorward.PromptRule("greet", scopes=[])],
}

CASES: dict[str, tuple[str, str | None, list[str], str, bool, str | None, tuple[str, ...]]] = {
    "a tool": ("read_order", None, ["read"], "tool", True, None, ()),
    "a scope that implies another": ("read_order", None, ["write"], "tool", True, None, ()),
    "a tool without the scope": ("read_order", None, [], "tool", False, "insufficient_scope", ("read",)),
    "a tool without a rule": ("drop", None, ["read"], "tool", False, "no_rule", ()),
    "an observed tool": ("seen", None, [], "tool", True, "insufficient_scope", ("read",)),
    "a resource by its URI": ("docs://a", None, ["read"], "resource", False, "insufficient_scope", ("docs",)),
    "a resource that is named one": ("docs://a", "resource", ["read", "docs"], "resource", True, None, ()),
    "a URI that may mean another": ("docs://a/../b", None, ["read", "docs"], "resource", False, "no_rule", ()),
    "a prompt": ("greet", "prompt", [], "prompt", True, None, ()),
    "a prompt is no tool": ("greet", None, [], "tool", False, "no_rule", ()),
}


@pytest.mark.parametrize(("name", "kind", "scopes", "found", "allowed", "reason", "missing"), CASES.values(), ids=CASES)
def test_it_says_what_would_happen(
    guarded: Make,
    name: str,
    kind: str | None,
    scopes: list[str],
    found: str,
    allowed: bool,
    reason: str | None,
    missing: tuple[str, ...],
) -> None:
    explanation = guarded(**RULES).gate.explain(name, kind=kind, scopes=scopes)
    assert (explanation.kind, explanation.allowed, explanation.reason) == (found, allowed, reason)
    assert explanation.missing == missing
    assert (explanation.rule is None) is (reason == "no_rule")
    assert str(explanation).startswith(f"{name}: ")


def test_another_kind_is_an_error(guarded: Make) -> None:
    with pytest.raises(ValueError, match="kind is 'method': it must be tool, resource, prompt"):
        guarded().gate.explain("tools/list", kind="method")


PATHS: dict[str, Callable[[Path], str | None]] = {
    "the trail": lambda path: str(doorward.Audit(path=path).path),
    "a sink": lambda path: doorward.AuditSink(path=path).path,  # type: ignore[arg-type]  # taken all the same
    "agents": lambda path: doorward.Agents(file=path).file,  # type: ignore[arg-type]
    "revocation": lambda path: doorward.Revocation(file=path).file,  # type: ignore[arg-type]
    "a snapshot": lambda path: doorward.Limits(snapshot=path).snapshot,  # type: ignore[arg-type]
}


@pytest.mark.parametrize("taken", PATHS.values(), ids=PATHS)
def test_a_path_may_be_an_object(taken: Callable[[Path], str | None]) -> None:
    assert taken(Path("a") / "b") == str(Path("a/b"))
