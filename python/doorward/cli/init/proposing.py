"""From what a server lists to the rules it should begin with: each name gets what it needs and nothing more.

A rule with ``*`` also governs what is added to the server later, so almost every rule names one thing. The exception
are tools that say that they may destroy: a newcomer among them is treated as strictly as anything can be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from doorward.cli.saying import printable
from doorward.cli.servers.catalogue import EFFECTS, Catalogue, Effect, Item
from doorward.policy import pattern_of_template
from doorward.settings import PromptRule, ResourceRule, Rule, ToolRule

__all__ = ["RULES", "Proposal", "Section", "quoted", "sections"]

_GROUP: Final = 3
"""So many tools make a group: fewer are as quickly read one by one."""

_PREFIX: Final = re.compile(r"[A-Za-z0-9]+[_./:-]")

RULES: Final[dict[str, type[Rule]]] = {"tool": ToolRule, "resource_rule": ResourceRule, "prompt": PromptRule}
"""The tables of a configuration, and what each becomes."""

_SAYS: Final[dict[Effect, str]] = {
    "read": "Says that it only reads",
    "write": "Says that it changes things and destroys nothing",
    "destroy": "Says that it may destroy",
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """One rule, and why it is as it is."""

    match: str
    effect: Effect
    why: str
    is_told: bool = True
    """Whether the server says so itself."""
    is_written: bool = True
    """Whether it counts, or is for a person to decide about."""


@dataclass(frozen=True, slots=True)
class Section:
    """The rules of one table, in their order."""

    table: str
    title: str
    proposals: tuple[Proposal, ...]
    never: tuple[str, ...]
    """Why some names can never be called, a sentence for each."""


def sections(catalogue: Catalogue) -> Iterator[Section]:
    """The rules for all that a server lists."""
    tools = catalogue.of_kind("tool")
    yield _section("tool", "Tools", _tools(tools))
    yield _section("resource_rule", "Resources", [*map(_single, catalogue.of_kind("resource")), *_templates(catalogue)])
    yield _section("prompt", "Prompts", list(map(_single, catalogue.of_kind("prompt"))))


def quoted(name: str) -> str:
    """A name in a sentence: it may be anything."""
    return f'"{printable(name)}"'


def _section(table: str, title: str, proposals: Sequence[Proposal]) -> Section:
    """Without what no rule can be for, and each pattern once."""
    kept: dict[str, Proposal] = {}
    never: list[str] = []
    for proposal in proposals:
        problem = _problem(RULES[table], proposal.match)
        if problem is not None:
            never.append(f"{quoted(proposal.match)} can never be called: {problem}")
        else:
            kept.setdefault(proposal.match, proposal)
    ordered = sorted(kept.values(), key=lambda proposal: _breadth(proposal, proposal.match))
    return Section(table, title, tuple(ordered), tuple(never))


def _problem(kind: type[Rule], match: str) -> str | None:
    try:
        kind(match, scopes=())
        match.encode()
    except UnicodeEncodeError:
        return "no message can spell it"
    except ValueError as error:
        return str(error).removeprefix("match can never match: ").removeprefix("match ")
    return None


def _breadth(proposal: Proposal, match: str) -> tuple[int, int, int, int, int]:
    """What is narrower stands before what is broader: a pattern that fits all that another fits has no more letters of
    its own than that one, and with as many of them more stars. Among names, the mildest first."""
    if "*" not in match:
        return (0, EFFECTS.index(proposal.effect), 0, 0, 0)
    stars = match.count("*")
    return (1, not proposal.is_written, EFFECTS.index(proposal.effect), stars - len(match), stars)


def _tools(tools: Sequence[Item]) -> list[Proposal]:
    groups = _groups(tools)
    grouped = {tool for members in groups.values() for tool in members}
    alone = [_single(tool) for tool in tools if tool not in grouped]
    return [*alone, *(_group(prefix, members) for prefix, members in groups.items())]


def _groups(tools: Sequence[Item]) -> dict[str, list[Item]]:
    """Tools that say that they may destroy, by the shortest prefix that no other tool of the server has."""
    members: dict[str, list[Item]] = {}
    for tool in tools:
        for prefix in _prefixes(tool.name):
            members.setdefault(prefix, []).append(tool)
    groups: dict[str, list[Item]] = {}
    for tool in tools:
        shortest = next((prefix for prefix in _prefixes(tool.name) if _is_group(members[prefix])), None)
        if shortest is not None:
            groups[shortest] = members[shortest]
    return groups


def _is_group(tools: Sequence[Item]) -> bool:
    return len(tools) >= _GROUP and all(
        tool.effect == "destroy" and tool.is_told and "*" not in tool.name for tool in tools
    )


def _prefixes(name: str) -> Iterator[str]:
    """``db_``, ``db_delete_`` of ``db_delete_user``."""
    end = 0
    while (part := _PREFIX.match(name, end)) is not None:
        end = part.end()
        yield name[:end]


def _group(prefix: str, members: Sequence[Item]) -> Proposal:
    names = ", ".join(quoted(member.name) for member in members)
    why = f"{names} say that they may destroy. What is added later with that prefix is governed as strictly."
    return Proposal(f"{prefix}*", "destroy", f"{why} They share the budgets of the rule.")


def _single(item: Item) -> Proposal:
    why = _reason(item)
    if "*" not in item.name:
        return Proposal(item.name, item.effect, why, is_told=item.is_told)
    star = "A * stands for any characters, so this rule would govern other names too: rename it, or decide."
    return Proposal(item.name, item.effect, f"{why} {star}", is_told=item.is_told, is_written=False)


def _reason(item: Item) -> str:
    if item.kind != "tool":
        return "Is read." if item.kind == "resource" else "A text to begin with."
    if item.is_told:
        return f"{_SAYS[item.effect]}."
    if item.read_only is None:
        return "Says nothing of what it does, so it counts as destructive."
    return "Says that it changes things, and not that it destroys nothing, so it counts as destructive."


def _templates(catalogue: Catalogue) -> Iterator[Proposal]:
    for template in catalogue.of_kind("template"):
        match = pattern_of_template(template.name)
        why = f"Whatever {quoted(template.name)} can expand to."
        if "*" in template.name:
            why += " The * in it would be read as any characters too: decide."
        elif match.startswith("*"):
            why += " That could be any URI: decide."
        else:
            yield Proposal(match, "read", why)
            continue
        yield Proposal(match, "read", why, is_written=False)
