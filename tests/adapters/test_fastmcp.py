"""What only fastmcp does: components that call components, auth of its own, transports and middlewares of its own."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytest.importorskip("fastmcp")

import httpx2
from adapters.desk import LEGACY, MODERN, RULES, Desk, modern, modern_headers
from adapters.fastmcp_desk import CALL_DELETE, Make, calling_others, opened
from adapters.serving import listening, served, url_of
from fastmcp import Client, Context, FastMCP
from fastmcp.exceptions import AuthorizationError
from fastmcp.server.auth import MultiAuth, StaticTokenVerifier
from fastmcp.server.dependencies import get_access_token
from fastmcp.server.http import _current_http_request
from fastmcp.server.middleware.caching import ResponseCachingMiddleware
from guarded import message
from mcp import ClientSession, MCPError
from mcp.client.sse import sse_client

import doorward

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])


HOW = pytest.mark.parametrize("how", ["protect", "protect the app", "auth="])


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
    with opened(guarded, calling_others([]), [], limits=doorward.Limits(client=["2/hour"])) as desk:
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
async def test_an_app_that_was_served_bare_serves_nobody(
    guarded: Make, caplog: pytest.LogCaptureFixture, how: str
) -> None:
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
    if how == "protect":
        assert "serve the app that gate.protect(server) returns" in caplog.text


def test_a_server_with_auth_of_its_own_is_told_what_to_remove(guarded: Make) -> None:
    server: FastMCP[Any] = FastMCP("own", auth=StaticTokenVerifier({"secret": {"client_id": "x", "scopes": []}}))
    with pytest.raises(ValueError, match=r"remove auth= from FastMCP"):
        guarded().gate.protect(server)


def test_one_server_has_one_gate_also_where_it_is_mounted(guarded: Make, tmp_path: Any) -> None:
    inner = calling_others([])
    guarded().gate.protect(inner)
    root: FastMCP[Any] = FastMCP("root")
    root.mount(inner)
    other = guarded(audit=doorward.Audit(path=str(tmp_path / "other.jsonl"))).gate
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
