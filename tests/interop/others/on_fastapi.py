"""A FastAPI app that serves MCP at the resource's path, and other things beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from interop.others.tools import add_tools, noting
from mcp.server.mcpserver import MCPServer

import doorward

server: MCPServer = MCPServer("others", log_level="CRITICAL")
add_tools(server)
mcp_app = server.streamable_http_app()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with server.session_manager.run():
        yield


shop = FastAPI(lifespan=lifespan)


@shop.get("/orders/{number}")
def order(number: int) -> dict[str, int]:
    return {"order": number}


shop.mount("/", mcp_app)
gate = doorward.Gate.from_file("doorward.toml")
app = gate.protect(noting(shop))
