"""Tools that reach the client while they run: progress, log messages, sampling, elicitation, a dropped stream."""

from __future__ import annotations

from typing import Any, Final, Literal

import anyio
import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel, Field

__all__ = ["add_to"]

_PAUSE: Final = 0.05
"""Seconds, which the scenarios ask for between two notifications."""


class _Answer(BaseModel):
    response: str = Field(description="User's response")


class _Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


def _titled(*names: str) -> list[dict[str, str]]:
    return [{"const": name, "title": name.title()} for name in names]


_CHOICES: Final[dict[str, Any]] = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {"type": "string", "oneOf": _titled("value1", "value2", "value3")},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    "titledMulti": {"type": "array", "items": {"anyOf": _titled("value1", "value2", "value3")}},
}


def add_to(server: MCPServer[Any]) -> None:
    """The tools, by the names that the scenarios use."""

    @server.tool(description="Reports progress three times.")
    async def test_tool_with_progress(ctx: Context[Any, Any]) -> str:
        for progress in (0, 50, 100):
            await ctx.report_progress(progress, 100)
            await anyio.sleep(_PAUSE)
        return "all of it"

    @server.tool(description="Logs three messages.")
    async def test_tool_with_logging(ctx: Context[Any, Any]) -> str:
        for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await _log(ctx, message)
            await anyio.sleep(_PAUSE)
        return "logged"

    @server.tool(description="Logs one message.")
    async def test_logging_tool(ctx: Context[Any, Any]) -> str:
        await _log(ctx, "a message")
        return "logged"

    @server.tool(description="Asks the client's model.")
    async def test_sampling(prompt: str, ctx: Context[Any, Any]) -> str:
        message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
        answer = await ctx.session.create_message(messages=[message], max_tokens=100, related_request_id=ctx.request_id)
        return f"LLM response: {getattr(answer.content, 'text', '?')}"

    @server.tool(description="Asks the user.")
    async def test_elicitation(message: str, ctx: Context[Any, Any]) -> str:
        return _told("User response", await ctx.elicit(message, schema=_Answer))

    @server.tool(description="Asks the user and suggests the answers.")
    async def test_elicitation_sep1034_defaults(ctx: Context[Any, Any]) -> str:
        return _told("Elicitation completed", await ctx.elicit("Who are you?", schema=_Defaults))

    @server.tool(description="Asks the user to choose.")
    async def test_elicitation_sep1330_enums(ctx: Context[Any, Any]) -> str:
        schema = {"type": "object", "properties": _CHOICES, "required": []}
        answer = await ctx.session.elicit_form("Which?", schema, related_request_id=ctx.request_id)
        return f"Elicitation completed: action={answer.action}, content={answer.content}"

    @server.tool(description="Drops its own stream, so that the client has to come back for the answer.")
    async def test_reconnection(ctx: Context[Any, Any]) -> str:
        await ctx.close_sse_stream()
        await anyio.sleep(4 * _PAUSE)
        return "Reconnection test completed"


async def _log(ctx: Context[Any, Any], message: str) -> None:
    await ctx.info(message)


def _told(what: str, answer: Any) -> str:
    content = answer.data.model_dump_json() if answer.action == "accept" else "{}"
    return f"{what}: action={answer.action}, content={content}"
