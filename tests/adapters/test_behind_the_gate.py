"""What stands behind the gate and before what runs: a middleware that makes another call of a call, or two of one, has
each decided, whatever the server and wherever the middleware is put."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
import mcp_types as types
import pytest

pytest.importorskip("fastmcp")

from adapters.asked import YES, Human, asking_server, opened
from adapters.desk import LEGACY, MODERN
from adapters.fastmcp_asked import asking_fastmcp
from fastmcp import Context, FastMCP
from fastmcp.exceptions import AuthorizationError
from fastmcp.server.middleware import Middleware
from fastmcp.server.middleware.error_handling import RetryMiddleware
from fastmcp.tools import Tool
from fastmcp.tools.tool_transform import ArgTransform, forward
from guarded import Guarded
from mcp.server import Server
from starlette.applications import Starlette
from starlette.routing import Mount

import toolgate

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]
Run = Callable[[dict[str, Any]], Awaitable[Any]]
Change = Callable[[Run, dict[str, Any]], Awaitable[Any]]

ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])
CONFIRMED = {"tools": [toolgate.ToolRule("*wipe", scopes=["write"], limit=["3/hour"], confirm=True)]}


async def to_bob(run: Run, params: dict[str, Any]) -> Any:
    """In another message."""
    return await run({**params, "arguments": {"name": "bob"}})


async def to_bob_in_place(run: Run, params: dict[str, Any]) -> Any:
    """In the very message."""
    params["arguments"]["name"] = "bob"
    return await run(params)


async def twice(run: Run, params: dict[str, Any]) -> Any:
    """One after the other."""
    await run(params)
    return await run(params)


async def twice_at_once(run: Run, params: dict[str, Any]) -> Any:
    """Both together: neither ends the other."""
    answers: list[Any] = []
    failed: list[Exception] = []

    async def once() -> None:
        try:
            answers.append(await run(params))
        except Exception as error:
            failed.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(once)
        group.start_soon(once)
    if failed:
        raise failed[0]
    return answers[-1]


class Changing(Middleware):
    """One of fastmcp's."""

    def __init__(self, change: Change) -> None:
        self._change = change

    async def on_request(self, context: Any, call_next: Any) -> Any:
        if context.method not in ("tools/call", "resources/read", "prompts/get"):
            return await call_next(context)
        asked = context.message
        params = {field: getattr(asked, field) for field in ("name", "arguments", "uri") if hasattr(asked, field)}

        async def run(params: dict[str, Any]) -> Any:
            return await call_next(context.copy(message=context.message.model_copy(update=params)))

        return await self._change(run, params)


def of_the_sdk(change: Change) -> Any:
    """One of the official SDK's."""

    async def changing(ctx: Any, call_next: Any) -> Any:
        if ctx.method != "tools/call":
            return await call_next(ctx)

        async def run(params: dict[str, Any]) -> Any:
            return await call_next(replace(ctx, params=params))

        return await change(run, ctx.params)

    return changing


def low_level(ran: list[str], change: Change, protect: Any) -> Any:
    """Around its handlers nothing stands but its own middleware."""

    async def list_tools(_ctx: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool(name="wipe", input_schema={"type": "object"})])

    async def call_tool(_ctx: Any, params: Any) -> types.CallToolResult:
        ran.append(f"wipe {params.arguments['name']}")
        return types.CallToolResult(content=[types.TextContent(type="text", text="wiped")])

    server: Server[Any] = Server("low", on_list_tools=list_tools)
    app = protect(server)
    server.middleware.append(of_the_sdk(change))
    server.add_request_handler("tools/call", types.CallToolRequestParams, call_tool)
    return app


def of_components(ran: list[str], change: Change, protect: Any) -> Any:
    server = asking_server(ran)
    app = protect(server)
    server._lowlevel_server.middleware.append(of_the_sdk(change))
    return app


def below_fastmcp(ran: list[str], change: Change, protect: Any) -> Any:
    """Before fastmcp's own chain."""
    server = asking_fastmcp(ran)
    app = protect(server)
    server._mcp_server.middleware.append(of_the_sdk(change))
    return app


def of_fastmcp(ran: list[str], change: Change, protect: Any) -> Any:
    """Before it is protected."""
    server = asking_fastmcp(ran)
    server.add_middleware(Changing(change))
    return protect(server)


def later(ran: list[str], change: Change, protect: Any) -> Any:
    """After it was protected."""
    server = asking_fastmcp(ran)
    app = protect(server)
    server.add_middleware(Changing(change))
    return app


def with_auth(ran: list[str], change: Change, protect: Any) -> Any:
    """Where the gate is in the place of its auth."""
    server = asking_fastmcp(ran)
    gate = protect.__self__
    server.auth = gate.auth()
    server.add_middleware(gate.middleware())
    server.add_middleware(Changing(change))
    return server.http_app(path="/mcp")


