"""Where a protected server may stand: under a public name, below a path of another app, in several workers, in traces
of somebody else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from adapters.desk import LEGACY, MODERN, RULES, Desk, modern, modern_headers, tools
from adapters.serving import listening, served, url_of
from guarded import Guarded, message
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from opentelemetry import trace
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from toolgate.testing import Issuer

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_a_public_name_is_served_where_the_sdk_alone_answers_421(guarded: Callable[..., Guarded]) -> None:
    headers = {"Host": "mcp.example.com", "X-Forwarded-Proto": "https", **modern_headers("read_caller")}
    with listening() as bare, listening() as gated:
        it = guarded(resource="https://mcp.example.com/mcp", tools=RULES, trusted_proxies=["127.0.0.1"])
        it.now = time.time()
        headers |= {"Authorization": f"Bearer {it.token('read')}", "Content-Type": "application/json"}
        headers["Accept"] = "application/json, text/event-stream"
        answers = []
        for app, listener in ((tools([]).streamable_http_app(), bare), (it.gate.protect(tools([])), gated)):
            with served(app, listener):
                content = modern("read_caller")
                answers.append(httpx2.post(url_of(listener), content=content, headers=headers).status_code)
    assert answers == [421, 200]


@ERAS
async def test_an_app_with_a_server_below_a_path_is_protected_as_a_whole(
    guarded: Callable[..., Guarded], mode: str
) -> None:
    """The whole app behind the gate: the metadata then stands at the root of the host, where clients look for it."""
    with listening() as listener:
        resource = url_of(listener).replace("/mcp", "/api/mcp")
        it = guarded(resource=resource, tools=RULES)
        it.now = time.time()
        server = tools([])
        app = Starlette(
            routes=[
                Route("/health", lambda _request: PlainTextResponse("well")),
                Mount("/api", server.streamable_http_app()),
            ],
            lifespan=lifespan_of(server),
        )
        with served(it.gate.protect(app), listener):
            async with Desk(it, server, []).client(mode, "read") as client:
                assert (await client.call_tool("read_caller", {})).content
            found = httpx2.get(resource.replace("/api/mcp", "/.well-known/oauth-protected-resource/api/mcp"))
            assert found.json()["resource"] == resource
            assert httpx2.get(resource.replace("/api/mcp", "/health")).status_code == 401


@ERAS
async def test_a_protected_server_may_be_mounted_below_a_path(guarded: Callable[..., Guarded], mode: str) -> None:
    """What else the app has is then its own affair; the metadata is routed beside it."""
    with listening() as listener:
        resource = url_of(listener).replace("/mcp", "/api/mcp")
        it = guarded(resource=resource, tools=RULES)
        it.now = time.time()
        server = tools([])
        protected = it.gate.protect(server)
        app = Starlette(
            routes=[
                Route("/health", lambda _request: PlainTextResponse("well")),
                Mount("/.well-known", it.gate.well_known()),
                Mount("/api", protected),
            ],
            lifespan=protected.lifespan,
        )
        with served(app, listener):
            async with Desk(it, server, []).client(mode, "read") as client:
                assert (await client.call_tool("read_caller", {})).content
                with pytest.raises(MCPError, match="lacks a scope"):
                    await client.call_tool("delete_user", {"name": "ada"})
            refused = httpx2.post(resource, content=message())
            metadata = refused.headers["www-authenticate"].partition('resource_metadata="')[2].rstrip('"')
            assert httpx2.get(metadata).json()["resource"] == resource
            assert httpx2.get(resource.replace("/api/mcp", "/health")).text == "well"


WORKERS = """
import json, os, sys
import toolgate
from mcp.server.mcpserver import MCPServer

settings = json.loads(os.environ["SETTINGS"])
server = MCPServer("workers", log_level="CRITICAL")

@server.tool()
def read_pid() -> str:
    return str(os.getpid())

