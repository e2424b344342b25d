"""The server that the official conformance suite asks for: every tool, resource and prompt its scenarios name, by the
official SDK. No package has it, so it is written from what the scenarios need."""

from __future__ import annotations

from typing import Any

from conformance.everything import answering, asking, calling_back, changing, resources_and_prompts
from mcp.server.mcpserver import MCPServer

__all__ = ["everything"]


def everything() -> MCPServer[Any]:
    """A new one, with nothing in common with another but its code."""
    server: MCPServer[Any] = MCPServer("everything", version="1.0.0", log_level="CRITICAL")
    for part in (answering, asking, calling_back, changing, resources_and_prompts):
        part.add_to(server)
    return server
