"""Which rule governs a tool, resource or prompt, and whether some scopes are enough: `Gate.explain`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from doorward.errors import Forbidden
from doorward.policy import Policy
from doorward.request import Call
from doorward.settings import Rule

__all__ = ["Explanation", "explained"]

_METHODS: Final = {"tool": "tools/call", "resource": "resources/read", "prompt": "prompts/get"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a call would be allowed or refused; its text is for people."""

    name: str
    kind: str
    """``tool``, ``resource`` or ``prompt``."""
    rule: Rule | None
    """The rule that governs it; None where none does, so that nobody may call it."""
    given: tuple[str, ...]
    """The scopes that were asked about."""
    missing: tuple[str, ...]
    """The scopes that the rule asks for and that the given ones neither are nor imply."""
    reason: str | None
    """The slug of the refusal; None where the call would be allowed, apart from its budgets."""
    detail: str
    """Why no rule governs it; empty where one does."""
    spends: tuple[str, ...]
    """Its budgets and how it is confirmed, a line each."""

    @property
    def allowed(self) -> bool:
        """Whether rule and scopes allow the call. An observed rule refuses nothing."""
        return self.reason is None or (self.rule is not None and self.rule.mode == "observe")

    def __str__(self) -> str:
        rule = self.rule
        if rule is None:
            return f"{self.name}: no rule matches, so nobody may call it"
        verdict = "allowed" if self.reason is None else f"refused ({self.reason})"
        lines = [
            f"{self.name}: governed by match = {rule.match!r} ({rule.mode})",
            f"  scopes: {' '.join(rule.scopes) or 'none'}",
            f"  with {' '.join(self.given) or 'no scopes'}: {verdict}",
        ]
        return "\n".join([*lines, *(f"  {line}" for line in self.spends)])


def explained(policy: Policy, name: str, kind: str | None, given: tuple[str, ...]) -> Explanation:
    """The explanation without what the call spends. ``kind`` None: a resource where the name is a URI, else a tool.
    Raises `ValueError` for another kind."""
    kind = kind or ("resource" if "://" in name else "tool")
    if kind not in _METHODS:
        raise ValueError(f"kind is {kind!r}: it must be {', '.join(_METHODS)}")
    rule, detail = None, ""
    try:
        rule = policy.rule_for(Call("request", _METHODS[kind], 0, kind, name, None))
    except Forbidden as refused:
        detail = refused.detail
    if rule is None:
        return Explanation(name, kind, None, given, (), "no_rule", detail, ())
    effective = policy.effective(given)
    missing = tuple(scope for scope in rule.scopes if scope not in effective)
    return Explanation(name, kind, rule, given, missing, "insufficient_scope" if missing else None, "", ())
