"""Middlewares that make another call of a call, or two of one, and the places where they can stand: behind the gate of
a server of each kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
import mcp_types as types
from adapters.asked import asking_server, opened
from adapters.fastmcp_asked import asking_fastmcp
from fastmcp import FastMCP
from fastmcp.server.middleware import Middleware
from guarded import Guarded
from mcp.server import Server

import doorward

Make = Callable[..., Guarded]
Run = Callable[[dict[str, Any]], Awaitable[Any]]
Change = Callable[[Run, dict[str, Any]], Awaitable[Any]]

CONFIRMED = {"tools": [doorward.ToolRule("*wipe", scopes=["write"], limit=["3/hour"], confirm=True)]}


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


def changed(guarded: Make, place: str, change: Change, ran: list[str], **settings: Any) -> Any:
    """The server of this place behind a gate, with a middleware that changes its calls."""
    return opened(guarded, "sse", how=lambda gate, _: PLACES[place](ran, change, gate.protect), **settings)


def tool_of(place: str) -> str:
    return "shop_wipe" if "mount" in place else "wipe"


async def said(call: Any) -> str:
    """What comes back, whichever way."""
    try:
        answer = await call
    except Exception as error:
        return str(error)
    return str(answer.content[0].text) if getattr(answer, "content", None) else str(answer)
