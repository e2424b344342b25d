"""What only fastmcp has behind the gate: middlewares that retry and rewrite, tools that are made of others, and servers
that are mounted on the way."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("fastmcp")

from adapters.asked import Human, opened
from adapters.changing import CONFIRMED, Change, Changing, Make, Run, said, twice, twice_at_once
from adapters.desk import MODERN
from adapters.fastmcp_asked import asking_fastmcp
from fastmcp import Context, FastMCP
from fastmcp.exceptions import AuthorizationError
from fastmcp.server.middleware.error_handling import RetryMiddleware
from fastmcp.tools import Tool
from fastmcp.tools.tool_transform import ArgTransform, forward
from starlette.applications import Starlette
from starlette.routing import Mount

import doorward

pytestmark = pytest.mark.anyio


async def test_a_tool_that_fails_and_is_retried_had_its_run(guarded: Make) -> None:
    ran: list[str] = []
    server: FastMCP[Any] = FastMCP("failing")

    @server.tool
    async def wipe() -> str:
        ran.append("wipe")
        raise ConnectionError("again")

    server.add_middleware(RetryMiddleware(base_delay=0.001))
    with opened(guarded, "sse", how=lambda gate, _: gate.protect(server), **CONFIRMED) as office:
        async with office.client(MODERN, Human(), "write") as client:
            assert "nobody can be asked" in await said(client.call_tool("wipe", {}))
    assert ran == ["wipe"]


REWRITTEN = {
    "tool": ({"name": "wipe", "arguments": {"name": "ada"}}, "wipe", "wipe ada"),
    "resource": ({"uri": "data://secret"}, "data://secret", "secret"),
    "prompt": ({"name": "plan", "arguments": {}}, "plan", "plan"),
}


@pytest.mark.parametrize("place", ["fastmcp", "fastmcp, mounted"])
@pytest.mark.parametrize(("params", "name", "what"), REWRITTEN.values(), ids=REWRITTEN)
async def test_a_call_of_something_else_is_judged_for_that(
    guarded: Make, place: str, params: dict[str, Any], name: str, what: str
) -> None:
    """Also where the protected server calls it by another name than the one that is mounted."""
    ran: list[str] = []

    async def rewriting(run: Run, _asked: dict[str, Any]) -> Any:
        return await run(params)

    def how(gate: Any, _server: Any) -> Any:
        inner = asking_fastmcp(ran)
        inner.tool(name="open")(_ask)
        inner.resource("data://open")(_ask)
        inner.prompt(name="open")(_ask)
        root: FastMCP[Any] = FastMCP("root") if "mounted" in place else inner
        if root is not inner:
            root.mount(inner, namespace="shop")
        inner.add_middleware(Changing(rewriting))
        return gate.protect(root)

    kinds = {"tools": doorward.ToolRule, "resources": doorward.ResourceRule, "prompts": doorward.PromptRule}
    rules: dict[str, Any] = {
        key: [kind("*open", scopes=["read"]), kind("*", scopes=["write"])] for key, kind in kinds.items()
    }
    prefix = "shop_" if "mounted" in place else ""
    with opened(guarded, "sse", how=how, **rules) as office:
        for scopes in (["read"], ["read", "write"]):
            async with office.client(MODERN, None, *scopes) as client:
                if "uri" in params:
                    await said(client.read_resource(f"data://{prefix.replace('_', '/')}open"))
                elif what == "plan":
                    await said(client.get_prompt(f"{prefix}open"))
                else:
                    await said(client.call_tool(f"{prefix}open", {}))
            assert ran == ([] if scopes == ["read"] else [what])
    seen = f"data://{prefix.replace('_', '/')}secret" if "uri" in params else prefix + name
    assert [record["result"] for record in office.records("call", name=seen)] == ["denied_scope", "success"]


def _ask() -> str:
    return ""


async def test_a_tool_made_of_a_mounted_one_gives_it_arguments_of_its_own(guarded: Make) -> None:
    ran: list[str] = []
    human = Human()
    inner, root = asking_fastmcp(ran), FastMCP[Any]("root")
    root.mount(inner, namespace="shop")
    wipe = await root.get_tool("shop_wipe")
    assert wipe is not None
    arguments = {"name": ArgTransform(name="who"), "confirmed": ArgTransform(hide=True, default=True)}
    root.add_tool(Tool.from_tool(wipe, name="made_to_wipe", transform_args=arguments))
    with opened(guarded, "sse", how=lambda gate, _: gate.protect(root), **CONFIRMED) as office:
        async with office.client(MODERN, human, "write") as client:
            assert await said(client.call_tool("made_to_wipe", {"who": "ada"})) == "wiped ada"
    assert ran == ["wipe ada"]
    assert len(human.questions) == len(office.records("confirmed")) == 1


@pytest.mark.parametrize("change", [twice, twice_at_once], ids=["in turn", "at once"])
async def test_a_tool_made_of_a_mounted_one_leads_to_it_once(guarded: Make, change: Change) -> None:
    ran: list[str] = []
    inner, root = asking_fastmcp(ran), FastMCP[Any]("root")
    root.mount(inner, namespace="shop")
    wipe = await root.get_tool("shop_wipe")
    assert wipe is not None

    async def forwarding(name: str, confirmed: bool = False) -> Any:
        return await change(lambda params: forward(**params), {"name": name, "confirmed": confirmed})

    root.add_tool(Tool.from_tool(wipe, name="made_to_wipe", transform_fn=forwarding))
    with opened(guarded, "sse", how=lambda gate, _: gate.protect(root), **CONFIRMED) as office:
        async with office.client(MODERN, Human(), "write") as client:
            assert "nobody can be asked" in await said(client.call_tool("made_to_wipe", {"name": "ada"}))
    assert ran == ["wipe ada"]
    # The shown tool that leads there, by the name it has first.
    assert [record["reason"] for record in office.records("call")][1:] == ["confirmation_unavailable", None]


async def test_what_a_middleware_calls_by_itself_is_another_call(guarded: Make) -> None:
    """Also where it is what the call leads to."""
    ran: list[str] = []
    inner, root = asking_fastmcp(ran), FastMCP[Any]("root")
    root.mount(inner, namespace="shop")

    async def calling(run: Run, params: dict[str, Any]) -> Any:
        with pytest.raises(AuthorizationError, match="nobody can be asked"):
            await inner.call_tool("wipe", params["arguments"])
        return await run(params)

    root.add_middleware(Changing(calling))
    with opened(guarded, "sse", how=lambda gate, _: gate.protect(root), **CONFIRMED) as office:
        async with office.client(MODERN, Human(), "write") as client:
            assert await said(client.call_tool("shop_wipe", {"name": "ada"})) == "wiped ada"
    assert ran == ["wipe ada"]


async def test_a_server_that_a_middleware_mounts_on_the_way_is_behind_the_gate(guarded: Make) -> None:
    ran: list[str] = []
    root: FastMCP[Any] = FastMCP("root")

    async def mounting(run: Run, params: dict[str, Any]) -> Any:
        root.mount(asking_fastmcp(ran), namespace="shop")
        return await run(params)

    root.add_middleware(Changing(mounting))
    rules = [doorward.ToolRule("*wipe", scopes=["write"]), doorward.ToolRule("*", scopes=[])]
    with opened(guarded, "sse", how=lambda gate, _: gate.protect(root), tools=rules) as office:
        async with office.client(MODERN, None) as client:
            assert "lacks a scope" in await said(client.call_tool("shop_by_calling", {"name": "ada"}))
    assert ran == []


async def test_the_middleware_alone_looks_twice_as_well(guarded: Make) -> None:
    """In an app of which the gate does not know what it serves."""
    ran: list[str] = []
    server = asking_fastmcp(ran)
    server.add_middleware(Changing(twice))

    def how(gate: Any, _server: Any) -> Any:
        server.middleware.insert(0, gate.middleware())
        app = server.http_app(path="/mcp", host_origin_protection=False)
        return gate.protect(Starlette(routes=[Mount("/", app)], lifespan=app.lifespan))

    rules = [doorward.ToolRule("*wipe", scopes=[], limit=["1/hour"])]
    with opened(guarded, "sse", how=how, tools=rules) as office:
        async with office.client(MODERN, None) as client:
            assert "over 1/hour" in await said(client.call_tool("wipe", {"name": "ada"}))
    assert ran == ["wipe ada"]


async def test_a_tool_that_calls_another_past_all_middleware_is_judged_as_well(guarded: Make) -> None:
    ran: list[str] = []
    server = asking_fastmcp(ran)

    @server.tool
    async def past(ctx: Context, name: str) -> str:
        return str(await ctx.fastmcp.call_tool("wipe", {"name": name}, run_middleware=False))

    rules = [doorward.ToolRule("wipe", scopes=["write"]), doorward.ToolRule("*", scopes=[])]
    with opened(guarded, "sse", how=lambda gate, _: gate.protect(server), tools=rules) as office:
        for scopes in ([], ["write"]):
            async with office.client(MODERN, None, *scopes) as client:
                answer = await said(client.call_tool("past", {"name": "ada"}))
            assert ("lacks a scope" in answer) == (scopes == [])
    assert ran == ["wipe ada"]
    assert [record["result"] for record in office.records("call", name="wipe")] == ["denied_scope", "success"]
