"""A tool that reports an error, and one that raises an exception by mistake: two results in the record, since the first
is for the product's owner and the second for operators."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from adapters.desk import LEGACY, MODERN, RULES
from adapters.test_stdio import below, written
from guarded import Guarded
from mcp import Client, MCPError
from mcp.server import Server
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, TextContent
from packaging.version import Version

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]

ORDERS: dict[str, str] = {}

OUTCOMES = {
    "read_order": ("success", None),
    "read_declining": ("tool_error", None),
    "read_declining_because": ("tool_error", None),
    "read_answering_an_error": ("tool_error", None),
    "read_breaking": ("tool_failure", None),
    "read_timing_out": ("tool_failure", None),
    "read_of_a_wrong_type": ("tool_failure", None),
    "read_not_there": ("tool_error", None),
}
"""What the record says of a call of each tool."""


def add_tools(tool: Any, tool_error: type[Exception]) -> None:
    @tool
    async def read_order() -> str:
        return "an order"

    @tool
    async def read_declining() -> str:
        raise tool_error("there is no such order")

    @tool
    async def read_declining_because() -> str:
        try:
            return ORDERS["order"]
        except KeyError as error:
            raise tool_error("there is no such order") from error

    @tool
    async def read_answering_an_error() -> CallToolResult:
        return CallToolResult(content=[TextContent(type="text", text="there is no such order")], is_error=True)

    @tool
    async def read_breaking() -> str:
        return ORDERS["order"]

    @tool
    async def read_timing_out() -> str:
        raise TimeoutError

    @tool
    async def read_of_a_wrong_type() -> int:
        return "seven"  # type: ignore[return-value]


def mcp_server() -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("shop")
    add_tools(server.tool(), ToolError)
    return server


def fastmcp_server() -> Any:
    fastmcp = pytest.importorskip("fastmcp")
    from fastmcp.exceptions import ToolError as FastMCPToolError

    server = fastmcp.FastMCP("shop")
    add_tools(server.tool, FastMCPToolError)
    return server


async def outcomes(it: Guarded, server: Any, tools: Any, token: Path, mode: str) -> dict[str, tuple[str, str | None]]:
    """What the records say of one call of each of the tools."""
    protected = it.gate.protect_stdio(server, token_file=token)
    async with Client(below(protected), mode=mode) as client:
        for tool in tools:
            try:
                await client.call_tool(tool, {})
            except (MCPError, RuntimeError):  # the client checks what is returned against the tool's schema
                continue
    calls = [record for record in it.records() if record["method"] == "tools/call"]
    return {record["tool_name"]: (record["result"], record["reason"]) for record in calls}


@pytest.fixture
def it(guarded: Make) -> Guarded:
    made = guarded(tools=RULES)
    made.now = time.time()
    return made


@pytest.fixture
def token(it: Guarded, tmp_path: Path) -> Path:
    return written(tmp_path / "token", it.token("read"))


@pytest.mark.parametrize("mode", [MODERN, LEGACY])
async def test_of_the_official_sdk(it: Guarded, token: Path, mode: str) -> None:
    assert await outcomes(it, mcp_server(), OUTCOMES, token, mode) == OUTCOMES


@pytest.mark.parametrize("mode", [MODERN, LEGACY])
async def test_of_fastmcp(it: Guarded, token: Path, mode: str) -> None:
    # fastmcp before 4.2 does not check the type of what a tool returns.
    is_checked = Version(version("fastmcp")) >= Version("4.2")
    expected = OUTCOMES if is_checked else {**OUTCOMES, "read_of_a_wrong_type": ("success", None)}
    assert await outcomes(it, fastmcp_server(), OUTCOMES, token, mode) == expected


async def test_of_a_low_level_server(it: Guarded, token: Path) -> None:
    async def call(ctx: Any, params: Any) -> CallToolResult:
        if params.name == "read_breaking":
            raise KeyError("order")
        return CallToolResult(content=[], is_error=params.name == "read_declining")

    server: Server[Any] = Server("shop", on_call_tool=call)
    assert await outcomes(it, server, ["read_order", "read_declining", "read_breaking"], token, MODERN) == {
        "read_order": ("success", None),
        "read_declining": ("tool_error", None),
        "read_breaking": ("error", "exception"),
    }
