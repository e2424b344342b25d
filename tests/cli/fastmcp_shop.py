"""The same with fastmcp: a server with one mounted in it, and a tool that asks for a scope of its own."""

from __future__ import annotations

from typing import Any

from fastmcp import FastMCP
from fastmcp.server.auth import require_scopes

import doorward

cellar: FastMCP[Any] = FastMCP("cellar")
mcp: FastMCP[Any] = FastMCP("fast shop")


@cellar.tool(annotations={"readOnlyHint": True})
def look() -> str:
    raise AssertionError("a tool ran")


@mcp.tool(auth=require_scopes("anything"))
def hidden() -> str:
    raise AssertionError("a tool ran")


mcp.mount(cellar, "cellar")
gate = doorward.Gate.from_file("doorward.toml")
app = gate.protect(mcp)
