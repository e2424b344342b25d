"""The server of `asked`, made with fastmcp."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from adapters.asked import next_round
from fastmcp import Context, FastMCP


def asking_fastmcp(ran: list[str]) -> FastMCP[Any]:
    """A server that says what ran."""
    server: FastMCP[Any] = FastMCP("asked")

    @server.tool
    async def wipe(name: str, confirmed: bool = False) -> str:
        ran.append(f"wipe {name}")
        return f"wiped {name}"

    @server.tool
    async def watched() -> str:
        ran.append("watched")
        return "watched"

    @server.tool
    async def register(ctx: Context) -> str | types.InputRequiredResult:
        return next_round(ran, ctx.request_state, ctx.input_responses)

    @server.tool
    async def count(number: Any) -> str:
        ran.append(f"count {number!r}")
        return "counted"

    @server.tool
    async def by_calling(ctx: Context, name: str) -> str:
        return str((await ctx.fastmcp.call_tool("wipe", {"name": name})).content[0].text)

    @server.resource("data://secret")
    async def secret() -> str:
        ran.append("secret")
        return "a secret"

    @server.prompt
    async def plan() -> str:
        ran.append("plan")
        return "a plan"

    return server
