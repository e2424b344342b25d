"""What each of these servers offers, in the words of whichever Python SDK is there; and what came to it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

try:
    from mcp.server.mcpserver import Context
except ImportError:  # before version 2
    from mcp.server.fastmcp import Context  # type: ignore[attr-defined,no-redef]  # as the newer SDK has it elsewhere

__all__ = ["add_tools", "noting"]


def add_tools(server: Any) -> None:
    """The tools of `upstream.mjs`, name by name."""

    @server.tool()
    def read_order() -> str:
        return _ran("read_order")

    @server.tool()
    async def read_slowly(ctx: Context) -> str:
        await ctx.report_progress(1, 2)
        while not await anyio.Path("may_end").exists():
            await anyio.sleep(0.01)
        return _ran("read_slowly")

    @server.tool()
    def read_failing() -> str:
        _ran("read_failing")
        raise ValueError("this tool fails")

    @server.tool()
    def delete_order() -> str:
        return _ran("delete_order")

    @server.tool()
    def limited() -> str:
        return _ran("limited")


def noting(app: Callable[[Any, Any, Any], Awaitable[None]]) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """The app, with a line in ``headers.jsonl`` for each request that comes to it: the names of its headers."""

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            _note("headers.jsonl", json.dumps(sorted(name.decode() for name, _ in scope["headers"])))
        await app(scope, receive, send)

    return noted


def _ran(tool: str) -> str:
    _note("ran", tool)
    return tool


def _note(file: str, line: str) -> None:
    with Path(file).open("a") as notes:
        print(line, file=notes)
