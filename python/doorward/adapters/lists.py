"""What a list shows: what its caller may call, in the server's order; the pages stay as the server cut them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from doorward.decision import Decision
from doorward.gate import Gate

if TYPE_CHECKING:
    from mcp.server.context import HandlerResult

__all__ = ["LISTS", "filtered", "shown"]

T = TypeVar("T")

LISTS: Final = {
    "tools/list": ("tools", "tool", "name"),
    "resources/list": ("resources", "resource", "uri"),
    "resources/templates/list": ("resourceTemplates", "template", "uriTemplate"),
    "prompts/list": ("prompts", "prompt", "name"),
}
"""Each list: the member that holds its items, what they are, and what they are called by."""


def filtered(gate: Gate, decision: Decision, method: str, answer: HandlerResult) -> HandlerResult:
    """The answer to a list, without what the caller could not call; any other answer untouched."""
    if method not in LISTS or not gate.configuration.filter_lists or not isinstance(answer, dict):
        return answer
    member, target, named_by = LISTS[method]
    items = answer.get(member)
    if not isinstance(items, list):
        return answer
    rest = shown(gate, decision, target, items, lambda item: str(item.get(named_by)) if isinstance(item, dict) else "")
    changed: dict[str, Any] = answer | {member: rest}
    if "cacheScope" in answer:
        # Two callers see two lists: no cache may hand one's to the other (MCP 2026-07-28, caching).
        changed["cacheScope"] = "private"
    return changed


def shown(gate: Gate, decision: Decision, target: str, items: Iterable[T], name_of: Callable[[T], str]) -> list[T]:
    """Those of the items that the caller could call."""
    return [item for item in items if gate.shows(decision, target, name_of(item))]