def mounting(ran: list[str], change: Change, protect: Any) -> Any:
    """Before what is mounted."""
    root: FastMCP[Any] = FastMCP("root")
    root.mount(asking_fastmcp(ran), namespace="shop")
    root.add_middleware(Changing(change))
    return protect(root)


def mounted(ran: list[str], change: Change, protect: Any) -> Any:
    """In what is mounted."""
    root: FastMCP[Any] = FastMCP("root")
    inner = asking_fastmcp(ran)
    root.mount(inner, namespace="shop")
    app = protect(root)
    inner.add_middleware(Changing(change))
    return app


PLACES = {
    "low-level": low_level,
    "official SDK": of_components,
    "below fastmcp": below_fastmcp,
    "fastmcp": of_fastmcp,
    "fastmcp, later": later,
    "fastmcp with auth=": with_auth,
    "fastmcp, mounting": mounting,
    "fastmcp, mounted": mounted,
}
EVERYWHERE = pytest.mark.parametrize("place", PLACES)


def changed(guarded: Make, place: str, change: Change, ran: list[str], **settings: Any) -> Any:
    """The server of this place behind a gate, with a middleware that changes its calls."""
    return opened(guarded, "sse", how=lambda gate, _: PLACES[place](ran, change, gate.protect), **settings)


def tool_of(place: str) -> str:
    return "shop_wipe" if "mount" in place else "wipe"


@ERAS
@EVERYWHERE
@pytest.mark.parametrize("change", [to_bob, to_bob_in_place], ids=["in another message", "in place"])
async def test_a_yes_is_for_the_arguments_that_were_shown(guarded: Make, place: str, change: Change, mode: str) -> None:
    """Within a call the older protocol can ask about the others; the newer one cannot."""
    ran: list[str] = []
    human = Human(YES, YES)
    with changed(guarded, place, change, ran, **CONFIRMED) as office:
        async with office.client(mode, human, "write") as client:
            answer = await _said(client.call_tool(tool_of(place), {"name": "ada"}))
    assert ran == (["wipe bob"] if mode == LEGACY else [])
    assert ["ada" in question for question in human.questions] == ([True, False] if mode == LEGACY else [True])
    assert ("nobody can be asked" in answer) == (mode == MODERN)
    inner, outer = office.records("call")[-2:]
    assert (inner["parent_id"], inner["tool_name"]) == (outer["request_id"], outer["tool_name"])
    assert inner["arguments_hash"] == toolgate.hash_arguments({"name": "bob"})
    assert outer["arguments_hash"] == toolgate.hash_arguments({"name": "ada"})
    assert inner["reason"] == (None if mode == LEGACY else "confirmation_unavailable")


@ERAS
@EVERYWHERE
@pytest.mark.parametrize("change", [twice, twice_at_once], ids=["in turn", "at once"])
async def test_one_yes_is_one_run(guarded: Make, place: str, change: Change, mode: str) -> None:
    ran: list[str] = []
    human = Human(YES, YES)
    with changed(guarded, place, change, ran, **CONFIRMED) as office:
        async with office.client(mode, human, "write") as client:
            await _said(client.call_tool(tool_of(place), {"name": "ada"}))
    runs = 2 if mode == LEGACY else 1
    assert ran == ["wipe ada"] * runs
    assert len(human.questions) == len(office.records("confirmed")) == runs
    nested = [record for record in office.records("call") if record["reason"] == "confirmation_unavailable"]
    assert len(nested) == (0 if mode == LEGACY else 1)


@EVERYWHERE
@pytest.mark.parametrize(("limit", "runs"), [("1/hour", 1), ("2/hour", 2)])
async def test_a_call_that_runs_twice_spends_twice(guarded: Make, place: str, limit: str, runs: int) -> None:
    ran: list[str] = []
    rules = [toolgate.ToolRule("*wipe", scopes=[], limit=[limit])]
    with changed(guarded, place, twice, ran, tools=rules) as office:
        async with office.client(MODERN, None) as client:
            answer = await _said(client.call_tool(tool_of(place), {"name": "ada"}))
    assert ran == ["wipe ada"] * runs
    assert ("over 1/hour" in answer) == (runs == 1)
    inner, outer = office.records("call")
    assert (inner["parent_id"], inner["result"]) == (outer["request_id"], "success" if runs == 2 else "denied_rate")


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
            assert "nobody can be asked" in await _said(client.call_tool("wipe", {}))
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

    kinds = {"tools": toolgate.ToolRule, "resources": toolgate.ResourceRule, "prompts": toolgate.PromptRule}
    rules: dict[str, Any] = {
        key: [kind("*open", scopes=["read"]), kind("*", scopes=["write"])] for key, kind in kinds.items()
    }
    prefix = "shop_" if "mounted" in place else ""
    with opened(guarded, "sse", how=how, **rules) as office:
        for scopes in (["read"], ["read", "write"]):
            async with office.client(MODERN, None, *scopes) as client:
                if "uri" in params:
                    await _said(client.read_resource(f"data://{prefix.replace('_', '/')}open"))
                elif what == "plan":
                    await _said(client.get_prompt(f"{prefix}open"))
                else:
                    await _said(client.call_tool(f"{prefix}open", {}))
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
            assert await _said(client.call_tool("made_to_wipe", {"who": "ada"})) == "wiped ada"
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
            assert "nobody can be asked" in await _said(client.call_tool("made_to_wipe", {"name": "ada"}))
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
            assert await _said(client.call_tool("shop_wipe", {"name": "ada"})) == "wiped ada"
    assert ran == ["wipe ada"]


