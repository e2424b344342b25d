"""The server of `desk`, made with fastmcp."""

from __future__ import annotations

import threading
from typing import Any

import anyio
from fastmcp import Context, FastMCP
from fastmcp.server.dependencies import get_access_token, get_http_headers
from mcp import MCPError

import toolgate


def fastmcp_tools(ran: list[str], may_end: threading.Event | None = None) -> FastMCP[Any]:
    """A server with a tool for each thing that can happen."""
    may_end = may_end or threading.Event()
    server: FastMCP[Any] = FastMCP("tools")

    @server.tool
    async def read_caller() -> dict[str, Any]:
        ran.append("read_caller")
        token, decision = get_access_token(), toolgate.current()
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
