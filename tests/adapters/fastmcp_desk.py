"""Servers made with fastmcp: that of `desk`, and one whose tools call what is not theirs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from adapters.desk import RULES, Desk, text_of
from adapters.serving import listening, served, url_of
from fastmcp import Context, FastMCP
from fastmcp.server.dependencies import get_access_token, get_http_headers
from guarded import Guarded
from mcp import MCPError

import doorward

Make = Callable[..., Guarded]

CALL_DELETE = {"name": "delete_user", "arguments": {"name": "ada"}}
"""For a tool that calls whatever it is told to."""


def fastmcp_tools(ran: list[str], may_end: threading.Event | None = None) -> FastMCP[Any]:
    """A server with a tool for each thing that can happen."""
    may_end = may_end or threading.Event()
    server: FastMCP[Any] = FastMCP("tools")

    @server.tool
    async def read_caller() -> dict[str, Any]:
        ran.append("read_caller")
        token, decision = get_access_token(), doorward.current()
        assert token is not None
        assert decision is not None
        return {
            "client": token.client_id,
            "subject": token.subject,
            "scopes": token.scopes,
            "token": token.token,
            "request_id": decision.request_id,
            "authorization": get_http_headers(include_all=True).get("authorization"),
        }

    @server.tool
    async def read_slowly(ctx: Context) -> str:
        ran.append("read_slowly")
        await ctx.report_progress(1, 2)
        while not may_end.is_set():
            await anyio.sleep(0.01)
        ran.append("read_slowly ended")
        return "done"

    @server.tool
    async def read_failing() -> str:
        raise ValueError("this tool fails")

    @server.tool
    async def read_refusing() -> str:
        raise MCPError(-32050, "this tool refuses")

    @server.tool
    async def delete_user(name: str) -> str:
        ran.append(f"delete_user {name}")
        return "deleted"

    @server.tool
    async def limited() -> str:
        return "once"

    return server


@contextmanager
def opened(guarded: Make, server: FastMCP[Any], ran: list[str], *, how: str = "protect", **more: Any) -> Iterator[Desk]:
    """The server, served behind a gate, or by itself with the gate in the place of its auth."""
    with listening() as listener:
        settings = {"tools": RULES, "resources": [doorward.ResourceRule("data://*", scopes=["write"])]} | more
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
        return text_of(await ctx.fastmcp.call_tool(name, arguments))

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
