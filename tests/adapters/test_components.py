"""Components of the official SDK's server that call each other, and that a call is told from them exactly once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from adapters.desk import LEGACY, MODERN, Desk, modern, modern_headers, open_session
from adapters.serving import listening, served, url_of
from guarded import Guarded
from mcp import MCPError
from mcp.server import Server
from mcp.server.mcpserver import Context, MCPServer

import doorward

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])
Make = Callable[..., Guarded]


def calling_others(ran: list[str]) -> MCPServer[Any]:
    """A server whose tools call what is not theirs."""
    server: MCPServer[Any] = MCPServer("calling", log_level="CRITICAL")

    @server.tool()
    async def read_by_calling() -> str:
        return str(await server.call_tool("delete_user", {"name": "ada"}))

    @server.tool()
    async def read_by_reading(ctx: Context[Any, Any]) -> str:
        return str(await ctx.read_resource("data://secret"))

    @server.tool()
    async def read_by_asking() -> str:
        return str(await server.get_prompt("secret"))

    @server.tool()
    async def delete_user(name: str) -> str:
        ran.append(f"delete_user {name}")
        return "deleted"

    @server.resource("data://secret")
    async def secret() -> str:
        ran.append("secret")
        return "a secret"

    @server.prompt(name="secret")
    async def secret_prompt() -> str:
        ran.append("secret prompt")
        return "a secret"

    return server


RULES: dict[str, Any] = {
    "tools": [doorward.ToolRule("read_*", scopes=["read"]), doorward.ToolRule("delete_*", scopes=["write"])],
    "resources": [doorward.ResourceRule("*", scopes=["write"])],
    "prompts": [doorward.PromptRule("*", scopes=["write"])],
}


@contextmanager
def opened(guarded: Make, server: Any, ran: list[str], **more: Any) -> Iterator[Desk]:
    """The server behind a gate."""
    with listening() as listener:
        it = guarded(resource=url_of(listener), **(RULES | more))
        it.now = time.time()
        with served(it.gate.protect(server), listener):
            yield Desk(it, server, ran)


@ERAS
@pytest.mark.parametrize("tool", ["read_by_calling", "read_by_reading", "read_by_asking"])
async def test_a_reader_cannot_reach_by_a_tool_what_it_may_not_call(guarded: Make, mode: str, tool: str) -> None:
    ran: list[str] = []
    with opened(guarded, calling_others(ran), ran) as desk:
        async with desk.client(mode, "read") as client:
            with pytest.raises(MCPError, match="lacks a scope this call needs: write") as refused:
                await client.call_tool(tool, {})
        assert ran == []
        async with desk.client(mode, "read", "write") as client:
            assert not (await client.call_tool(tool, {})).is_error
    assert len(ran) == 1
    assert refused.value.error.data["requiredScopes"] == ["write"]
    inner, outer = [record for record in desk.it.records() if record["tool_name"]][:2]
    assert (inner["result"], inner["parent_id"]) == ("denied_scope", outer["request_id"])
    assert (outer["tool_name"], outer["result"], outer["reason"]) == (tool, "error", "rpc403")


async def test_outside_of_a_message_nothing_runs(guarded: Make) -> None:
    ran: list[str] = []
    server = calling_others(ran)
    guarded().gate.protect(server)
    with pytest.raises(MCPError, match="without a decision"):
        await server.call_tool("delete_user", arguments={"name": "ada"})
    assert ran == []


def echo(kind: str) -> Any:
    """A server that takes anything."""
    server: Any
    if kind == "fastmcp":
        pytest.importorskip("fastmcp")
        from fastmcp import FastMCP

        server = FastMCP("echo")
    else:
        server = MCPServer("echo", log_level="CRITICAL")

    def anything(x: object = None) -> str:
        return "taken"

    def read(which: str) -> str:
        return which

    def ask(about: str = "") -> str:
        return about

    server.tool(name="anything")(anything)
    server.resource("data://{which}")(read)
    server.prompt(name="ask")(ask)
    return server


SPELLINGS = [
    '{"name":"anything"}',
    '{"name":"anything","arguments":null}',
    '{"name":"anything","arguments":{}}',
    '{"name":"anything","arguments":{"x":null}}',
    '{"name":"anything","arguments":{"x":1.0}}',
    '{"name":"anything","arguments":{"x":1e2}}',
    '{"name":"anything","arguments":{"x":-0.0}}',
    '{"name":"anything","arguments":{"x":123456789012345678901234567890}}',
    '{"name":"anything","arguments":{"x":[1e21,0.1,{"\\u00e9":"\\u2028"}]}}',
    '{"\\u006eame":"anything","_meta":{"progressToken":7},"arguments":{"x":"\\ud83d\\ude00"}}',
]
READS = ["data://x", "data://é", "data://x?q=%C3%A9", "data://x#f", "data://X"]


@pytest.mark.parametrize("kind", ["mcp", "fastmcp"])
def test_however_a_call_is_spelt_it_is_one_call(guarded: Make, kind: str) -> None:
    rules = {
        "tools": [doorward.ToolRule("*", scopes=[])],
        "resources": [doorward.ResourceRule("*", scopes=[])],
        "prompts": [doorward.PromptRule("*", scopes=[])],
    }
    asked = [("tools/call", params) for params in SPELLINGS]
    asked += [("resources/read", json.dumps({"uri": uri})) for uri in READS]
    asked += [("prompts/get", params) for params in ('{"name":"ask"}', '{"name":"ask","arguments":{"about":"x"}}')]
    with opened(guarded, echo(kind), [], **rules) as desk:
        session = open_session(desk)
        for method, params in asked:
            body = f'{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{params}}}'
            assert desk.post(body.encode(), headers=session).status_code == 200, params
    records = [record for record in desk.it.records() if record["tool_name"]]
    assert [record["method"] for record in records] == [method for method, _ in asked]
    assert {record["parent_id"] for record in records} == {None}


@pytest.mark.parametrize("kind", ["mcp", "fastmcp"])
@pytest.mark.parametrize(
    ("uri", "rule"),
    [
        pytest.param("data://boss@corp", "data://boss@corp", id="spelled plainly"),
        pytest.param("data://boss%40corp", None, id="encoded"),
        pytest.param("data://b%C3%B6ss", None, id="beyond ASCII, encoded"),
        pytest.param("data://boss@corp#x", None, id="with a fragment"),
        pytest.param("data://ada%40home%20b%C3%B6ss", "data://*", id="what no other rule is about"),
    ],
)
def test_what_a_template_decodes_has_the_rule_of_what_it_reads(
    guarded: Make, kind: str, uri: str, rule: str | None
) -> None:
    closed = [doorward.ResourceRule(f"data://{user}", scopes=["write"]) for user in ("boss@corp", "böss")]
    rules = {"resources": [*closed, doorward.ResourceRule("data://*", scopes=["read"])]}
    with opened(guarded, echo(kind), [], **rules) as desk:
        body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "resources/read", "params": {"uri": uri}})
        answer = desk.post(body.encode(), "read", headers=open_session(desk))
    [record] = [record for record in desk.it.records() if record["tool_name"]]
    assert record.get("rule") == rule
    assert answer.status_code == (200 if rule == "data://*" else 403)


@pytest.mark.parametrize("first", ["http", "stdio"])
def test_a_server_is_reached_in_one_way(guarded: Make, tmp_path: Path, first: str) -> None:
    it = guarded()
    token = tmp_path / "token"
    token.write_text(it.token())
    token.chmod(0o600)
    server = echo("mcp")
    ways = [lambda: it.gate.protect(server), lambda: it.gate.protect_stdio(server, token_file=token)]
    one, other = ways if first == "http" else reversed(ways)
    one()
    with pytest.raises(ValueError, match="make two servers"):
        other()


def test_arguments_that_are_changed_before_a_low_level_server_are_another_call(guarded: Make) -> None:
    """Nobody compares them before its handlers, which have the gate around them."""
    ran: list[str] = []

    async def list_tools(_ctx: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool(name="delete_user", input_schema={"type": "object"})])

    async def call_tool(_ctx: Any, params: Any) -> types.CallToolResult:
        ran.append(f"{params.name} {params.arguments['name']}")
        return types.CallToolResult(content=[])

    async def changing(ctx: Any, call_next: Any) -> Any:
        changed = ctx.method == "tools/call"
        return await call_next(replace(ctx, params={**ctx.params, "arguments": {"name": "bob"}}) if changed else ctx)

    server: Server[Any] = Server("low", on_list_tools=list_tools, on_call_tool=call_tool)
    with opened(guarded, server, ran) as desk:
        server.middleware.insert(0, changing)
        desk.post(modern("delete_user", name="ada"), "write", headers=modern_headers("delete_user"))
        assert ran == ["delete_user bob"]
        ada, bob = sorted(desk.calls(2), key=lambda record: record["parent_id"] is not None)
    assert (ada["result"], bob["result"]) == ("success", "success")
    assert ada["arguments_hash"] == doorward.hash_arguments({"name": "ada"})
    assert (bob["parent_id"], bob["arguments_hash"]) == (ada["request_id"], doorward.hash_arguments({"name": "bob"}))


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "in another message"])
def test_arguments_that_are_changed_behind_the_gate_are_another_call(guarded: Make, in_place: bool) -> None:
    ran: list[str] = []
    server = calling_others(ran)

    async def changing(ctx: Any, call_next: Any) -> Any:
        if ctx.method == "tools/call" and in_place:
            ctx.params["arguments"]["name"] = "bob"
        elif ctx.method == "tools/call":
            ctx = replace(ctx, params={**ctx.params, "arguments": {"name": "bob"}})
        return await call_next(ctx)

    with opened(guarded, server, ran) as desk:
        server._lowlevel_server.middleware.append(changing)
        desk.post(modern("delete_user", name="ada"), "write", headers=modern_headers("delete_user"))
        assert ran == ["delete_user bob"]
        ada, bob = sorted(desk.calls(2), key=lambda record: record["parent_id"] is not None)
    assert ada["arguments_hash"] == doorward.hash_arguments({"name": "ada"})
    assert (bob["parent_id"], bob["arguments_hash"]) == (ada["request_id"], doorward.hash_arguments({"name": "bob"}))
