"""Servers behind the gate, driven by the official client over HTTP, in both protocol eras."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import mcp_types
import pytest
from adapters.desk import (
    LEGACY,
    MODERN,
    RULES,
    Desk,
    hang_up_on,
    modern,
    modern_headers,
    open_session,
    tools,
)
from adapters.serving import listening, served, url_of
from adapters.unknown_server import exchange
from guarded import Guarded, message
from mcp import Client, ClientSession, MCPError
from mcp.client.sse import sse_client
from mcp.server import Server
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from pydantic import AnyHttpUrl

import doorward

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])


@ERAS
async def test_a_handler_sees_the_caller_and_never_the_token(desk: Desk, mode: str) -> None:
    async with desk.client(mode, "read") as client:
        seen = json.loads((await client.call_tool("read_caller", {})).content[0].text)
    [record] = desk.calls(1)
    assert seen == {
        "client": "agent-1",
        "subject": "user-1",
        "scopes": ["read"],
        "token": "withheld",
        "request_id": record["request_id"],
        "authorization": None,
    }
    assert (record["result"], record["rule"], record["tool_name"]) == ("success", "read_*", "read_caller")


@ERAS
@pytest.mark.parametrize(("tool", "result"), [("read_failing", "tool_failure"), ("read_unknown", None)])
async def test_the_message_tier_names_the_outcome(desk: Desk, mode: str, tool: str, result: str | None) -> None:
    async with desk.client(mode, "read") as client:
        try:
            answer = await client.call_tool(tool, {})
        except MCPError:
            answer = None
    [record] = desk.calls(1)
    assert record["result"] in ([result] if result else ["error", "tool_error"])
    assert answer is None or answer.is_error


@ERAS
async def test_a_protocol_error_is_an_error(desk: Desk, mode: str) -> None:
    async with desk.client(mode, "read") as client:
        if desk.is_fastmcp:  # which makes an answer of it, whatever a tool raises
            assert "refuses" in (await client.call_tool("read_refusing", {})).content[0].text
        else:
            with pytest.raises(MCPError, match="refuses"):
                await client.call_tool("read_refusing", {})
    [record] = desk.calls(1)
    assert (record["result"], record["reason"]) == (("tool_error", None) if desk.is_fastmcp else ("error", "rpc-32050"))


@ERAS
async def test_what_the_client_sees_of_a_missing_scope(desk: Desk, mode: str) -> None:
    async with desk.client(mode, "read") as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("delete_user", {"name": "ada"})
    assert refused.value.error.code == 403
    assert refused.value.error.data["requiredScopes"] == ["write"]
    assert desk.ran == []
    assert [record["result"] for record in desk.calls(1)] == ["denied_scope"]


@ERAS
async def test_what_the_client_sees_of_a_limit(desk: Desk, mode: str) -> None:
    async with desk.client(mode) as client:
        assert (await client.call_tool("limited", {})).content[0].text == "once"
        with pytest.raises(MCPError, match=r"over 1/hour for limited \(client\): retry in 3600 s") as refused:
            await client.call_tool("limited", {})
    assert refused.value.error.data["retryAfterMs"] == 3_600_000


@ERAS
@pytest.mark.parametrize("desk", ["sse", "fastmcp"], indirect=True)  # a JSON answer has no room for progress
async def test_progress_arrives_while_the_tool_still_runs(desk: Desk, mode: str) -> None:
    seen: list[float] = []

    async def progressed(progress: float, _total: float | None, _message: str | None) -> None:
        seen.append(progress)
        desk.may_end.set()

    async with desk.client(mode, "read") as client:
        await client.call_tool("read_slowly", {}, progress_callback=progressed)
    assert seen == [1]


@ERAS
async def test_one_record_for_each_request(desk: Desk, mode: str) -> None:
    async with desk.client(mode, "read", "write") as client:
        await client.list_tools()
        await client.call_tool("delete_user", {"name": "ada"})
    calls = desk.calls(1)
    records = desk.it.records()
    assert len({record["request_id"] for record in records}) == len(records)
    assert len(calls) == 1
    assert [record["method"] for record in records].count("tools/list") == 1
    assert {record["result"] for record in records} <= {"success", "cancelled"}


def test_a_session_belongs_to_its_principal(desk: Desk) -> None:
    session = open_session(desk)
    listing = b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}'
    assert desk.post(listing, "read", headers=session, client_id="agent-2").status_code == 404
    assert desk.post(listing, "read", headers=session, subject="user-2").status_code == 404
    assert desk.post(listing, "read", headers=session).status_code == 200


DELETE = '"params":{"name":"delete_user","arguments":{"name":"x"}}'
CALL = f'"jsonrpc":"2.0","id":1,"method":"tools/call",{DELETE}'
LYING = {
    "id null": f'{{"jsonrpc":"2.0","id":null,"method":"tools/call",{DELETE}}}',
    "id 1.0": f'{{"jsonrpc":"2.0","id":1.0,"method":"tools/call",{DELETE}}}',
    "no id": f'{{"jsonrpc":"2.0","method":"tools/call",{DELETE}}}',
    "a result beside": f'{{"result":{{}},{CALL}}}',
    "a batch": f"[{{{CALL}}}]",
    "a name twice": CALL.replace('"name":"delete_user"', '"name":"read_caller","name":"delete_user"').join("{}"),
    "params twice": f'{{"params":{{"name":"read_caller"}},{CALL}}}',
    "a method in disguise": f'{{"\\u006dethod":"ping",{CALL}}}',
    "trailing data": f"{{{CALL}}}{{}}",
    "byte order mark": f"\ufeff{{{CALL}}}",
    "UTF-16": f"{{{CALL}}}".encode("utf-16"),
    "gzip": gzip.compress(f"{{{CALL}}}".encode()),
}


@pytest.mark.parametrize("desk", ["sse", "fastmcp"], indirect=True)  # what is refused, no answer's form can change
@pytest.mark.parametrize("body", LYING.values(), ids=LYING)
@pytest.mark.parametrize("version", [MODERN, "2025-11-25", None])
def test_what_the_gate_refuses_is_executed_by_neither_path_of_the_sdk(
    desk: Desk, body: str | bytes, version: str | None
) -> None:
    headers = (
        {}
        if version is None
        else {"MCP-Protocol-Version": version, "Mcp-Method": "tools/call", "Mcp-Name": "delete_user"}
    )
    data = body if isinstance(body, bytes) else body.encode()
    response = desk.post(data, "read", "write", headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["code"] in (-32700, -32600)
    assert desk.ran == []


def test_a_lying_header_changes_nothing(desk: Desk) -> None:
    headers = {"MCP-Protocol-Version": "2025-11-25", "Mcp-Method": "tools/call", "Mcp-Name": "read_caller"}
    assert desk.post(message("delete_user", name="ada"), "read", headers=headers).status_code == 403
    assert desk.ran == []


def test_a_tool_ends_and_is_recorded_after_its_client_has_gone(desk: Desk) -> None:
    hang_up_on(desk, message("read_slowly"), open_session(desk))
    assert desk.calls() == []
    desk.may_end.set()
    [record] = desk.calls(1)
    assert record["result"] == "success"
    # With a JSON answer the SDK does not look whether the client is still there.
    assert record["disconnected"] is not desk.server_sends_json
    assert desk.ran[-1] == "read_slowly ended"


def test_a_client_that_goes_cancels_its_call_in_the_newer_era(desk: Desk) -> None:
    hang_up_on(desk, modern("read_slowly"), modern_headers("read_slowly"))
    if desk.server_sends_json:
        desk.may_end.set()  # there the SDK does not watch for the disconnect
    [record] = desk.calls(1)
    assert record["result"] == ("success" if desk.server_sends_json else "cancelled")


async def test_a_message_that_met_no_gate_is_refused(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    async with Client(desk.server._mcp_server if desk.is_fastmcp else desk.server, mode=MODERN) as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("delete_user", {"name": "ada"})
    assert refused.value.error.code == 403
    assert desk.ran == []
    assert caplog.text.count("stand behind gate.protect_stdio(server)") == 1


async def test_an_app_that_was_mounted_bare_serves_nobody(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    server = tools(desk.ran)
    desk.gate.protect(server)
    # What the server makes of itself has the gate in it, so this is made of what it was before.
    with listening() as listener, served(MCPServer.streamable_http_app(server), listener):
        headers = {"MCP-Protocol-Version": "2025-11-25", "Accept": "application/json, text/event-stream"}
        for version in (MODERN, LEGACY):
            with pytest.raises(Exception, match=r"decision|unhandled errors"):  # the client may wrap it in a group
                async with Client(url_of(listener), mode=version) as client:
                    await client.call_tool("delete_user", {"name": "ada"})
        assert (
            httpx2.post(url_of(listener), content=message("delete_user", name="x"), headers=headers).status_code >= 400
        )
    assert desk.ran == []
    assert caplog.text.count("serve the app that gate.protect(server) returns") == 1, "told, and once"


async def test_over_the_oldest_transport_a_call_is_charged_and_recorded_once(
    guarded: Callable[..., Guarded],
) -> None:
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES)
        it.now = time.time()
        desk = Desk(it, tools([]), [])
        it.gate.protect(desk.server)
        headers = {"Authorization": f"Bearer {it.token()}"}
        with served(it.gate.protect(desk.server.sse_app()), listener):
            async with (
                sse_client(it.gate.resource.replace("/mcp", "/sse"), headers=headers) as (read, write),
                ClientSession(read, write) as session,
            ):
                await session.initialize()
                assert not (await session.call_tool("limited", {})).is_error
        # The second would be refused at its POST, and a client of this transport waits for the stream: asked by hand.
        assert not (await it.call("limited")).allowed
    assert [record["result"] for record in desk.calls(2)] == ["success", "denied_rate"]


async def test_the_caller_is_there_while_its_request_runs_and_no_longer(guarded: Callable[..., Guarded]) -> None:
    """Also where a server program runs one request after the other in one task."""
    seen: list[str | None] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        token = get_access_token()
        seen.append(None if token is None else token.subject)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": message("read_order"), "more_body": False}

    it = guarded()
    it.server = app  # type: ignore[attr-defined]
    await exchange(it, receive)
    assert seen == ["user-1"]
    assert get_access_token() is None


def test_an_app_that_the_sdk_made_binds_its_sessions_too(guarded: Callable[..., Guarded]) -> None:
    ran: list[str] = []
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES)
        it.now = time.time()
        desk = Desk(it, tools(ran), ran)
        with served(it.gate.protect(desk.server.streamable_http_app()), listener):
            session = open_session(desk)
            call = message("read_caller", id=2)
            assert desk.post(call, "read", headers=session, client_id="agent-2").status_code == 404
            assert ran == []
            assert '\\"client\\": \\"agent-1\\"' in desk.post(call, "read", headers=session).text


@pytest.mark.parametrize("desk", ["sse", "fastmcp"], indirect=True)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:1"])
@pytest.mark.parametrize("origin", [None, "http://localhost", "http://LOCALHOST:3000", "http://[::1]"])
def test_the_sdk_has_no_second_opinion_of_host_and_origin(desk: Desk, host: str, origin: str | None) -> None:
    headers = {"Host": host, **modern_headers("read_caller")} | ({"Origin": origin} if origin else {})
    assert desk.post(modern("read_caller"), "read", headers=headers).status_code == 200


def test_a_server_with_auth_of_its_own_is_told_what_to_remove(guarded: Callable[..., Guarded]) -> None:
    class Anybody:
        async def verify_token(self, token: str) -> None:
            return None

    auth = AuthSettings(
        issuer_url=AnyHttpUrl("https://as.example.com"),
        resource_server_url=AnyHttpUrl("https://mcp.example.com/mcp"),
        validate_token_resource=True,
    )
    server: MCPServer[Any] = MCPServer("own", auth=auth, token_verifier=Anybody(), log_level="CRITICAL")
    with pytest.raises(ValueError, match="remove auth="):
        guarded().gate.protect(server)


def test_one_server_has_one_gate(guarded: Callable[..., Guarded], tmp_path: Any) -> None:
    server = tools([])
    guarded().gate.protect(server)
    other = guarded(audit=doorward.Audit(path=str(tmp_path / "other.jsonl"))).gate
    with pytest.raises(ValueError, match="another gate"):
        other.protect(server)


def test_the_listing_that_the_sdk_makes_by_itself_is_neither_counted_nor_recorded(
    guarded: Callable[..., Guarded],
) -> None:
    listed: list[str] = []

    async def list_tools(_ctx: Any, _params: Any) -> mcp_types.ListToolsResult:
        listed.append("listed")
        return mcp_types.ListToolsResult(tools=[mcp_types.Tool(name="read_it", input_schema={"type": "object"})])

    async def call_tool(_ctx: Any, _params: Any) -> mcp_types.CallToolResult:
        return mcp_types.CallToolResult(content=[])

    server: Server[Any] = Server("low", on_list_tools=list_tools, on_call_tool=call_tool)
    with listening() as listener:
        it = guarded(
            resource=url_of(listener), tools=RULES, methods=[doorward.MethodRule("tools/list", scopes=["never"])]
        )
        it.now = time.time()
        desk = Desk(it, server, [])
        with served(it.gate.protect(server), listener):
            response = desk.post(modern("read_it", a=1), "read", headers=modern_headers("read_it"))
    assert response.json()["result"]["content"] == []
    assert listed == ["listed"]
    [record] = it.records()
    assert (record["method"], record["result"]) == ("tools/call", "success")
