"""Lists show what their caller may call: in the server's order, in the server's pages, and for nobody else's cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mcp_types as types
import pytest
from adapters.desk import LEGACY, MODERN, Desk, modern, modern_headers
from adapters.serving import listening, served, url_of
from guarded import Guarded
from mcp.server import Server
from mcp.server.caching import CacheHint
from mcp.server.mcpserver import MCPServer

import doorward

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])
SERVERS = pytest.mark.parametrize("kind", ["mcp", "fastmcp"])
RULES: dict[str, Any] = {
    "tools": [
        doorward.ToolRule("z_write", scopes=["write"]),
        doorward.ToolRule("watched", scopes=["write"], mode="observe"),
        doorward.ToolRule("unruled", scopes=["nobodys"]),
        doorward.ToolRule("a_read", scopes=["read"]),
        doorward.ToolRule("m_read", scopes=["read"]),
    ],
    "resources": [
        doorward.ResourceRule("data://open/*", scopes=[]),
        doorward.ResourceRule("data://closed/*", scopes=["write"]),
    ],
    "prompts": [doorward.PromptRule("ask_*", scopes=[])],
}


def named(kind: str) -> Any:
    """A server with a few of everything, in an order that is no alphabet's."""
    server: Any
    if kind == "fastmcp":
        pytest.importorskip("fastmcp")
        from fastmcp import FastMCP

        server = FastMCP("named", cache_ttl=60, cache_scope="public")
    else:
        hint = CacheHint(ttl_ms=60_000, scope="public")
        server = MCPServer("named", log_level="CRITICAL", cache_hints={"tools/list": hint, "resources/list": hint})

    def nothing() -> str:
        return ""

    def one(which: str) -> str:
        return which

    for name in ("z_write", "m_read", "watched", "unruled", "no_rule", "a_read"):
        server.tool(name=name)(nothing)
    for uri in ("data://open/1", "data://closed/1"):
        server.resource(uri)(nothing)
    for template in ("data://open/x/{which}", "data://closed/x/{which}", "data://{which}"):
        server.resource(template)(one)
    for name in ("ask_this", "other"):
        server.prompt(name=name)(nothing)
    return server


@contextmanager
def opened(guarded: Callable[..., Guarded], server: Any, **more: Any) -> Iterator[Desk]:
    """The server behind a gate."""
    with listening() as listener:
        it = guarded(resource=url_of(listener), **(RULES | more))
        it.now = time.time()
        with served(it.gate.protect(server), listener):
            yield Desk(it, server, [])


async def every_list(client: Any) -> list[list[str]]:
    """The names in each list."""
    return [
        [tool.name for tool in (await client.list_tools()).tools],
        [str(resource.uri) for resource in (await client.list_resources()).resources],
        [each.uri_template for each in (await client.list_resource_templates()).resource_templates],
        [prompt.name for prompt in (await client.list_prompts()).prompts],
    ]


@ERAS
@SERVERS
async def test_each_caller_sees_what_it_may_call_in_the_servers_order(
    guarded: Callable[..., Guarded], mode: str, kind: str
) -> None:
    with opened(guarded, named(kind)) as desk:
        async with desk.client(mode, "read") as client:
            read = await every_list(client)
        async with desk.client(mode, "read", "write") as client:
            write = await every_list(client)
    # A template that may expand to something open is shown; what it expands to is judged when it is read.
    assert read == [
        ["m_read", "watched", "a_read"],
        ["data://open/1"],
        ["data://open/x/{which}", "data://{which}"],
        ["ask_this"],
    ]
    assert write == [
        ["z_write", "m_read", "watched", "a_read"],
        ["data://open/1", "data://closed/1"],
        ["data://open/x/{which}", "data://closed/x/{which}", "data://{which}"],
        ["ask_this"],
    ]


@SERVERS
async def test_no_cache_may_hand_one_callers_list_to_another(guarded: Callable[..., Guarded], kind: str) -> None:
    with opened(guarded, named(kind)) as desk:
        async with desk.client(MODERN, "read") as client:
            tools, resources = await client.list_tools(), await client.list_resources()
    assert (tools.cache_scope, tools.ttl_ms) == ("private", 60_000)
    assert resources.cache_scope == "private"


@SERVERS
async def test_lists_that_are_not_filtered_are_the_servers_own(guarded: Callable[..., Guarded], kind: str) -> None:
    with opened(guarded, named(kind), filter_lists=False) as desk:
        async with desk.client(MODERN) as client:
            tools = await client.list_tools()
            names = await every_list(client)
    assert tools.cache_scope == "public"
    assert [len(each) for each in names] == [6, 2, 3, 2]


def paged() -> Server[Any]:
    """A low-level server with two tools a page."""
    pages = {None: (["z_write", "m_read"], "1"), "1": (["watched", "no_rule"], "2"), "2": (["a_read"], None)}

    async def list_tools(_ctx: Any, params: Any) -> types.ListToolsResult:
        names, cursor = pages[params.cursor if params else None]
        tools = [types.Tool(name=name, input_schema={"type": "object"}) for name in names]
        return types.ListToolsResult(tools=tools, next_cursor=cursor)

    async def call_tool(_ctx: Any, _params: Any) -> types.CallToolResult:
        return types.CallToolResult(content=[])

    return Server("paged", on_list_tools=list_tools, on_call_tool=call_tool)


@ERAS
async def test_pages_stay_as_the_server_cut_them(guarded: Callable[..., Guarded], mode: str) -> None:
    pages: list[list[str]] = []
    cursors: list[str | None] = [None]
    with opened(guarded, paged()) as desk:
        async with desk.client(mode, "read") as client:
            while len(cursors) == 1 or cursors[-1] is not None:
                page = await client.list_tools(cursor=cursors[-1])
                pages.append([tool.name for tool in page.tools])
                cursors.append(page.next_cursor)
    assert pages == [["m_read"], ["watched"], ["a_read"]]
    assert cursors == [None, "1", "2", None]


@SERVERS
def test_the_listing_that_nobody_asked_for_is_neither_counted_nor_recorded(
    guarded: Callable[..., Guarded], kind: str
) -> None:
    # The SDK lists the tools before a call with arguments, unless it is told the schema otherwise.
    server = named(kind) if kind == "fastmcp" else paged()
    rule = doorward.MethodRule("tools/list", scopes=[], limit=["1/hour"])
    with opened(guarded, server, methods=[rule]) as desk:
        for _ in range(3):
            call = desk.post(modern("m_read", which=1), "read", headers=modern_headers("m_read"))
            assert call.status_code == 200
    assert {record["method"] for record in desk.it.records()} == {"tools/call"}