async def test_a_server_that_a_middleware_mounts_on_the_way_is_behind_the_gate(guarded: Make) -> None:
    ran: list[str] = []
    root: FastMCP[Any] = FastMCP("root")

    async def mounting(run: Run, params: dict[str, Any]) -> Any:
        root.mount(asking_fastmcp(ran), namespace="shop")
        return await run(params)

    root.add_middleware(Changing(mounting))
    rules = [toolgate.ToolRule("*wipe", scopes=["write"]), toolgate.ToolRule("*", scopes=[])]
    with opened(guarded, "sse", how=lambda gate, _: gate.protect(root), tools=rules) as office:
        async with office.client(MODERN, None) as client:
            assert "lacks a scope" in await _said(client.call_tool("shop_by_calling", {"name": "ada"}))
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

    rules = [toolgate.ToolRule("*wipe", scopes=[], limit=["1/hour"])]
    with opened(guarded, "sse", how=how, tools=rules) as office:
        async with office.client(MODERN, None) as client:
            assert "over 1/hour" in await _said(client.call_tool("wipe", {"name": "ada"}))
    assert ran == ["wipe ada"]


async def test_a_tool_that_calls_another_past_all_middleware_is_judged_as_well(guarded: Make) -> None:
    ran: list[str] = []
    server = asking_fastmcp(ran)

    @server.tool
    async def past(ctx: Context, name: str) -> str:
        return str(await ctx.fastmcp.call_tool("wipe", {"name": name}, run_middleware=False))

    rules = [toolgate.ToolRule("wipe", scopes=["write"]), toolgate.ToolRule("*", scopes=[])]
    with opened(guarded, "sse", how=lambda gate, _: gate.protect(server), tools=rules) as office:
        for scopes in ([], ["write"]):
            async with office.client(MODERN, None, *scopes) as client:
                answer = await _said(client.call_tool("past", {"name": "ada"}))
            assert ("lacks a scope" in answer) == (scopes == [])
    assert ran == ["wipe ada"]
    assert [record["result"] for record in office.records("call", name="wipe")] == ["denied_scope", "success"]


async def test_arguments_that_change_while_a_human_thinks_are_another_call(guarded: Make) -> None:
    ran: list[str] = []
    shared = {"name": "ada"}
    server = asking_server(ran)

    @server.tool()
    async def calling() -> str:
        return str(await server.call_tool("wipe", shared))

    class Slow(Human):
        async def __call__(self, context: Any, params: Any) -> types.ElicitResult:
            shared["name"] = "bob"
            return await super().__call__(context, params)

    human = Slow()
    rules = {"tools": [*CONFIRMED["tools"], toolgate.ToolRule("*", scopes=[])]}
    with opened(guarded, "sse", how=lambda gate, _: gate.protect(server), **rules) as office:
        async with office.client(LEGACY, human, "write") as client:
            assert "wiped bob" in await _said(client.call_tool("calling", {}))
    assert ran == ["wipe bob"]
    assert ["ada" in question for question in human.questions] == [True, False]
    assert len(office.records("confirmed")) == 2


async def test_a_call_that_nobody_changed_is_on_record_once(guarded: Make) -> None:
    async def as_it_is(run: Run, params: dict[str, Any]) -> Any:
        return await run(json.loads(json.dumps(params)))

    for place in PLACES:
        ran: list[str] = []
        with changed(
            guarded, place, as_it_is, ran, tools=[toolgate.ToolRule("*wipe", scopes=[], limit=["1/hour"])]
        ) as office:
            async with office.client(MODERN, None) as client:
                assert "wiped" in await _said(client.call_tool(tool_of(place), {"name": "ada"}))
        assert ran == ["wipe ada"]
        assert len(office.records("call")) == 1


async def _said(call: Any) -> str:
    """What comes back, whichever way."""
    try:
        answer = await call
    except Exception as error:
        return str(error)
    return str(answer.content[0].text) if getattr(answer, "content", None) else str(answer)
