"""A server of the official SDK before version 2: to the gate, which stands in the same process, an app like any."""

from __future__ import annotations

from interop.others.tools import add_tools, noting
from mcp.server.fastmcp import FastMCP  # type: ignore[attr-defined]  # the older SDK is in an environment of its own

import doorward

server = FastMCP("others", log_level="CRITICAL")
add_tools(server)
gate = doorward.Gate.from_file("doorward.toml")
app = gate.protect(noting(server.streamable_http_app()))
