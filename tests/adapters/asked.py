"""Servers of each kind whose calls wait for a human, the human, and the official client between them."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import mcp_types as types
from adapters.desk import MODERN, modern_headers
from adapters.serving import listening, served, url_of
from guarded import Guarded
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer

import doorward

RULES: dict[str, Any] = {
    "tools": [
        doorward.ToolRule("wipe", scopes=["write"], limit=["2/hour"], confirm=True),
        doorward.ToolRule("watched", scopes=[], confirm=True, mode="observe"),
        doorward.ToolRule("register", scopes=[], confirm=True),
        doorward.ToolRule("count", scopes=[], confirm=True),
        doorward.ToolRule("*", scopes=[]),
    ],
    "resources": [doorward.ResourceRule("data://*", scopes=[], confirm=True)],
    "prompts": [doorward.PromptRule("*", scopes=[], confirm=True)],
}

YES = types.ElicitResult(action="accept", content={"confirm": "yes"})
NO = types.ElicitResult(action="decline")


def hurried(**given: Any) -> doorward.Confirmation:
    """Questions that stand for a moment: the ten seconds that are the least are too long for a test."""
    made = doorward.Confirmation(**given)
    object.__setattr__(made, "lifetime", 0.5)
    return made


class Human:
    """Whoever sits before the client: what they were asked, and what they say."""

    def __init__(self, *answers: types.ElicitResult, otherwise: types.ElicitResult = YES) -> None:
        self.questions: list[str] = []
        self._answers = list(answers)
        self._otherwise = otherwise

    async def __call__(self, context: Any, params: Any) -> types.ElicitResult:
        self.questions.append(params.message)
        return self._answers.pop(0) if self._answers else self._otherwise


class Office:
    """A server behind a gate, and what ran."""

    def __init__(self, it: Guarded, ran: list[str], url: str) -> None:
        self.url = url
        """Where it listens, which is not its resource where several workers serve one."""
        self.it = it
        self.gate = it.gate
        self.ran = ran

    @asynccontextmanager
    async def client(self, mode: str, human: Any, *scopes: str, **claims: Any) -> AsyncIterator[Client]:
        """The official client; without a human it declares no elicitation."""
        headers = {"Authorization": f"Bearer {self.it.token(*scopes, **claims)}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=10) as http,
            Client(
                streamable_http_client(self.gate.resource, http_client=http), mode=mode, elicitation_callback=human
            ) as client,
        ):
            yield client

    def records(self, *events: str, name: str | None = None) -> list[dict[str, Any]]:
        """What is on record of these events, about calls of that name."""
        return [record for record in events_of(self.it, *events) if name is None or record["tool_name"] == name]


def events_of(it: Guarded, *events: str) -> list[dict[str, Any]]:
    """The lines of these events in the audit trail, of governed calls alone."""
    found = it.lines() if events else it.records()
    return [line for line in found if line["rule"] is not None and (not events or line["event"] in events)]


@contextmanager
def opened(
    guarded: Callable[..., Guarded], kind: str, *, how: Callable[[Any, Any], Any] | None = None, **settings: Any
) -> Iterator[Office]:
    """A server of this kind - ``sse``, ``json`` or ``fastmcp`` - behind a gate."""
    ran: list[str] = []
    with listening() as listener:
        it = guarded(**({"resource": url_of(listener)} | RULES | settings))
        it.now = time.time()
        options = {"json_response": True} if kind == "json" else {}
        server = server_of(kind, ran)
        with served(how(it.gate, server) if how else it.gate.protect(server, **options), listener):
            yield Office(it, ran, url_of(listener))


def server_of(kind: str, ran: list[str]) -> Any:
    """A server that says what ran."""
    if kind == "fastmcp":
        from adapters.fastmcp_asked import asking_fastmcp

        return asking_fastmcp(ran)
    return asking_server(ran)


def asking_server(ran: list[str]) -> MCPServer[Any]:
    """Of the official SDK."""
    server: MCPServer[Any] = MCPServer("asked", log_level="CRITICAL")

    @server.tool()
    async def wipe(name: str, confirmed: bool = False) -> str:
        ran.append(f"wipe {name}")
        return f"wiped {name}"

    @server.tool()
    async def watched() -> str:
        ran.append("watched")
        return "watched"

    @server.tool()
    async def register(ctx: Context[Any, Any]) -> str | types.InputRequiredResult:
        return next_round(ran, ctx.request_state, ctx.input_responses)

    @server.tool()
    async def count(number: Any) -> str:
        ran.append(f"count {number!r}")
        return "counted"

    @server.tool()
    async def by_calling(name: str) -> str:
        result = await server.call_tool("wipe", {"name": name})
        return str(result)

    @server.resource("data://secret")
    async def secret() -> str:
        ran.append("secret")
        return "a secret"

    @server.prompt()
    async def plan() -> str:
        ran.append("plan")
        return "a plan"

    return server


def next_round(ran: list[str], state: str | None, answers: Any) -> str | types.InputRequiredResult:
    """A tool that asks twice itself, and writes down what it sees of the message each time."""
    seen: dict[str, Any] = {key: getattr(answer, "content", None) for key, answer in (answers or {}).items()}
    ran.append(f"register {state} {seen}")
    if state == "second":
        return f"registered {seen['it']['value']}"
    schema = {"type": "object", "properties": {"value": {"type": "string"}}, "required": ["value"]}
    form = types.ElicitRequestFormParams(message=f"the tool's own, after {state}", requested_schema=schema)
    return types.InputRequiredResult(
        input_requests={"it": types.ElicitRequest(params=form)}, request_state="second" if state else "first"
    )


def posted(
    office: Office, tool: str, arguments: dict[str, Any], *scopes: str, state: str | None = None, **more: Any
) -> httpx2.Response:
    """One call of the newer protocol, by hand. ``answers`` is ``inputResponses``, ``forms`` whether the client can
    ask, ``session`` headers of a session, ``meta`` more of it, ``raw`` a text of the body and what is sent instead;
    what else there is are claims."""
    answers, forms = more.pop("answers", None), more.pop("forms", True)
    meta = {f"{_PREFIX}/protocolVersion": MODERN, f"{_PREFIX}/clientCapabilities": {"elicitation": {}} if forms else {}}
    meta |= more.pop("meta", {})
    raw = more.pop("raw", ("", ""))
    params: dict[str, Any] = {"name": tool, "arguments": arguments, "_meta": meta}
    if state is not None:
        params["requestState"] = state
    if answers is not None:
        params["inputResponses"] = answers
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        **modern_headers(tool),
        **more.pop("session", {}),
        "Authorization": f"Bearer {office.it.token(*scopes, **more)}",
    }
    text = json.dumps(body).replace(*raw)
    return httpx2.post(office.url, content=text, headers=headers | {"Content-Type": "application/json"}, timeout=10)


_PREFIX = "io.modelcontextprotocol"