gate = toolgate.Gate(
    resource=settings["resource"],
    issuers=[toolgate.Issuer(settings["issuer"], ["ES256"], settings["jwks"])],
    tools=[toolgate.ToolRule("read_*", scopes=["read"])],
    audit=toolgate.Audit(path=f"{settings['trail']}-{os.getpid()}.jsonl"),
)
app = gate.protect(server, stateless_http=True)
"""


async def test_several_workers_serve_one_client(tmp_path: Path, issuer: Issuer) -> None:
    seen: dict[str, set[str]] = {MODERN: set(), LEGACY: set()}
    with workers(tmp_path, issuer) as resource:
        token = issuer.token(audience=resource, scopes=["read"])
        for mode, pids in seen.items():
            for _ in range(30):
                # A connection each, which is what the workers share.
                async with connected(resource, token, mode) as client:
                    pids.add((await client.call_tool("read_pid", {})).content[0].text)
                if len(pids) == 2:
                    break
    assert seen[MODERN] == seen[LEGACY]
    assert len(seen[MODERN]) == 2


async def test_the_server_s_spans_are_still_its_own(
    guarded: Callable[..., Guarded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's span is outside the gate's part: a refusal of the message tier shows in it, and nothing of ours is
    added or lost."""
    told = {}
    for name in ("bare", "gate"):
        spans = Spans()
        monkeypatch.setattr("mcp.shared._otel._tracer", spans)
        with listening() as listener:
            it = guarded(resource=url_of(listener), tools=RULES)
            it.now = time.time()
            server = tools([])
            app = it.gate.protect(server) if name == "gate" else server.streamable_http_app()
            with served(app, listener):
                async with Desk(it, server, []).client(MODERN, "read") as client:
                    await client.call_tool("read_failing", {})
                    with pytest.raises(MCPError):
                        await client.call_tool("read_refusing", {})
        told[name] = [span for span in spans.ended if span[1] == trace.SpanKind.SERVER]
    assert told["gate"] == told["bare"]
    assert [name for name, *_ in told["bare"] if name.startswith("tools/call")] == [
        "tools/call read_failing",
        "tools/call read_refusing",
    ]


class Spans(trace.NoOpTracer):
    """Keeps what the SDK says of each message."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, Any, dict[str, Any], Any]] = []

    @contextmanager
    def start_as_current_span(self, name: str, *args: Any, **settings: Any) -> Iterator[Any]:
        span = Span(dict(settings.get("attributes") or {}))
        try:
            yield span
        finally:
            self.ended.append((name, settings.get("kind"), span.attributes, span.status))


class Span(trace.NonRecordingSpan):
    """One of them."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self.attributes = attributes
        self.status: Any = None

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def set_attributes(self, attributes: Any) -> None:
        self.attributes.update(attributes)

    def set_status(self, status: Any, description: str | None = None) -> None:
        self.status = (status, description)


def lifespan_of(server: MCPServer[Any]) -> Any:
    """Starlette runs no lifespan of what is mounted: the sessions are the outer app's to start."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> Any:
        async with server.session_manager.run():
            yield

    return lifespan


@asynccontextmanager
async def connected(resource: str, token: str, mode: str) -> Any:
    """The official client, on connections of its own."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(resource, http_client=http), mode=mode) as client,
    ):
        yield client


@contextmanager
def workers(folder: Path, issuer: Issuer) -> Iterator[str]:
    """Two processes of uvicorn on one port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    resource = f"http://127.0.0.1:{port}/mcp"
    (folder / "workers.py").write_text(WORKERS)
    settings = {"resource": resource, "issuer": issuer.url, "jwks": issuer.jwks(), "trail": str(folder / "audit")}
    command = [sys.executable, "-m", "uvicorn", "workers:app", "--workers", "2", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--no-proxy-headers", "--log-level", "critical", "--app-dir", str(folder)],
        env=os.environ | {"SETTINGS": json.dumps(settings)},
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx2.get(resource)
                break
            except httpx2.TransportError:
                assert process.poll() is None, "uvicorn ended"
                assert time.monotonic() < deadline, "the workers did not start"
                time.sleep(0.05)
        yield resource
    finally:
        process.terminate()
        process.wait(30)
