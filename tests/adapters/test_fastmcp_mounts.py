"""Servers in servers, and in front of servers: what is mounted, proxied or called by another name than its own."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("fastmcp")

from adapters.desk import LEGACY, MODERN
from adapters.fastmcp_desk import CALL_DELETE, Make, calling_others, opened
from adapters.serving import listening, served, url_of
from fastmcp import Context, FastMCP
from fastmcp.server import create_proxy
from fastmcp.server.providers.aggregate import AggregateProvider
from fastmcp.server.providers.fastmcp_provider import FastMCPProvider
from fastmcp.server.providers.wrapped_provider import _WrappedProvider
from fastmcp.tools import Tool
from mcp import MCPError

import doorward

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])
HOW = pytest.mark.parametrize("how", ["protect", "protect the app", "auth="])


def mounted(ran: list[str]) -> FastMCP[Any]:
    """A server in a server in a server."""
    root: FastMCP[Any] = FastMCP("root")
    middle: FastMCP[Any] = FastMCP("middle")
    middle.mount(calling_others(ran), namespace="inner")
    root.mount(middle, namespace="outer")
    return root


MOUNTED_RULES = [
    doorward.ToolRule("outer_inner_delete_*", scopes=["write"]),
    # By the name it has inside, a reader might call it.
    doorward.ToolRule("*", scopes=["read"]),
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
    rules: dict[str, Any] = {
        "resources": [doorward.ResourceRule("data://in/*", scopes=[])],
        "prompts": [doorward.PromptRule("in_*", scopes=[])],
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
    with opened(guarded, root, ran, tools=[doorward.ToolRule("*", scopes=["read"])]) as desk:
        async with desk.client(MODERN, "read") as client:
            answer = await client.call_tool("in_read_by_calling", CALL_DELETE)
    assert "no rule allows this call" in answer.content[0].text
    assert ran == []


def mount(root: FastMCP[Any], other: FastMCP[Any]) -> None:
    """The usual way."""
    middle: FastMCP[Any] = FastMCP("middle")
    middle.mount(other, namespace="inner")
    root.mount(middle, namespace="outer")


def mount_in_the_place_of_another(root: FastMCP[Any], other: FastMCP[Any]) -> None:
    """There are as many as before."""
    root.providers.pop()
    root.mount(other, namespace="outer_inner")


def add_where_providers_are_collected(root: FastMCP[Any], other: FastMCP[Any]) -> None:
    """The server itself has as many as before."""
    collection = root.providers[-1]
    while isinstance(collection, _WrappedProvider):
        collection = collection._inner
    assert isinstance(collection, AggregateProvider)
    collection.add_provider(other, namespace="inner")


def put_into_a_provider(root: FastMCP[Any], other: FastMCP[Any]) -> None:
    """The providers are those of before."""
    provider = root.providers[-2]
    while isinstance(provider, _WrappedProvider):
        provider = provider._inner
    assert isinstance(provider, FastMCPProvider)
    provider.server = other


LATER = [mount, mount_in_the_place_of_another, add_where_providers_are_collected, put_into_a_provider]


@pytest.mark.parametrize("later", LATER, ids=[each.__name__.replace("_", " ") for each in LATER])
async def test_a_server_that_is_mounted_later_is_behind_the_gate_too(guarded: Make, later: Any) -> None:
    ran: list[str] = []
    root: FastMCP[Any] = FastMCP("root")
    root.mount(FastMCP("before"), namespace="outer_inner")
    root.add_provider(AggregateProvider(), namespace="outer")
    with opened(guarded, root, ran, tools=MOUNTED_RULES) as desk:
        async with desk.client(MODERN, "read") as client:
            await client.call_tool("nothing", {})
            later(root, calling_others(ran))
            answer = await client.call_tool("outer_inner_read_by_calling", CALL_DELETE)
    assert "lacks a scope" in answer.content[0].text
    assert ran == []
    inner, outer = desk.calls(3)[1:]
    assert (inner["tool_name"], inner["result"]) == ("outer_inner_delete_user", "denied_scope")
    assert (outer["tool_name"], inner["parent_id"]) == ("outer_inner_read_by_calling", outer["request_id"])


async def test_a_tool_that_calls_a_mounted_server_directly_is_judged_as_well(guarded: Make) -> None:
    ran: list[str] = []
    root: FastMCP[Any] = FastMCP("root")
    inner = calling_others(ran)
    root.mount(inner, namespace="in")

    @root.tool
    async def read_behind() -> str:
        return str((await inner.call_tool("delete_user", {"name": "ada"})).content)

    rules = [doorward.ToolRule("in_delete_*", scopes=["write"]), doorward.ToolRule("*", scopes=["read"])]
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
    rules = [doorward.ToolRule("in_delete_*", scopes=["write"]), doorward.ToolRule("*", scopes=["read"])]
    with opened(guarded, root, ran, tools=rules) as desk:
        async with desk.client(MODERN, "read") as client:
            answer = await client.call_tool("read_instead", {})
    assert "lacks a scope" in answer.content[0].text
    assert ran == []


async def test_a_list_that_a_mounted_server_makes_shows_what_its_caller_may_call(guarded: Make) -> None:
    inner: FastMCP[Any] = FastMCP("inner")

    @inner.tool
    async def read_lists(ctx: Context) -> dict[str, list[str]]:
        return {
            "tools": [tool.name for tool in await ctx.fastmcp.list_tools()],
            "resources": [str(resource.uri) for resource in await ctx.fastmcp.list_resources()],
            "templates": [template.uri_template for template in await ctx.fastmcp.list_resource_templates()],
            "prompts": [prompt.name for prompt in await ctx.fastmcp.list_prompts()],
        }

    for name in ("read_more", "delete_user", "disabled"):
        inner.add_tool(Tool.from_function(lambda: "", name=name))
    for uri in ("data://open", "data://closed", "data://open/{which}", "data://closed/{which}"):
        inner.resource(uri)(_resource(uri))
    for name in ("ask_openly", "ask_closely"):
        inner.prompt(name=name)(_ask)
    middle: FastMCP[Any] = FastMCP("middle")
    root: FastMCP[Any] = FastMCP("root")
    middle.mount(inner, namespace="in")
    root.mount(middle, namespace="out")
    root.disable(names={"out_in_disabled"})
    rules: dict[str, Any] = {
        "tools": [doorward.ToolRule("out_in_delete_*", scopes=["write"]), doorward.ToolRule("*", scopes=["read"])],
        "resources": [doorward.ResourceRule("data://out/in/open*", scopes=["read"])],
        "prompts": [doorward.PromptRule("out_in_*openly", scopes=["read"])],
    }
    with opened(guarded, root, [], **rules) as desk:
        async with desk.client(MODERN, "read") as client:
            listed = (await client.call_tool("out_in_read_lists", {})).structured_content
            outside = {tool.name for tool in (await client.list_tools()).tools}
        async with desk.client(MODERN, "read", "write") as client:
            writers = (await client.call_tool("out_in_read_lists", {})).structured_content
    assert listed == {
        "tools": ["read_lists", "read_more"],
        "resources": ["data://open"],
        "templates": ["data://open/{which}"],
        "prompts": ["ask_openly"],
    }
    assert writers == {**listed, "tools": ["read_lists", "read_more", "delete_user"]}
    assert outside == {"out_in_read_lists", "out_in_read_more"}


def _resource(uri: str) -> Any:
    if "{" not in uri:
        return lambda: ""

    def template(which: str) -> str:
        return which

    return template


def _ask() -> str:
    return ""


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
    from fastmcp.server.providers.addressing import TOOL_HASH_META_KEY, hash_tool, hashed_backend_name

    ran: list[str] = []
    server: FastMCP[Any] = FastMCP("apps")
    digest = hash_tool("app", "delete_user")

    @server.tool(meta={"ui": {"visibility": ["app"]}, "fastmcp": {TOOL_HASH_META_KEY: digest}})
    async def delete_user() -> str:
        ran.append("deleted")
        return "deleted"

    rules = [doorward.ToolRule("delete_*", scopes=["write"]), doorward.ToolRule("*", scopes=["read"])]
    with opened(guarded, server, ran, tools=rules) as desk:
        async with desk.client(MODERN, "read") as client:
            answer = await client.call_tool(hashed_backend_name("app", "delete_user"), {})
        assert "lacks a scope" in answer.content[0].text
        assert ran == []
        async with desk.client(MODERN, "read", "write") as client:
            assert not (await client.call_tool(hashed_backend_name("app", "delete_user"), {})).is_error
    assert ran == ["deleted"]
