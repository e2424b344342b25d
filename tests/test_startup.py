"""The start-up summary: what will fail at the first call is said when the server starts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from agents import AgentsFile
from guarded import RESOURCE, Guarded, message

import doorward
from doorward.startup import summarise
from doorward.tokens import Agent, unnamed_clients

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _nothing_was_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unnamed_clients, "_unnamed", set())


def problems(known: tuple[Agent, ...] = (), **settings: Any) -> list[str]:
    """The codes of what is found in a configuration."""
    given: dict[str, Any] = {
        "resource": RESOURCE,
        "issuers": [doorward.Issuer("https://as.example.com", ["ES256"], max_token_lifetime=3600.0)],
        "tools": [doorward.ToolRule("*", scopes=["read"])],
    }
    found = summarise(doorward.Configuration(**given | settings), known).problems
    return [finding.code for finding in found]


MATCHES = {
    "read_order": [],
    "read_*": [],
    "*": [],
    "orders.*": [],
    "a/b-c.d_e": [],
    "read_?": ["match_never_fits"],
    "read_[ab]": ["match_never_fits"],
    ".*": ["match_never_fits"],
    ".*_order": ["match_never_fits"],
    "^read": ["match_never_fits"],
    "read$": ["match_never_fits"],
    "read|write": ["match_never_fits"],
    "read_{a,b}": ["match_never_fits"],
    "read_\\w": ["match_never_fits"],
    "(read)": ["match_never_fits"],
    "read_.+": ["match_never_fits"],
}


@pytest.mark.parametrize(("match", "expected"), MATCHES.items(), ids=MATCHES)
@pytest.mark.parametrize("kind", [doorward.ToolRule, doorward.PromptRule])
def test_a_pattern_of_another_language_never_fits(
    kind: type[doorward.ToolRule | doorward.PromptRule], match: str, expected: list[str]
) -> None:
    where = "tools" if kind is doorward.ToolRule else "prompts"
    rules: dict[str, Any] = {where: [kind(match, scopes=["read"])]}
    assert problems(**rules) == expected


@pytest.mark.parametrize("match", ["docs://search?q=*", "docs://[::1]/*", "docs://a.*"])
def test_a_uri_may_contain_those_characters(match: str) -> None:
    assert problems(resources=[doorward.ResourceRule(match, scopes=["read"])]) == []


def test_a_configuration_without_rules_refuses_everything() -> None:
    assert problems(tools=[]) == ["no_rules"]


def test_an_observed_rule_is_never_confirmed() -> None:
    rule = doorward.ToolRule("*", scopes=[], confirm=True, mode="observe")
    assert problems(tools=[rule]) == ["confirm_without_effect"]


AGENT_SCOPES = {
    "asked for": (["read"], []),
    "implies one that is asked for": (["write"], []),
    "misspelt": (["raed"], ["scope_without_rule"]),
    "one of two": (["read", "admin"], ["scope_without_rule"]),
}


@pytest.mark.parametrize(("scopes", "expected"), AGENT_SCOPES.values(), ids=AGENT_SCOPES)
def test_a_scope_of_an_agent_that_no_rule_asks_for(tmp_path: Path, scopes: list[str], expected: list[str]) -> None:
    file = AgentsFile(tmp_path / "agents.toml")
    file.create(scopes=scopes)
    settings = {"agents": doorward.Agents(str(file.path)), "scopes": {"write": ["read"]}}
    assert problems((file.agent(),), **settings) == expected


def test_the_nearest_scope_is_suggested(tmp_path: Path) -> None:
    file = AgentsFile(tmp_path / "agents.toml")
    file.create(scopes=["mcp:tool:read"])
    configuration = doorward.Configuration(
        resource=RESOURCE,
        agents=doorward.Agents("agents.toml"),
        tools=[doorward.ToolRule("*", scopes=["mcp:tools:read"])],
    )
    [finding] = summarise(configuration, [file.agent()]).problems
    assert finding.message == (
        "agents.toml: agent 'nightly' has the scope 'mcp:tool:read', which no rule asks for; did you mean "
        "mcp:tools:read?"
    )


def test_agents_without_an_organization_share_one_bucket(tmp_path: Path) -> None:
    file = AgentsFile(tmp_path / "agents.toml")
    file.create(scopes=["read"], organization=None)
    limits = doorward.Limits(organization=["1/minute"])
    settings = {"issuers": [], "agents": doorward.Agents("agents.toml"), "limits": limits}
    assert problems((file.agent(),), **settings) == ["agent_without_organization"]


def test_a_budget_of_organizations_needs_the_claim_that_names_them() -> None:
    with pytest.raises(ValueError, match=r"^organization_claim is missing: \[limits\] organization counts by it"):
        problems(limits=doorward.Limits(organization=["1/minute"]))
    assert problems(limits=doorward.Limits(organization=["1/minute"]), organization_claim="org_id") == []


def test_the_log_has_the_summary_once_and_new_problems_after_a_reload(
    guarded: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "doorward")
    it = guarded(tools=[doorward.ToolRule("a?", scopes=[])])
    caplog.clear()

    async def app(*_: object) -> None: ...

    it.gate.protect(app)
    it.gate.protect(app)
    summary, problem = [record.getMessage() for record in caplog.records]
    assert summary.startswith(f"protecting {RESOURCE}; credentials are redacted in all logs of this process; ")
    assert "issuers: https://as.example.com; rules: 1 for tools; budgets: in this process; audit: " in summary
    assert problem.startswith("match_never_fits: [[tool]] match = 'a?'")
    caplog.clear()
    before = it.gate.configuration
    it.gate.reload(doorward.Configuration(resource=RESOURCE, issuers=before.issuers, audit=before.audit, tools=[]))
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["no_rules"]


async def test_tools_without_a_rule_are_named(guarded: Make, caplog: pytest.LogCaptureFixture) -> None:
    it = guarded(tools=[doorward.ToolRule("read_*", scopes=[])])
    caplog.clear()

    async def tools() -> list[str]:
        return ["read_order", *(f"tool_{number}" for number in range(12))]

    await it.gate.check_start(tools)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("tool_without_rule: 12 of 13 tools match no [[tool]] rule, so every call of them is refused")
    assert "tool_9 and 2 more" in line


async def test_an_issuer_that_cannot_be_reached_is_named(guarded: Make, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("httpx2")
    closed = "http://127.0.0.1:1"  # the discard port of TCP: nothing listens there
    it = guarded(issuers=[doorward.Issuer(closed, ["ES256"], max_token_lifetime=3600.0)])
    await it.gate.check_start()
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.startswith(f"issuer_unreachable: the keys of issuer {closed} could not be") for line in lines)


@pytest.mark.parametrize("kind", ["sdk", "fastmcp"])
async def test_a_server_that_starts_is_checked_in_the_background(
    kind: str, guarded: Make, caplog: pytest.LogCaptureFixture
) -> None:
    server: Any
    if kind == "sdk":
        server = pytest.importorskip("mcp.server.mcpserver").MCPServer("shop")
        server.tool(name="unruly")(lambda: "x")
    else:
        server = pytest.importorskip("fastmcp").FastMCP("shop")
        server.tool(name="unruly")(lambda: "x")
    it = guarded(tools=[doorward.ToolRule("read_*", scopes=[])])
    async with it.gate.protect(server).lifespan():
        until = time.monotonic() + 30.0
        while not any("tool_without_rule: 1 of 1" in line for line in caplog.messages):
            assert time.monotonic() < until
            await anyio.sleep(0.01)


async def test_an_issuer_whose_tokens_name_no_client_is_named_once(
    guarded: Make, caplog: pytest.LogCaptureFixture
) -> None:
    it = guarded(tools=[doorward.ToolRule("read_*", scopes=[])])

    def said() -> list[str]:
        return [line for line in caplog.messages if "names no client" in line]

    assert (await it.call("read_order")).allowed
    assert said() == []
    for subject in ("user-1", "user-2"):
        token = it.token(subject=subject, client_id=None)
        assert (await it.gate.decide(authorization=f"Bearer {token}", body=message())).allowed
    [line] = said()
    assert line.startswith("a token of issuer https://as.example.com names no client")
