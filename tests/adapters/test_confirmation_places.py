"""Wherever the gate is plugged in, a human can be asked or nothing runs: low-level servers, routes and apps of one's
own, each way of protecting a server of fastmcp, and the oldest transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mcp_types as types
import pytest
from adapters.asked import NO, YES, Human, asking_server, opened, posted
from adapters.desk import LEGACY, MODERN
from guarded import Guarded
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.server import Server
from starlette.responses import JSONResponse

import doorward

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])
Make = Callable[..., Guarded]


@pytest.mark.parametrize("mode", [MODERN, LEGACY])
async def test_a_low_level_server(guarded: Make, mode: str) -> None:
    """It seals no state of its own: in the gate's it travels as it is, and cannot be changed on its way."""
    seen: list[tuple[Any, Any]] = []

    async def list_tools(_ctx: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool(name="wipe", input_schema={"type": "object"})])

    async def call_tool(ctx: Any, params: Any) -> types.CallToolResult | types.InputRequiredResult:
        seen.append((params.request_state, params.input_responses))
        if params.request_state is None and mode == MODERN:
            return types.InputRequiredResult(request_state="the tool's own, in the clear")
        return types.CallToolResult(content=[types.TextContent(type="text", text="wiped")])

    server: Server[Any] = Server("low", on_list_tools=list_tools, on_call_tool=call_tool)
    human = Human()
    with opened(guarded, "sse", how=lambda gate, _server: gate.protect(server)) as office:
        async with office.client(mode, human, "write") as client:
            assert (await client.call_tool("wipe", {"name": "ada"})).content[0].text == "wiped"
    assert len(human.questions) == 1
    assert seen == [(None, None)] + ([("the tool's own, in the clear", None)] if mode == MODERN else [])


async def test_a_route_of_the_servers_own_runs_no_tool_that_waits(guarded: Make) -> None:
    """It is behind the gate like every path, and the decision about its body is there: but nobody has answered."""
    ran: list[str] = []
    server = asking_server(ran)

    @server.custom_route("/side", methods=["POST"])
    async def side(request: Any) -> JSONResponse:
        asked = (await request.json())["params"]
        return JSONResponse({"result": str(await server.call_tool(asked["name"], asked["arguments"]))})

    with opened(guarded, "sse", how=lambda gate, _server: gate.protect(server)) as office:
        office.url = office.url.replace("/mcp", "/side")
        free = posted(office, "by_name", {})
        assert free.status_code == 500  # there is no such tool, but it was looked for
        refused = posted(office, "wipe", {"name": "ada"}, "write")
        assert (refused.status_code, refused.json()["error"]["data"]["reason"]) == (403, "confirmation_unavailable")
    assert ran == []
    assert office.records("confirmed") == []


async def test_an_app_whose_server_nobody_showed_the_gate_asks_nobody(guarded: Make) -> None:
    human = Human()
    bare = asking_server([])
    with opened(guarded, "sse", how=lambda gate, _server: gate.protect(bare.streamable_http_app())) as office:
        async with office.client(MODERN, human, "write") as client:
            with pytest.raises(MCPError, match="nobody can be asked"):
                await client.call_tool("wipe", {"name": "ada"})
    assert human.questions == []


WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "auth=": lambda gate, server: _with_auth(gate, server),
    "the app": lambda gate, server: gate.protect(server.http_app(path="/mcp")),
    "mounted": lambda gate, server: gate.protect(_mounting(server)),
}


@ERAS
@pytest.mark.parametrize("way", WAYS)
async def test_a_server_of_fastmcp_whichever_way_it_is_protected(guarded: Make, way: str, mode: str) -> None:
    pytest.importorskip("fastmcp")
    tool = "shop_wipe" if way == "mounted" else "wipe"
    human = Human(NO, YES)
    rules = [doorward.ToolRule("*wipe", scopes=["write"], confirm=True)]
    with opened(guarded, "fastmcp", how=WAYS[way], tools=rules) as office:
        async with office.client(mode, human, "write") as client:
            with pytest.raises(MCPError, match="did not confirm"):
                await client.call_tool(tool, {"name": "ada"})
            assert (await client.call_tool(tool, {"name": "bob"})).content[0].text == "wiped bob"
    assert office.ran == ["wipe bob"]
    assert f'"{tool}"' in human.questions[0]


def _with_auth(gate: doorward.Gate, server: Any) -> Any:
    server.auth = gate.auth()
    server.add_middleware(gate.middleware())
    return server.http_app(path="/mcp")


def _mounting(server: Any) -> Any:
    from fastmcp import FastMCP

    root: Any = FastMCP("root")
    root.mount(server, namespace="shop")
    return root


async def test_over_the_oldest_transport(guarded: Make) -> None:
    """There a call is answered 202 at once, and everything else comes by a stream of its own."""
    pytest.importorskip("fastmcp")
    human = Human(NO, YES)
    with opened(guarded, "fastmcp", how=lambda gate, server: gate.protect(server, transport="sse")) as office:
        headers = {"Authorization": f"Bearer {office.it.token('write')}"}
        async with Client(sse_client(office.url, headers=headers), mode=LEGACY, elicitation_callback=human) as client:
            with pytest.raises(MCPError, match="did not confirm"):
                await client.call_tool("wipe", {"name": "ada"})
            assert (await client.call_tool("wipe", {"name": "bob"})).content[0].text == "wiped bob"
    assert office.ran == ["wipe bob"]
    assert [record["result"] for record in office.records(name="wipe")] == ["denied_policy", "success"]
