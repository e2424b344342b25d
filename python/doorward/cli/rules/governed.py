"""What a server lists beside the rules of a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from doorward.cli.servers.catalogue import Catalogue, Item
from doorward.policy import Policy
from doorward.settings import MethodRule, PromptRule, ResourceRule, Rule, ToolRule
from doorward.settings.budgets import budgets_of

__all__ = ["Governed", "budgets", "govern", "table_of"]

_TABLES: dict[type[Rule], str] = {ToolRule: "tool", ResourceRule: "resource_rule", PromptRule: "prompt"}


@dataclass(frozen=True, slots=True)
class Governed:
    """Each item with the rules that govern it, and the rules that govern none of them."""

    items: tuple[tuple[Item, tuple[Rule, ...]], ...]
    idle: tuple[Rule, ...]

    @property
    def ungoverned(self) -> tuple[Item, ...]:
        """What no rule governs, so that nobody can call it."""
        return tuple(item for item, rules in self.items if not rules)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "items": [
                {"kind": item.kind, "name": item.name, "effect": item.effect, "told": item.is_told}
                | {"rules": list(map(_as_json, rules))}
                for item, rules in self.items
            ],
            "idle": list(map(_as_json, self.idle)),
        }


def govern(catalogue: Catalogue, rules: Sequence[Rule], policy: Policy) -> Governed:
    """Have the policy judge every name."""
    items = tuple((item, policy.rules_governing(item.kind, item.name)) for item in catalogue.items)
    used = {id(rule) for _, governing in items for rule in governing}
    # A rule for a method is none for what a server lists.
    idle = tuple(rule for rule in rules if id(rule) not in used and not isinstance(rule, MethodRule))
    return Governed(items, idle)


def budgets(rule: Rule) -> str:
    """What a call under the rule may cost, as the configuration writes it."""
    own = [budget.limit + _observed(budget.mode) for budget in budgets_of(rule.limit)]
    shared = [f"{budget.limit} in total{_observed(budget.mode)}" for budget in budgets_of(rule.total_limit)]
    cost = [f"{rule.cost} each"] if rule.cost != 1 and (own or shared) else []
    slots = [] if rule.concurrency is None else [f"{rule.concurrency} at once"]
    return ", ".join([*own, *shared, *cost, *slots])


def table_of(rule: Rule) -> str:
    """The table of a configuration that it stands in."""
    return _TABLES[type(rule)]


def _observed(mode: str) -> str:
    return " (observed)" if mode == "observe" else ""


def _as_json(rule: Rule) -> dict[str, Any]:
    return {
        "table": table_of(rule),
        "match": rule.match,
        "scopes": list(rule.scopes),
        "limit": [budget.limit for budget in budgets_of(rule.limit)],
        "total_limit": [budget.limit for budget in budgets_of(rule.total_limit)],
        "cost": rule.cost,
        "concurrency": rule.concurrency,
        "confirm": rule.confirm,
        "mode": rule.mode,
    }
