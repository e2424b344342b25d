"""Tools and a prompt that ask the client something by `input_required` (2026-07-28), as a table of rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer

__all__ = ["add_to"]

Questions = Mapping[str, types.InputRequest]


def _ask(message: str, member: str, kind: str = "string") -> types.ElicitRequest:
    schema = {"type": "object", "properties": {member: {"type": kind}}, "required": [member]}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(text: str) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=100))


@dataclass(frozen=True)
class Asking:
    """What a tool asks, round by round, and what it says at the end."""

    rounds: Sequence[Questions]
    says: str = "done: {answers}"
    keeps_state: bool = True


_NAME: Final[Questions] = {"user_name": _ask("What is your name?", "name")}
_ROOTS: Final[Questions] = {"client_roots": types.ListRootsRequest()}
_CONFIRM: Final[Questions] = {"confirm": _ask("Please confirm", "ok", "boolean")}

_TOOLS: Final = {
    "elicitation": Asking([_NAME], "Hello, {answers}!", keeps_state=False),
    "sampling": Asking([{"capital_question": _sample("What is the capital of France?")}], keeps_state=False),
    "list_roots": Asking([_ROOTS], keeps_state=False),
    "request_state": Asking([_CONFIRM], "state-ok: {answers}"),
    "tampered_state": Asking([_CONFIRM], "state-ok: {answers}"),
    "multiple_inputs": Asking([{**_NAME, "greeting": _sample("Generate a greeting"), **_ROOTS}]),
    "multi_round": Asking(
        [
            {"step1": _ask("Step 1: What is your name?", "name")},
            {"step2": _ask("Step 2: What is your favorite color?", "color")},
        ]
    ),
}


def add_to(server: MCPServer[Any]) -> None:
    """The tools and the prompt, by the names that the scenarios use."""
    for name, asking in _TOOLS.items():
        server.tool(name=f"test_input_required_result_{name}", description=f"Asks: {name}.")(_tool(asking))

    @server.tool(description="Asks only what the client can answer.")
    def test_input_required_result_capabilities(ctx: Context[Any, Any]) -> types.InputRequiredResult:
        known = ctx.client_capabilities
        questions: dict[str, types.InputRequest] = {}
        if known is None or known.sampling is not None:
            questions["sample"] = _sample("Say hello")
        if known is None or known.elicitation is not None:
            questions.update(_NAME)
        return types.InputRequiredResult(input_requests=questions, request_state="asked")

    @server.tool(description="Asks in the course of a streamed answer.")
    async def test_streaming_elicitation(ctx: Context[Any, Any]) -> str | types.InputRequiredResult:
        await ctx.report_progress(1, 2)
        return _next(ctx, Asking([_NAME]))

    @server.prompt(description="Asks what the prompt is about.")
    def test_input_required_result_prompt(ctx: Context[Any, Any]) -> str | types.InputRequiredResult:
        return _next(ctx, Asking([{"user_context": _ask("What context should the prompt use?", "context")}]))


def _tool(asking: Asking) -> Callable[[Context[Any, Any]], str | types.InputRequiredResult]:
    def ask(ctx: Context[Any, Any]) -> str | types.InputRequiredResult:
        return _next(ctx, asking)

    return ask


def _next(ctx: Context[Any, Any], asking: Asking) -> str | types.InputRequiredResult:
    """The next round's questions, the same once more where answers are missing, or what is said at the end."""
    answers = ctx.input_responses or {}
    current = int(ctx.request_state or 0)
    if answers and asking.rounds[current].keys() <= answers.keys():
        current += 1
        if current == len(asking.rounds):
            return asking.says.format(answers=", ".join(map(_said, answers.values())))
    state = str(current) if asking.keeps_state else None
    return types.InputRequiredResult(input_requests=dict(asking.rounds[current]), request_state=state)


def _said(answer: object) -> str:
    if isinstance(answer, types.ElicitResult):
        return ", ".join(str(value) for value in (answer.content or {}).values())
    if isinstance(answer, types.CreateMessageResult):
        return getattr(answer.content, "text", "?")
    return f"{len(answer.roots)} roots" if isinstance(answer, types.ListRootsResult) else "?"
