"""A protected server below a path of another app, and an app with a server in it behind the gate."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from adapters.desk import LEGACY, MODERN, RULES, Desk, modern, modern_headers, tools
from adapters.serving import listening, served, url_of
from guarded import Guarded, message
from mcp import Client, ClientSession, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

import doorward

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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


async def test_it_may_stand_behind_middleware_that_waits_for_the_body_in_a_task_group(
    guarded: Callable[..., Guarded],
) -> None:
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES)
        it.now = time.time()
        server = tools([])
        protected = it.gate.protect(server)
        app = Starlette(routes=[Mount("/", protected)], lifespan=protected.lifespan)

        async def passed_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
            return await call_next(request)

        app.add_middleware(BaseHTTPMiddleware, dispatch=passed_on)
        with served(app, listener):
            async with Desk(it, server, []).client(MODERN, "read") as client:
                assert (await client.call_tool("read_caller", {})).content


async def test_what_another_gate_has_judged_runs_nothing_of_this_ones_server(
    guarded: Callable[..., Guarded], tmp_path: Path
) -> None:
    """One server, one gate: the rules of the other speak of its own."""
    ran: list[str] = []
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES)
        other = guarded(
            resource=url_of(listener),
            tools=[doorward.ToolRule("*", scopes=[])],
            audit=doorward.Audit(path=str(tmp_path / "other.jsonl")),
        )
        it.now = other.now = time.time()
        server = tools(ran)
        it.gate.protect(server)
        app = Starlette(routes=[Mount("/", server.streamable_http_app())], lifespan=lifespan_of(server))
        with served(other.gate.protect(app), listener):
            headers = {"Authorization": f"Bearer {it.token('write')}", **modern_headers("delete_user")}
            refused = httpx2.post(it.gate.resource, content=modern("delete_user", name="ada"), headers=headers)
    assert refused.status_code == 401
    assert ran == []


PLACES = {
    "the server calls it as its clients do": ("/api", None),
    "it calls it as it is below the mount": ("/api", "/mcp"),
    "it says the whole path": ("/api", "/api/mcp"),
    "it calls it the root": ("/api", "/"),
    "it calls it something else": ("", "/elsewhere"),
    "it is mounted at the very path, to which Starlette adds a slash": ("/api/mcp", None),
    "and calls it the root": ("/api/mcp", "/"),
}


@pytest.mark.parametrize("kind", ["sdk", "fastmcp"])
@pytest.mark.parametrize(("where", "told"), PLACES.values(), ids=PLACES)
async def test_the_resource_is_served_whatever_the_server_was_told_to_call_it(
    guarded: Callable[..., Guarded], kind: str, where: str, told: str | None
) -> None:
    if kind == "fastmcp":
        pytest.importorskip("fastmcp")
        from adapters.fastmcp_desk import fastmcp_tools

        made: Callable[[list[str]], Any] = fastmcp_tools
    else:
        made = tools
    with listening() as listener:
        resource = url_of(listener).replace("/mcp", "/api/mcp")
        it = guarded(resource=resource, tools=RULES)
        it.now = time.time()
        options = {} if told is None else {"streamable_http_path" if kind == "sdk" else "path": told}
        protected = it.gate.protect(made([]), **options)
        metadata = Mount("/.well-known", it.gate.well_known())
        app = Starlette(routes=[metadata, Mount(where, protected)], lifespan=protected.lifespan)
        headers = {"Authorization": f"Bearer {it.token('read')}"}
        with served(app, listener):
            async with (
                httpx2.AsyncClient(headers=headers, follow_redirects=True) as http,
                Client(streamable_http_client(resource, http_client=http), mode=MODERN) as client,
            ):
                assert (await client.call_tool("read_caller", {})).content


@pytest.mark.parametrize("kind", ["sdk", "fastmcp"])
async def test_over_the_oldest_transport_messages_find_the_way_below_the_mount(
    guarded: Callable[..., Guarded], kind: str
) -> None:
    """Its server tells where messages go, and must tell it with the mount in front."""
    with listening() as listener:
        resource = url_of(listener).replace("/mcp", "/api/sse")
        it = guarded(resource=resource, tools=RULES)
        it.now = time.time()
        if kind == "fastmcp":
            pytest.importorskip("fastmcp")
            from adapters.fastmcp_desk import fastmcp_tools

            protected = it.gate.protect(fastmcp_tools([]), transport="sse", path="/sse")
        else:
            server = tools([])
            it.gate.protect(server)
            protected = it.gate.protect(server.sse_app())
        metadata = Mount("/.well-known", it.gate.well_known())
        app = Starlette(routes=[metadata, Mount("/api", protected)], lifespan=protected.lifespan)
        headers = {"Authorization": f"Bearer {it.token('read')}"}
        with served(app, listener):
            with anyio.fail_after(20):
                async with (
                    sse_client(resource, headers=headers) as (read, write),
                    ClientSession(read, write) as session,
                ):
                    await session.initialize()
                    assert not (await session.call_tool("read_caller", {})).is_error


def lifespan_of(server: MCPServer[Any]) -> Any:
    """Starlette runs no lifespan of what is mounted: the sessions are the outer app's to start."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> Any:
        async with server.session_manager.run():
            yield

    return lifespan
