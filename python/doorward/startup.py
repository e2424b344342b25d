"""The start-up summary: what a configuration does, and what in it will fail at the first call.

One structure for two readers: the log of a server that starts, and ``doorward check``. Nothing here reads a file or the
network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple

from doorward._core import IMPLEMENTATION
from doorward.errors import Forbidden
from doorward.policy import Policy
from doorward.request import Call
from doorward.settings import Configuration, PromptRule, Rule, ToolRule
from doorward.tokens import unbounded_lifetimes

if TYPE_CHECKING:
    from doorward.tokens import Agent

__all__ = ["Finding", "Summary", "findings_about_tools", "summarise", "unreachable_issuer", "unused_scope"]

_MAX_NAMES: Final = 10
"""Names in one message: a log line stays readable, and `doorward rules` lists all of them."""

_NEAR: Final = 0.6
"""How alike two scopes must be for one to be suggested in place of the other: the default of difflib."""

_EXPRESSION: Final = re.compile(r"[?\[\]^$|(){}+\\]|^\.\*")
"""Characters of other pattern languages. Names of tools have letters, digits and any of _-./ (MCP 2025-11-25, tool
names). A dot before a star is only taken for an expression at the beginning: ``orders.*`` is a good match."""


class Finding(NamedTuple):
    """Something that will fail, or has no effect, although the configuration is accepted."""

    code: str
    """A fixed slug."""
    message: str
    """What is wrong, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What one configuration does."""

    facts: tuple[tuple[str, str], ...]
    """Names and values, in the order in which they are shown."""
    problems: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    """What works, but weakly; the log has these already from when the gate was made."""

    def __str__(self) -> str:
        return "; ".join(f"{name}: {value}" for name, value in self.facts)


def summarise(configuration: Configuration, agents: Iterable[Agent] = ()) -> Summary:
    """Describe a configuration and the agents in its file. Raises `ValueError` for rules that cannot be right."""
    policy = Policy(configuration.rules, configuration.scopes)
    known = tuple(agents)
    problems = (
        *_about_rules(configuration),
        *_about_agents(configuration, policy, known),
    )
    notes = tuple(Finding("unbounded_lifetime", message) for message in unbounded_lifetimes(configuration.issuers))
    return Summary(tuple(_facts(configuration, known)), problems, notes)


def findings_about_tools(configuration: Configuration, names: Sequence[str]) -> tuple[Finding, ...]:
    """Compare the rules with the tools that a server has."""
    policy = Policy(configuration.rules, configuration.scopes)
    ungoverned = [name for name in names if not _is_governed(policy, name)]
    if not ungoverned:
        return ()
    return (
        Finding(
            "tool_without_rule",
            f"{len(ungoverned)} of {len(names)} tools match no [[tool]] rule, so every call of them is refused: "
            f"{_listed(ungoverned)}. Add a rule for each, or run `doorward rules` to see all",
        ),
    )


def unreachable_issuer(url: str) -> Finding:
    """An issuer whose keys could not be fetched when the server started."""
    return Finding(
        "issuer_unreachable",
        f"the keys of issuer {url} could not be fetched, so its tokens are answered with 503. Check its url or "
        "jwks_url, and that this machine may connect to it; it is tried again with the next request",
    )


def _is_governed(policy: Policy, name: str) -> bool:
    try:
        return policy.rule_for(Call("request", "tools/call", 0, "tool", name, None)) is not None
    except Forbidden:
        return False


def _facts(configuration: Configuration, agents: Sequence[Agent]) -> Iterator[tuple[str, str]]:
    limits, audit = configuration.limits, configuration.audit
    yield "resource", configuration.resource
    yield "core", IMPLEMENTATION
    yield "issuers", _listed([issuer.url for issuer in configuration.issuers]) or "none"
    if configuration.agents is not None:
        yield "agents", f"{len(agents)} in {configuration.agents.file}"
    kinds = ("tools", "resources", "prompts", "methods")
    counts = ((kind, len(getattr(configuration, kind))) for kind in kinds)
    yield "rules", ", ".join(f"{count} for {kind}" for kind, count in counts if count) or "none"
    yield "budgets", "in Redis" if limits.url is not None else "in this process"
    # A syslog address or a file: neither may hold a credential.
    yield "audit", _listed([sink.named for sink in audit.places])


def _about_rules(configuration: Configuration) -> Iterator[Finding]:
    if not (configuration.tools or configuration.resources or configuration.prompts):
        yield Finding(
            "no_rules",
            "there is no rule for a tool, resource or prompt, so every call is refused. Add [[tool]] tables, or let "
            "`doorward init` write them",
        )
    for rule in (*configuration.tools, *configuration.prompts):
        found = _EXPRESSION.search(rule.match)
        if found is not None:
            yield Finding(
                "match_never_fits",
                f"[[{_table(rule)}]] match = {rule.match!r} contains {found[0]!r}, which stands for itself: only * is "
                "special and stands for any characters. Write one rule for each name, or use *",
            )
    for rule in configuration.rules:
        if rule.confirm and rule.mode == "observe":
            yield Finding(
                "confirm_without_effect",
                f'[[{_table(rule)}]] match = {rule.match!r} has confirm = true and mode = "observe": an observed '
                'call is never confirmed. Remove confirm, or set mode = "enforce"',
            )


def _about_agents(configuration: Configuration, policy: Policy, agents: Sequence[Agent]) -> Iterator[Finding]:
    if configuration.agents is None:
        return
    file = configuration.agents.file
    active = [agent for agent in agents if agent.revoked is None]
    asked = set(policy.scopes)
    for agent in active:
        unused = [scope for scope in agent.scopes if asked.isdisjoint(policy.effective([scope]))]
        for scope in unused:
            yield Finding("scope_without_rule", f"{file}: {unused_scope(agent.name, scope, asked)}")
    nameless = [agent.name for agent in active if agent.organization is None]
    if configuration.limits.organization and nameless:
        yield Finding(
            "agent_without_organization",
            f"{file}: {_listed(nameless)} have no organization and share one bucket of [limits] organization. Create "
            "them with --organization",
        )


def unused_scope(agent: str, scope: str, asked: Iterable[str]) -> str:
    """What to say of an agent's scope that no rule asks for."""
    near = get_close_matches(scope, sorted(asked), 1, _NEAR)
    hint = f"did you mean {near[0]}?" if near else f"rules ask for {_listed(sorted(asked)) or 'no scopes'}"
    return f"agent {agent!r} has the scope {scope!r}, which no rule asks for; {hint}"


def _table(rule: Rule) -> str:
    if isinstance(rule, ToolRule):
        return "tool"
    return "prompt" if isinstance(rule, PromptRule) else "resource_rule"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES])
    return f"{shown} and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else shown
