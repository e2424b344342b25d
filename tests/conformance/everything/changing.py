"""What clients subscribe to: lists that change, a resource that is watched, and the level of the log."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer

__all__ = ["add_to"]


def add_to(server: MCPServer[Any]) -> None:
    """The tools that announce a change, and the handlers of the older protocol."""

    @server.tool(description="Says that the tools have changed.")
    async def test_trigger_tool_change(ctx: Context[Any, Any]) -> str:
        await ctx.notify_tools_changed()
        return "announced"

    @server.tool(description="Says that the prompts have changed.")
    async def test_trigger_prompt_change(ctx: Context[Any, Any]) -> str:
        await ctx.notify_prompts_changed()
        return "announced"

    async def accept(_ctx: Any, _params: Any) -> types.EmptyResult:
        return types.EmptyResult()

    @server.completion()
    async def complete(_ref: Any, _argument: Any, _context: Any) -> types.Completion:
        return types.Completion(values=["paris"], total=1, has_more=False)

    low = server._lowlevel_server  # the SDK has no public way to these
    low.add_request_handler("logging/setLevel", types.SetLevelRequestParams, accept)
    low.add_request_handler("resources/subscribe", types.SubscribeRequestParams, accept)
    low.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, accept)
