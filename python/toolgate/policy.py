"""May they: which rule governs a message, and which scopes it asks for. First match governs; no match, no call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from toolgate._core import Envelope
from toolgate.errors import Forbidden, refusal
from toolgate.request import Call
from toolgate.settings import MethodRule, PromptRule, ResourceRule, Rule, ToolRule

__all__ = ["METHODS", "Policy", "call_of"]

METHODS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tools/call": "tool",
        "prompts/get": "prompt",
        "resources/read": "resource",
        "resources/subscribe": "resource",
        "resources/unsubscribe": "resource",
        "completion/complete": "reference",
        "initialize": "method",
        "logging/setLevel": "method",
        "notifications/cancelled": "method",
        "notifications/initialized": "method",
        "notifications/progress": "method",
        "notifications/roots/list_changed": "method",
        "ping": "method",
        "prompts/list": "method",
        "resources/list": "method",
        "resources/templates/list": "method",
        "server/discover": "method",
        "subscriptions/listen": "method",
        "tools/list": "method",
    }
)
"""What governs each method. A ``tool``, ``prompt`` or ``resource`` needs a rule that fits its name; a ``method`` needs a valid
token and what a `MethodRule` adds; a ``reference`` is governed by the rule of what it completes. A method in no row is refused."""

_REFERENCES: Final[Mapping[str, str]] = {"ref/prompt": "prompt", "ref/resource": "resource"}

_FINGERPRINTED: Final = frozenset({"tool", "prompt"})

_MAX_REMEMBERED: Final = 4096
"""Names whose rule is remembered: more than any server has tools, and a bound on what invented names can take."""


class Policy:
    """The rules of a gate, in their order, and the hierarchy of its scopes."""

    def __init__(self, rules: Iterable[Rule], hierarchy: Mapping[str, Sequence[str]]) -> None:
        """Raises `ValueError` for a rule that can never match and for a scope that implies itself."""
        self.rules = tuple(rules)
        self._implied = _closure(hierarchy)
        self._matchers = {
            "tool": _Matcher(rule for rule in self.rules if isinstance(rule, ToolRule)),
            "resource": _Matcher(rule for rule in self.rules if isinstance(rule, ResourceRule)),
            "prompt": _Matcher(rule for rule in self.rules if isinstance(rule, PromptRule)),
            "method": _Matcher(rule for rule in self.rules if isinstance(rule, MethodRule)),
        }

    def rule_for(self, call: Call) -> Rule | None:
        """The rule that governs the call; None where a valid token is enough. Raises `Forbidden` where nothing allows it."""
        if call.method is None:
            return None
        if call.target is None:
            if METHODS.get(call.method) != "method":
                raise refusal("no_rule", "the method is not known here")
            return self._matchers["method"].find(call.method)
        if call.name is None:
            raise refusal("invalid_request", "the message does not name what it calls")
        if call.target == "resource" and _disguised(call.name):
            raise refusal("no_rule", "the URI has dot segments or encoded separators")
        rule = self._matchers[call.target].find(call.name)
        if rule is None:
            raise refusal("no_rule", f"no {call.target} rule matches")
        return rule

    def effective(self, scopes: Iterable[str]) -> frozenset[str]:
        """The scopes and all that they imply."""
        return frozenset().union(*(self._implied.get(scope, {scope}) for scope in scopes))

    def authorise(self, rule: Rule, effective: frozenset[str]) -> None:
        """Raises `Forbidden` with every scope the call needs, also those the caller has (MCP 2026-07-28: one challenge)."""
        if not effective.issuperset(rule.scopes):
            raise Forbidden("insufficient_scope", required_scopes=tuple(rule.scopes))

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope a rule asks for, sorted, without ``offline_access``: that one is between client and issuer."""
        return tuple(sorted({scope for rule in self.rules for scope in rule.scopes} - {"offline_access"}))

    @property
    def narrowest_scopes(self) -> tuple[str, ...]:
        """The scopes of the rule that asks for least: a fitting first thing to ask a caller for."""
        asked = [tuple(rule.scopes) for rule in self.rules if rule.scopes]
        return min(asked, key=lambda scopes: len(self.effective(scopes)), default=())


def call_of(envelope: Envelope) -> Call:
    """The call a message makes. Raises `Malformed` for a call that could not be answered."""
    method = envelope.method
    target = METHODS.get(method) if method is not None else None
    name: str | None = None
    if target == "reference":
        kind, name = envelope.reference or ("", None)
        target = _REFERENCES.get(kind)
        if target is None:
            raise refusal("invalid_request", "a completion without a reference")
    elif target == "resource":
        name = envelope.uri
    elif target in ("tool", "prompt"):
        name = envelope.name
    elif target == "method":
        target = None
    if target is not None and envelope.kind != "request":
        raise refusal("invalid_request", "a call without an id")
    return Call(
        kind=envelope.kind,
        method=method,
        id=envelope.id,
        target=target,
        name=name,
        arguments_hash=envelope.arguments_hash if target in _FINGERPRINTED else None,
    )


class _Matcher:
    """Finds the first rule whose pattern fits, at a cost that does not grow with the names already asked for."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        self._patterns = tuple(_pattern(rule.match) for rule in self._rules)
        self._remembered: dict[str, Rule | None] = {}
        for position, rule in enumerate(self._rules):
            self._refuse_if_shadowed(position, rule)

    def find(self, name: str) -> Rule | None:
        try:
            return self._remembered[name]
        except KeyError:
            pass
        found = next(
            (rule for rule, pattern in zip(self._rules, self._patterns, strict=True) if pattern.fullmatch(name)), None
        )
        if len(self._remembered) < _MAX_REMEMBERED:
            self._remembered[name] = found
        return found

    def _refuse_if_shadowed(self, position: int, rule: Rule) -> None:
        # A star of the later pattern, read as one fresh character, can only be taken by a star of the earlier one: so the
        # earlier pattern covers the later exactly when it fits this one name.
        witness = rule.match.replace("*", "\N{NULL}")
        for earlier, pattern in zip(self._rules[:position], self._patterns, strict=False):
            if pattern.fullmatch(witness):
                raise ValueError(f"match {rule.match!r} can never match: {earlier.match!r} stands before it")


def _pattern(match: str) -> re.Pattern[str]:
    # Possessive runs are not needed: `.*` between literals backtracks at most once a star, and names are bounded.
    return re.compile(".*".join(re.escape(part) for part in match.split("*")), re.DOTALL)


def _closure(hierarchy: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    implied: dict[str, frozenset[str]] = {}
    for scope in hierarchy:
        seen: set[str] = set()
        pending = [scope]
        while pending:
            for narrower in hierarchy.get(pending.pop(), ()):
                if narrower == scope:
                    raise ValueError(f"scope {scope!r} implies itself")
                if narrower not in seen:
                    seen.add(narrower)
                    pending.append(narrower)
        implied[scope] = frozenset(seen | {scope})
    return implied


_DISGUISED = re.compile(r"(?:^|[/\\])\.{1,2}(?:[/\\?#]|$)|%(?:2e|2f|5c)|\\", re.IGNORECASE)


def _disguised(uri: str) -> bool:
    """Whether the URI may mean another resource than it spells: dot segments, encoded dots or separators, backslashes."""
    return _DISGUISED.search(uri) is not None
