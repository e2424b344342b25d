"""What only fastmcp does: components that call components, servers in servers, auth of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("fastmcp")

import httpx2
from adapters.desk import LEGACY, MODERN, RULES, Desk, modern, modern_headers
from adapters.serving import listening, served, url_of
from fastmcp import Client, Context, FastMCP
from fastmcp.exceptions import AuthorizationError
from fastmcp.server import create_proxy
from fastmcp.server.auth import MultiAuth, StaticTokenVerifier
from fastmcp.server.dependencies import get_access_token
from fastmcp.server.http import _current_http_request
from fastmcp.server.middleware.caching import ResponseCachingMiddleware
from fastmcp.tools import Tool
from guarded import Guarded, message
from mcp import ClientSession, MCPError
from mcp.client.sse import sse_client

import toolgate

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])
Make = Callable[..., Guarded]


HOW = pytest.mark.parametrize("how", ["protect", "protect the app", "auth="])


@contextmanager
def opened(guarded: Make, server: FastMCP[Any], ran: list[str], *, how: str = "protect", **more: Any) -> Iterator[Desk]:
    """The server, served behind a gate, or by itself with the gate in the place of its auth."""
    with listening() as listener:
        settings = {"tools": RULES, "resources": [toolgate.ResourceRule("data://*", scopes=["write"])]} | more
        it = guarded(resource=url_of(listener), **settings)
        it.now = time.time()
        if how == "auth=":
            server.auth = it.gate.auth()
            server.add_middleware(it.gate.middleware())
            app: Any = server.http_app(path="/mcp")
        elif how == "protect the app":
            app = it.gate.protect(server.http_app(path="/mcp"))
        else:
            app = it.gate.protect(server)
        with served(app, listener):
            yield Desk(it, server, ran)


def calling_others(ran: list[str]) -> FastMCP[Any]:
    """A server whose tool calls whatever it is told to."""
    server: FastMCP[Any] = FastMCP("calling")

    @server.tool
    async def read_by_calling(ctx: Context, name: str, arguments: dict[str, Any]) -> str:
        return str((await ctx.fastmcp.call_tool(name, arguments)).content[0].text)

    @server.tool
    async def read_by_reading(ctx: Context) -> str:
        return str((await ctx.read_resource("data://secret")).contents[0].content)

    @server.tool
    async def delete_user(name: str) -> str:
        ran.append(f"delete_user {name}")
        return "deleted"

    @server.tool
    async def limited() -> str:
        ran.append("limited")
        return "once"

    @server.resource("data://secret")
    async def secret() -> str:
        ran.append("secret")
        return "a secret"

    return server


CALL_DELETE = {"name": "delete_user", "arguments": {"name": "ada"}}


@ERAS
@HOW
async def test_a_reader_cannot_reach_by_a_tool_what_it_may_not_call(guarded: Make, mode: str, how: str) -> None:
    ran: list[str] = []
    with opened(guarded, calling_others(ran), ran, how=how) as desk:
        async with desk.client(mode, "read") as client:
            for tool, arguments in (("read_by_calling", CALL_DELETE), ("read_by_reading", {})):
                answer = await client.call_tool(tool, arguments)
                assert answer.is_error
                assert "the token lacks a scope this call needs: write" in answer.content[0].text
    assert ran == []
    inner, outer = desk.calls(2)[:2]
    assert (inner["tool_name"], inner["result"], inner["rule"]) == ("delete_user", "denied_scope", "delete_*")
    assert (outer["tool_name"], outer["result"]) == ("read_by_calling", "tool_error")
    assert inner["parent_id"] == outer["request_id"]
    assert inner["subject"] == outer["subject"] == "user-1"


@ERAS
async def test_who_may_call_both_may_and_each_has_its_record(guarded: Make, mode: str) -> None:
    ran: list[str] = []
    with opened(guarded, calling_others(ran), ran) as desk:
        async with desk.client(mode, "read", "write") as client:
            assert (await client.call_tool("read_by_calling", CALL_DELETE)).content[0].text == "deleted"
            assert (await client.call_tool("read_by_reading", {})).content[0].text == "a secret"
    assert ran == ["delete_user ada", "secret"]
    inner, outer = desk.calls(2)[:2]
    assert (inner["result"], outer["result"]) == ("success", "success")
    assert (inner["parent_id"], outer["parent_id"]) == (outer["request_id"], None)


async def test_a_call_of_a_tool_spends_the_budgets_of_both(guarded: Make) -> None:
    ran: list[str] = []
    with opened(guarded, calling_others(ran), ran) as desk:
        async with desk.client(MODERN, "read") as client:
            call = {"name": "limited", "arguments": {}}
            assert not (await client.call_tool("read_by_calling", call)).is_error
            answer = await client.call_tool("read_by_calling", call)
    assert "over 1/hour for limited (client): retry in 3600 s" in answer.content[0].text
    assert ran == ["limited"]


async def test_a_tool_that_calls_itself_is_decided_each_time(guarded: Make) -> None:
    with opened(guarded, calling_others([]), [], limits=toolgate.Limits(client=["2/hour"])) as desk:
        async with desk.client(MODERN, "read") as client:
            again: dict[str, Any] = {"name": "read_by_calling", "arguments": {"name": "limited", "arguments": {}}}
            answer = await client.call_tool("read_by_calling", again)
    assert "over 2/hour for client" in answer.content[0].text
    assert len(desk.calls(3)) == 3


async def test_a_token_that_was_revoked_meanwhile_reaches_nothing_more(guarded: Make) -> None:
    ran: list[str] = []
    server = calling_others(ran)
    with opened(guarded, server, ran) as desk:

        @server.tool
        async def read_and_be_revoked(ctx: Context) -> str:
            desk.gate.revoke(subject="user-1", issuer="https://as.example.com")
            return str((await ctx.fastmcp.call_tool("limited")).content)

        async with desk.client(MODERN, "read") as client:
            answer = await client.call_tool("read_and_be_revoked", {})
    assert "the token was revoked" in answer.content[0].text
    assert ran == []


# --- servers in servers -----------------------------------------------------------------------------------------------


def mounted(ran: list[str]) -> FastMCP[Any]:
    """A server in a server in a server."""
    root: FastMCP[Any] = FastMCP("root")
    middle: FastMCP[Any] = FastMCP("middle")
    middle.mount(calling_others(ran), namespace="inner")
    root.mount(middle, namespace="outer")
    return root


MOUNTED_RULES = [
    toolgate.ToolRule("outer_inner_delete_*", scopes=["write"]),
    # By the name it has inside, a reader might call it.
    toolgate.ToolRule("*", scopes=["read"]),
]


@ERAS
async def test_what_is_mounted_is_judged_by_the_name_the_caller_sees(guarded: Make, mode: str) -> None:
    ran: list[str] = []
    with opened(guarded, mounted(ran), ran, tools=MOUNTED_RULES) as desk:
        async with desk.client(mode, "read") as client:
            with pytest.raises(MCPError, match="lacks a scope"):
                await client.call_tool("outer_inner_delete_user", {"name": "ada"})
            inside = await client.call_tool("outer_inner_read_by_calling", CALL_DELETE)
            assert "lacks a scope" in inside.content[0].text
            assert ran == []
        async with desk.client(mode, "read", "write") as client:
            assert not (await client.call_tool("outer_inner_delete_user", {"name": "ada"})).is_error
            assert not (await client.call_tool("outer_inner_read_by_calling", CALL_DELETE)).is_error
    assert ran == ["delete_user ada", "delete_user ada"]
    names = [(record["tool_name"], record["result"]) for record in desk.calls(6)]
    assert names == [
        ("outer_inner_delete_user", "denied_scope"),
        ("outer_inner_delete_user", "denied_scope"),
        ("outer_inner_read_by_calling", "tool_error"),
        ("outer_inner_delete_user", "success"),
        ("outer_inner_delete_user", "success"),
        ("outer_inner_read_by_calling", "success"),
    ]


async def test_mounted_resources_and_prompts_are_judged_once(guarded: Make) -> None:
    inner: FastMCP[Any] = FastMCP("inner")

    @inner.resource("data://one")
    async def one() -> str:
        return "one"

    @inner.resource("data://many/{which}")
    async def many(which: str) -> str:
        return which

    @inner.prompt
    async def ask(about: str) -> str:
        return about

    root: FastMCP[Any] = FastMCP("root")
    root.mount(inner, namespace="in")
    rules = {
        "resources": [toolgate.ResourceRule("data://in/*", scopes=[])],
        "prompts": [toolgate.PromptRule("in_*", scopes=[])],
    }
    with opened(guarded, root, [], **rules) as desk:
        async with desk.client(MODERN) as client:
            assert (await client.read_resource("data://in/one")).contents[0].text == "one"
            assert (await client.read_resource("data://in/many/two?x=a%2Cb")).contents[0].text == "two"
            assert (await client.get_prompt("in_ask", {"about": "x"})).messages[0].content.text == "x"
    records = [(record["tool_name"], record["result"]) for record in desk.it.records() if record["tool_name"]]
    assert records == [
        ("data://in/one", "success"),
        ("data://in/many/two?x=a%2Cb", "success"),
        ("in_ask", "success"),
    ]


async def test_what_the_protected_server_does_not_show_is_reached_by_nobody(guarded: Make) -> None:
    ran: list[str] = []
    root: FastMCP[Any] = FastMCP("root")
    inner = calling_others(ran)
    root.mount(inner, namespace="in")
    root.disable(names={"in_delete_user"})
    with opened(guarded, root, ran, tools=[toolgate.ToolRule("*", scopes=["read"])]) as desk:
        async with desk.client(MODERN, "read") as client:
            answer = await client.call_tool("in_read_by_calling", CALL_DELETE)
    assert "no rule allows this call" in answer.content[0].text
    assert ran == []


async def test_a_server_that_is_mounted_later_is_behind_the_gate_too(guarded: Make) -> None:
    ran: list[str] = []
    root: FastMCP[Any] = FastMCP("root")
    with opened(guarded, root, ran, tools=MOUNTED_RULES) as desk:
        middle: FastMCP[Any] = FastMCP("middle")
        middle.mount(calling_others(ran), namespace="inner")
        root.mount(middle, namespace="outer")
        async with desk.client(MODERN, "read") as client:
            answer = await client.call_tool("outer_inner_read_by_calling", CALL_DELETE)
    assert "lacks a scope" in answer.content[0].text
    assert ran == []


async def test_a_tool_that_calls_a_mounted_server_directly_is_judged_as_well(guarded: Make) -> None:
    ran: list[str] = []
    root: FastMCP[Any] = FastMCP("root")
    inner = calling_others(ran)
    root.mount(inner, namespace="in")

    @root.tool
    async def read_behind() -> str:
        return str((await inner.call_tool("delete_user", {"name": "ada"})).content)

    rules = [toolgate.ToolRule("in_delete_*", scopes=["write"]), toolgate.ToolRule("*", scopes=["read"])]
    with opened(guarded, root, ran, tools=rules) as desk:
        async with desk.client(MODERN, "read") as client:
            answer = await client.call_tool("read_behind", {})
    assert "lacks a scope" in answer.content[0].text
    assert ran == []


async def test_a_mounted_tool_that_was_rewritten_to_call_another_is_judged_for_that_one(guarded: Make) -> None:
    ran: list[str] = []
    root: FastMCP[Any] = FastMCP("root")
    inner = calling_others(ran)
    root.mount(inner, namespace="in")

    async def instead() -> str:
        return str((await inner.call_tool("delete_user", {"name": "ada"})).content)

    mounted_tool = await root.get_tool("in_limited")
    assert mounted_tool is not None
    root.add_tool(Tool.from_tool(mounted_tool, name="read_instead", transform_fn=instead))
    rules = [toolgate.ToolRule("in_delete_*", scopes=["write"]), toolgate.ToolRule("*", scopes=["read"])]
    with opened(guarded, root, ran, tools=rules) as desk:
        async with desk.client(MODERN, "read") as client:
            answer = await client.call_tool("read_instead", {})
    assert "lacks a scope" in answer.content[0].text
    assert ran == []


@HOW
async def test_a_proxys_upstream_never_sees_the_callers_credentials(guarded: Make, how: str) -> None:
    seen: list[dict[str, str]] = []
    upstream: FastMCP[Any] = FastMCP("upstream")

    @upstream.tool
    async def read_it() -> str:
        return "from upstream"

    async def remembering(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await app(scope, receive, send)

    app = upstream.http_app(path="/mcp")
    with listening() as listener, served(remembering, listener):
        proxy = create_proxy(url_of(listener))
        with opened(guarded, proxy, [], how=how) as desk:
            async with desk.client(MODERN, "read") as client:
                assert (await client.call_tool("read_it", {})).content[0].text == "from upstream"
    assert seen
    assert [headers for headers in seen if "authorization" in headers] == []
    assert not any("ey" in value for headers in seen for value in headers.values() if value.count(".") == 2)


async def test_a_tool_that_an_app_calls_by_its_hash_is_judged_by_its_name(guarded: Make) -> None:
    from fastmcp.server.providers.addressing import TOOL_HASH_META_KEY, hash_tool

    ran: list[str] = []
    server: FastMCP[Any] = FastMCP("apps")
    digest = hash_tool("app", "delete_user")

    @server.tool(meta={"ui": {"visibility": ["app"]}, "fastmcp": {TOOL_HASH_META_KEY: digest}})
    async def delete_user() -> str:
        ran.append("deleted")
        return "deleted"

    rules = [toolgate.ToolRule("delete_*", scopes=["write"]), toolgate.ToolRule("*", scopes=["read"])]
    with opened(guarded, server, ran, tools=rules) as desk:
        async with desk.client(MODERN, "read") as client:
            answer = await client.call_tool(f"{digest}_delete_user", {})
        assert "lacks a scope" in answer.content[0].text
        assert ran == []
        async with desk.client(MODERN, "read", "write") as client:
            assert not (await client.call_tool(f"{digest}_delete_user", {})).is_error
    assert ran == ["deleted"]


# --- what met no gate -------------------------------------------------------------------------------------------------


async def test_outside_of_a_message_nothing_runs(guarded: Make) -> None:
    ran: list[str] = []
    server = calling_others(ran)
    guarded().gate.protect(server)
    with pytest.raises(AuthorizationError, match="without a decision"):
        await server.call_tool("delete_user", {"name": "ada"})
    with pytest.raises(MCPError, match=r"without a decision|handshake"):  # the client tries the older era then
        async with Client(server) as client:
            await client.call_tool("delete_user", {"name": "ada"})
    assert ran == []


@pytest.mark.parametrize("how", ["protect", "middleware"])
async def test_an_app_that_was_served_bare_serves_nobody(guarded: Make, how: str) -> None:
    ran: list[str] = []
    server = calling_others(ran)
    gate = guarded().gate
    gate.protect(server) if how == "protect" else server.add_middleware(gate.middleware())
    with listening() as listener, served(server.http_app(path="/mcp"), listener):
        for version in (MODERN, "2025-11-25"):
            headers = modern_headers("delete_user") | {"MCP-Protocol-Version": version}
            answer = httpx2.post(url_of(listener), content=modern("delete_user", name="ada"), headers=headers)
            assert (
                "without a decision" in answer.text
                or answer.json()["error"]["message"] == "Bad Request: Missing session ID"
            )
    assert ran == []


def test_a_server_with_auth_of_its_own_is_told_what_to_remove(guarded: Make) -> None:
    server: FastMCP[Any] = FastMCP("own", auth=StaticTokenVerifier({"secret": {"client_id": "x", "scopes": []}}))
    with pytest.raises(ValueError, match=r"remove auth= from FastMCP"):
        guarded().gate.protect(server)


def test_one_server_has_one_gate_also_where_it_is_mounted(guarded: Make, tmp_path: Any) -> None:
    inner = calling_others([])
    guarded().gate.protect(inner)
    root: FastMCP[Any] = FastMCP("root")
    root.mount(inner)
    other = guarded(audit=toolgate.Audit(path=str(tmp_path / "other.jsonl"))).gate
    with pytest.raises(ValueError, match="another gate"):
        other.protect(root)


# --- auth=gate.auth() -------------------------------------------------------------------------------------------------


async def test_in_the_place_of_its_auth_the_gate_answers_as_it_does_in_front(guarded: Make) -> None:
    ran: list[str] = []
    server = calling_others(ran)

    @server.tool
    async def read_caller() -> str:
        token = get_access_token()
        assert token is not None
        # Where fastmcp keeps the request of its own, besides the one that the SDK makes.
        request = _current_http_request.get()
        assert request is not None
        return f"{token.client_id} {token.token} {request.headers.get('authorization')}"

    with opened(guarded, server, ran, how="auth=") as desk:
        nobody = httpx2.post(desk.gate.resource, content=message("limited"))
        forged = httpx2.post(desk.gate.resource, content=message(), headers={"Authorization": "Bearer x.y.z"})
        foreign = desk.post(message("read_caller"), "read", headers={"Origin": "https://evil.example"})
        refused = desk.post(message("delete_user", name="ada"), "read")
        metadata = httpx2.get(desk.gate.metadata.url)
        async with desk.client(MODERN, "read") as client:
            assert (await client.call_tool("read_caller", {})).content[0].text == "agent-1 withheld None"
    assert [answer.status_code for answer in (nobody, forged, foreign, refused)] == [401, 401, 403, 403]
    assert "error=" not in nobody.headers["www-authenticate"]
    assert 'scope="write"' in refused.headers["www-authenticate"]
    assert metadata.json()["resource"] == desk.gate.resource
    assert ran == []
    assert [record["result"] for record in desk.calls(2)] == ["denied_scope", "success"]


@pytest.mark.parametrize("nested", [False, True], ids=["a verifier of many", "the server's"])
async def test_where_it_would_only_verify_it_lets_nobody_in(guarded: Make, nested: bool) -> None:
    ran: list[str] = []
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES)
        it.now = time.time()
        auth = it.gate.auth()
        server = calling_others(ran)
        server.auth = MultiAuth(server=auth) if nested else MultiAuth(verifiers=[auth])
        with served(server.http_app(path="/mcp"), listener):
            desk = Desk(it, server, ran)
            answer = desk.post(modern("limited"), headers=modern_headers("limited"))
    assert answer.status_code == 401
    assert ran == []


# --- the rest of its transports and middlewares -----------------------------------------------------------------------


async def test_over_the_oldest_transport_a_call_is_charged_and_recorded_once(guarded: Make) -> None:
    ran: list[str] = []
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES)
        it.now = time.time()
        server = calling_others(ran)
        app = it.gate.protect(server, transport="sse", path="/sse")
        headers = {"Authorization": f"Bearer {it.token('read')}"}
        with served(app, listener):
            async with (
                sse_client(it.gate.resource.replace("/mcp", "/sse"), headers=headers) as (read, write),
                ClientSession(read, write) as session,
            ):
                await session.initialize()
                assert not (await session.call_tool("limited", {})).is_error
                assert (await session.call_tool("read_by_calling", CALL_DELETE)).is_error
    assert ran == ["limited"]
    records = [(record["tool_name"], record["result"]) for record in Desk(it, server, ran).calls(3)]
    assert records == [("limited", "success"), ("delete_user", "denied_scope"), ("read_by_calling", "tool_error")]


async def test_a_cache_of_answers_stands_behind_the_gate(guarded: Make) -> None:
    ran: list[str] = []
    server = calling_others(ran)
    # Kept are the answers of what tools read, and not those of the tools.
    server.add_middleware(ResponseCachingMiddleware(call_tool_settings={"enabled": False}))
    with opened(guarded, server, ran, how="auth=") as desk:
        async with desk.client(MODERN, "read", "write") as client:
            assert "delete_user" in [tool.name for tool in (await client.list_tools()).tools]
            assert not (await client.call_tool("read_by_reading", {})).is_error
        async with desk.client(MODERN, "read") as client:
            assert "delete_user" not in [tool.name for tool in (await client.list_tools()).tools]
            with pytest.raises(MCPError, match="lacks a scope"):
                await client.read_resource("data://secret")
            assert (await client.call_tool("read_by_reading", {})).is_error
    assert ran == ["secret"]
