"""A server behind a gate, its clients, and what happened."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from guarded import Guarded, message
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import Context, MCPServer

import doorward

MODERN, LEGACY = "2026-07-28", "legacy"
RULES = [
    doorward.ToolRule("read_*", scopes=["read"]),
    doorward.ToolRule("delete_*", scopes=["write"]),
    doorward.ToolRule("limited", scopes=[], limit=["1/hour"]),
]


def tools(ran: list[str], may_end: threading.Event | None = None) -> MCPServer[Any]:
    """A server with a tool for each thing that can happen."""
    may_end = may_end or threading.Event()
    server: MCPServer[Any] = MCPServer("tools", log_level="CRITICAL")

    @server.tool()
    async def read_caller(ctx: Context[Any, Any]) -> dict[str, Any]:
        ran.append("read_caller")
        token, decision = get_access_token(), doorward.current()
        assert token is not None
        assert decision is not None
        assert ctx.request_context.request is not None
        return {
            "client": token.client_id,
            "subject": token.subject,
            "scopes": token.scopes,
            "token": token.token,
            "request_id": decision.request_id,
            "authorization": ctx.request_context.request.headers.get("authorization"),
        }

    @server.tool()
    async def read_slowly(ctx: Context[Any, Any]) -> str:
        ran.append("read_slowly")
        await ctx.report_progress(1, 2)
        while not may_end.is_set():
            await anyio.sleep(0.01)
        ran.append("read_slowly ended")
        return "done"

    @server.tool()
    async def read_failing() -> str:
        raise ValueError("this tool fails")

    @server.tool()
    async def read_refusing() -> str:
        raise MCPError(-32050, "this tool refuses")

    @server.tool()
    async def delete_user(name: str) -> str:
        ran.append(f"delete_user {name}")
        return "deleted"

    @server.tool()
    async def limited() -> str:
        return "once"

    return server


class Desk:
    """The server of one test, its gate, and what ran."""

    def __init__(self, it: Guarded, server: Any, ran: list[str], may_end: threading.Event | None = None) -> None:
        self.it = it
        self.gate = it.gate
        self.server = server
        self.ran = ran
        self.may_end = may_end or threading.Event()
        self.server_sends_json = False
        self.is_fastmcp = False

    @asynccontextmanager
    async def client(self, mode: str, *scopes: str, **claims: Any) -> Any:
        """The official client with a token."""
        async with connected(self.gate.resource, self.it.token(*scopes, **claims), mode) as client:
            yield client

    def post(
        self, body: bytes, *scopes: str, headers: dict[str, str] | None = None, timeout: float = 10, **claims: Any
    ) -> httpx2.Response:
        """A POST by hand."""
        common = {
            "Authorization": f"Bearer {self.it.token(*scopes, **claims)}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        return httpx2.post(self.gate.resource, content=body, headers=common | (headers or {}), timeout=timeout)

    def calls(self, count: int = 0) -> list[dict[str, Any]]:
        """The records of tool calls, once there are that many."""
        deadline = time.monotonic() + 5
        while True:
            calls = [record for record in self.it.records() if record["method"] == "tools/call"]
            if len(calls) >= count or time.monotonic() > deadline:
                return calls
            time.sleep(0.01)


@asynccontextmanager
async def connected(resource: str, token: str, mode: str) -> Any:
    """The official client, on connections of its own."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(resource, http_client=http), mode=mode) as client,
    ):
        yield client


def text_of(result: Any) -> str:
    """What a tool said."""
    return str(result.content[0].text)


def hang_up_on(desk: Desk, body: bytes, headers: dict[str, str]) -> None:
    """Call a tool that waits, and go away once it runs."""
    address = urlsplit(desk.gate.resource)
    head = {
        "Host": address.netloc,
        "Authorization": f"Bearer {desk.it.token('read')}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Content-Length": str(len(body)),
    }
    lines = [f"POST {address.path} HTTP/1.1", *(f"{name}: {value}" for name, value in (head | headers).items())]
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        deadline = time.monotonic() + 10
        while "read_slowly" not in desk.ran:
            assert time.monotonic() < deadline, "the tool did not start"
            time.sleep(0.01)
    time.sleep(0.2)  # the server sees the end of the connection when its loop comes round


def open_session(desk: Desk) -> dict[str, str]:
    """The headers of a session of the older era, opened by hand."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    opened = desk.post(json.dumps(hello).encode(), "read")
    return {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}


def modern(tool: str, **arguments: Any) -> bytes:
    """A tool call of the newer era, by hand."""
    body = json.loads(message(tool, **arguments))
    prefix = "io.modelcontextprotocol"
    body["params"]["_meta"] = {f"{prefix}/protocolVersion": MODERN, f"{prefix}/clientCapabilities": {}}
    return json.dumps(body).encode()


def modern_headers(tool: str) -> dict[str, str]:
    """The headers that belong to it."""
    return {
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }


def opening(desk: Desk, how: str) -> tuple[str, dict[str, str], bytes]:
    """The method, headers and body of a stream that carries no call."""
    if how == "GET":
        return "GET", open_session(desk) | {"Accept": "text/event-stream"}, b""
    if desk.is_fastmcp:
        pytest.skip("fastmcp serves no subscriptions")
    body = json.loads(modern("any"))
    body["method"] = "subscriptions/listen"
    body["params"] = {"_meta": body["params"]["_meta"], "notifications": {"toolsListChanged": True}}
    headers = modern_headers("any") | {"Mcp-Method": "subscriptions/listen"}
    del headers["Mcp-Name"]
    return "POST", headers, json.dumps(body).encode()


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, not for ever."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
