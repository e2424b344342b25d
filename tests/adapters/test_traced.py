"""Spans over real HTTP: the server's own are still its own, every request has one of ours, and nothing secret is
in any."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import httpx2
import pytest
from adapters.desk import LEGACY, MODERN, Desk, hang_up_on, modern, modern_headers, open_session
from adapters.serving import listening, served, url_of
from adapters.test_components import calling_others, opened
from guarded import Guarded, message
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from opentelemetry.sdk.trace import ReadableSpan
from traced import Heard, attributes_of, id_of, listening_to_all, parent_of, trace_of

import doorward
from doorward.adapters.local import TOKEN_VARIABLE

pytestmark = pytest.mark.anyio

CLAIMED = f"00-{'ab' * 16}-{'cd' * 8}-01"
ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])
SERVER, CLIENT = "SERVER", "CLIENT"


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening_to_all() as it:
        yield it


def of_kind(heard: Heard, kind: str, scope: str = "mcp-python-sdk") -> list[ReadableSpan]:
    return [span for span in heard.spans(scope) if span.kind.name == kind]


async def visit(client: Client) -> None:
    """Calls that end in every way a tool can."""
    for tool in ("works", "fails", "refuses", "made_up", "read_caller", "read_failing", "read_refusing"):
        with suppress(MCPError):
            await client.call_tool(tool, {})
    await client.list_tools()


def told(spans: list[ReadableSpan]) -> list[Any]:
    """What a span says, and where it hangs, by the names of what it hangs from."""
    names = {id_of(span): f"{span.kind.name} {span.name}" for span in spans}
    return [
        (
            *(span.name, span.kind.name, span.status.status_code, span.status.description),
            *(attributes_of(span), [event.name for event in span.events], names.get(parent_of(span) or 0)),
        )
        for span in spans
    ]


@ERAS
async def test_the_server_s_own_spans_are_still_its_own(guarded: Callable[..., Guarded], mode: str) -> None:
    stories = {}
    for name in ("bare", "gate"):
        with listening_to_all() as heard, listening() as listener:
            server, headers = _plain(), {}
            app: Any = server.streamable_http_app()
            if name == "gate":
                it = guarded(resource=url_of(listener), tools=[doorward.ToolRule("*", scopes=["read"])])
                it.now = time.time()
                app = it.gate.protect(server)
                headers = {"Authorization": f"Bearer {it.token('read')}"}
            with served(app, listener):
                async with (
                    httpx2.AsyncClient(headers=headers) as http,
                    Client(streamable_http_client(url_of(listener), http_client=http), mode=mode) as client,
                ):
                    await visit(client)
            # What nobody waits for may end sooner or later.
            stories[name] = sorted(told(heard.spans("mcp-python-sdk")), key=lambda story: (story[0], story[1]))
    assert stories["gate"] == stories["bare"]
    assert any(story[-1] == "CLIENT MCP send tools/call works" for story in stories["gate"])


@ERAS
async def test_ours_stands_beside_the_server_s_in_the_client_s_trace(desk: Desk, heard: Heard, mode: str) -> None:
    async with desk.client(mode, "read") as client:
        await visit(client)
        with pytest.raises(MCPError):
            await client.call_tool("delete_user", {"name": "x"})
    sent = {id_of(span): span for span in of_kind(heard, CLIENT)}
    for span in heard.spans():
        if attributes_of(span).get("mcp.method.name", "").startswith("tools/"):
            above = sent[parent_of(span) or 0]
            assert trace_of(span) == trace_of(above)
    traces = {record["request_id"]: record["trace_id"] for record in desk.it.records()}
    assert traces == {attributes_of(span)["doorward.request_id"]: trace_of(span) for span in heard.spans()}


@ERAS
@pytest.mark.parametrize("header", [None, CLAIMED])
async def test_a_message_that_names_no_trace_is_in_that_of_its_request(
    desk: Desk, heard: Heard, mode: str, header: str | None
) -> None:
    headers = modern_headers("read_caller") if mode == MODERN else open_session(desk)
    body = modern("read_caller") if mode == MODERN else message("read_caller")
    for _ in range(2):  # a session's task was begun by another request, whose trace it must not be in
        assert desk.post(body, "read", headers=headers | ({"traceparent": header} if header else {})).status_code == 200
    ours = [span for span in heard.spans() if attributes_of(span).get("gen_ai.tool.name") == "read_caller"]
    theirs = of_kind(heard, SERVER, "fastmcp" if desk.is_fastmcp else "mcp-python-sdk")
    running = [span for span in theirs if span.name == "tools/call read_caller"]
    assert [parent_of(span) for span in running] == [id_of(span) for span in ours]
    assert [trace_of(span) == "ab" * 16 for span in ours] == [header is not None] * 2
    assert len({id_of(span) for span in ours}) == 2


async def test_a_span_ends_with_its_tool_and_not_with_its_client(desk: Desk, heard: Heard) -> None:
    session = open_session(desk)
    hang_up_on(desk, message("read_slowly"), session)
    with_tool = [span for span in heard.spans() if "gen_ai.tool.name" in attributes_of(span)]
    assert with_tool == []
    desk.may_end.set()
    with anyio.fail_after(10):
        while not with_tool:
            await anyio.sleep(0.02)
            with_tool = [span for span in heard.spans() if "gen_ai.tool.name" in attributes_of(span)]
    (record,) = desk.calls(1)
    assert attributes_of(with_tool[0]).get("doorward.disconnected", False) is record["disconnected"]
    assert record["trace_id"] == trace_of(with_tool[0])


async def test_a_stream_has_a_span_of_its_own(desk: Desk, heard: Heard) -> None:
    common = {"Accept": "text/event-stream", "Authorization": f"Bearer {desk.it.token('read')}"}
    headers = common | open_session(desk) | {"traceparent": CLAIMED}
    with httpx2.stream("GET", desk.gate.resource, headers=headers) as answer:
        assert answer.status_code == 200
    with anyio.fail_after(10):
        while not (streams := [span for span in heard.spans() if span.name == "doorward"]):
            await anyio.sleep(0.02)
    assert trace_of(streams[0]) == "ab" * 16


@ERAS
async def test_a_call_that_another_led_to_hangs_from_what_made_it(
    guarded: Callable[..., Guarded], heard: Heard, mode: str
) -> None:
    with opened(guarded, calling_others([]), []) as desk:
        async with desk.client(mode, "read", "write") as client:
            await client.call_tool("read_by_calling", {})
    spans = {attributes_of(span).get("gen_ai.tool.name"): span for span in heard.spans()}
    outer, inner = spans["read_by_calling"], spans["delete_user"]
    (running,) = [span for span in of_kind(heard, SERVER) if span.name == "tools/call read_by_calling"]
    assert parent_of(inner) == id_of(running)
    assert trace_of(inner) == trace_of(outer)
    assert attributes_of(inner)["doorward.parent_id"] == attributes_of(outer)["doorward.request_id"]


@ERAS
async def test_a_message_without_http_hangs_from_the_server_s_span(
    guarded: Callable[..., Guarded], heard: Heard, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = guarded(tools=[doorward.ToolRule("works", scopes=["read"])])
    it.now = time.time()
    monkeypatch.setenv(TOKEN_VARIABLE, it.token("read"))
    async with Client(it.gate.protect_stdio(_plain()), mode=mode) as client:
        await client.call_tool("works", {})
        with pytest.raises(MCPError):
            await client.call_tool("fails", {})
    servers = {id_of(span): span.name for span in of_kind(heard, SERVER)}
    calls = [span for span in heard.spans() if attributes_of(span)["mcp.method.name"] == "tools/call"]
    assert [servers[parent_of(span) or 0] for span in calls] == ["tools/call works", "tools/call fails"]
    assert [attributes_of(span)["doorward.transport"] for span in calls] == ["stdio", "stdio"]


async def test_nothing_secret_is_in_a_span_or_a_metric(desk: Desk, heard: Heard) -> None:
    canary = "canary-7f3a"
    good = desk.it.token("read", canary=canary, email=canary)
    common = {"Authorization": f"Bearer {good}", "X-Canary": canary, "Cookie": canary}
    common |= {"tracestate": f"a={canary}", "baggage": f"a={canary}", "traceparent": f"00-{canary}-01"}

    def post(body: bytes, headers: dict[str, str]) -> None:
        httpx2.post(f"{desk.gate.resource}?x={canary}", content=body, headers=common | headers)

    for tool in ("read_caller", "delete_user", "made_up", "read_failing"):
        body = json.loads(modern(tool, name=canary, canary=canary))
        body["params"]["_meta"] |= {"traceparent": canary, "tracestate": f"a={canary}", "canary": canary}
        post(json.dumps(body).encode(), modern_headers(tool))
    uri = json.dumps({"jsonrpc": "2.0", "id": canary, "method": "resources/read", "params": {"uri": f"x://{canary}"}})
    post(uri.encode(), modern_headers("x"))
    post(json.dumps({"jsonrpc": "2.0", "id": 1, "method": canary}).encode(), {})
    post(canary.encode(), {})
    post(modern("read_caller"), modern_headers("read_caller") | {"Authorization": f"Bearer {good[:-6]}AAAAAA"})
    ours = "\n".join([*(span.to_json() for span in heard.spans()), heard.metrics_as_text()])
    assert len(heard.spans()) >= 8
    for secret in (canary, good, good.rpartition(".")[2]):
        assert secret not in ours


def _plain() -> MCPServer[Any]:
    """Tools that ask nothing of a gate."""
    server: MCPServer[Any] = MCPServer("plain", log_level="CRITICAL")

    @server.tool()
    async def works() -> str:
        return "yes"

    @server.tool()
    async def fails() -> str:
        raise ValueError("this tool fails")

    @server.tool()
    async def refuses() -> str:
        raise MCPError(-32050, "this tool refuses")

    return server
