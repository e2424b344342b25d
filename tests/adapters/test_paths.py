"""Paths behind a server's root path and below mounts: one function decides for the metadata, the resource and the
message tier, and what cannot work says at start what to write."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from adapters.desk import MODERN, RULES, modern, modern_headers, tools
from adapters.unknown_server import Server
from fastapi import FastAPI
from guarded import Guarded, message
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import doorward
from doorward.adapters.paths import is_at, route_path

pytestmark = pytest.mark.anyio

METADATA = "/.well-known/oauth-protected-resource"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


AT: dict[str, tuple[dict[str, str], str, bool]] = {
    "as the client wrote it": ({"path": "/mcp"}, "/mcp", True),
    "another": ({"path": "/mcp2"}, "/mcp", False),
    "only its end": ({"path": "/other/mcp"}, "/mcp", False),
    "below the root path": ({"path": "/api/mcp", "root_path": "/api"}, "/mcp", True),
    "and with it": ({"path": "/api/mcp", "root_path": "/api"}, "/api/mcp", True),
    "below half a segment of it": ({"path": "/apimcp", "root_path": "/api"}, "mcp", False),
    "below another": ({"path": "/ap/mcp", "root_path": "/api"}, "/mcp", False),
    "below more than it": ({"path": "/api/v1/mcp", "root_path": "/api"}, "/mcp", False),
    "the root path, which is not part of the path": ({"path": "/mcp", "root_path": "/api"}, "/api/mcp", True),
    "nor twice": ({"path": "/api/mcp", "root_path": "/api"}, "/api/api/mcp", False),
    "below a mount": ({"path": "/a/b/mcp", "root_path": "/a/b", "app_root_path": ""}, "/mcp", True),
    "below a mount, with a part of it": (
        {"path": "/a/b/mcp", "root_path": "/a/b", "app_root_path": ""},
        "/b/mcp",
        True,
    ),
    "a mount behind a root path that is not part of the path": (
        {"path": "/v1/mcp", "root_path": "/api/v1", "app_root_path": "/api"},
        "/api/v1/mcp",
        True,
    ),
    "the metadata, of a server with a root path": (
        {"path": f"/api{METADATA}/api/mcp", "root_path": "/api"},
        f"{METADATA}/api/mcp",
        True,
    ),
    "the metadata below a mount of theirs, and a root path": (
        {"path": f"/api{METADATA}/api/mcp", "root_path": "/api/.well-known", "app_root_path": "/api"},
        f"{METADATA}/api/mcp",
        True,
    ),
    "the root": ({"path": "/"}, "/", True),
    "the root of a mount": ({"path": "/api/", "root_path": "/api"}, "/", True),
    "nothing": ({"path": "/mcp"}, "", False),
}


@pytest.mark.parametrize(("scope", "path", "is_there"), AT.values(), ids=AT)
def test_the_path_a_request_is_for(scope: dict[str, str], path: str, is_there: bool) -> None:
    assert is_at({"type": "http", **scope}, path) is is_there


@pytest.mark.parametrize(
    ("path", "root", "found"),
    [
        ("/mcp", "", "/mcp"),
        ("/api/mcp", "/api", "/mcp"),
        ("/apimcp", "/api", "/apimcp"),
        ("/mcp", "/api", "/mcp"),
        ("/api", "/api", ""),
    ],
)
def test_the_path_a_framework_routes_by(path: str, root: str, found: str) -> None:
    assert route_path({"type": "http", "path": path, "root_path": root}) == found


HOSTS: dict[str, tuple[str, str, Callable[[Guarded, Any], Any]]] = {
    "a root path, as uvicorn adds it": ("/api/mcp", "/api", lambda _it, protected: protected),
    "a mount at the root": (
        "/mcp",
        "",
        lambda _it, protected: Starlette(routes=[Mount("/", protected)], lifespan=protected.lifespan),
    ),
    "a mount": ("/api/mcp", "", lambda it, protected: hosted(it, protected, Mount("/api", protected))),
    "a mount in a mount": (
        "/a/b/mcp",
        "",
        lambda it, protected: hosted(it, protected, Mount("/a", Starlette(routes=[Mount("/b", protected)]))),
    ),
    "a mount behind a root path": (
        "/v1/api/mcp",
        "/v1",
        lambda it, protected: hosted(it, protected, Mount("/api", protected)),
    ),
    "a mount of FastAPI": ("/api/mcp", "", lambda it, protected: in_fastapi(it, protected, "/api")),
    "a mount of FastAPI behind a root path": (
        "/v1/api/mcp",
        "/v1",
        lambda it, protected: in_fastapi(it, protected, "/api"),
    ),
    "a mount whose path has a parameter": (
        "/acme/mcp",
        "",
        lambda it, protected: hosted(it, protected, Mount("/{tenant}", protected)),
    ),
    "an app that is protected as a whole": (
        "/api/mcp",
        "",
        lambda it, protected: it.gate.protect(
            Starlette(routes=[Mount("/api", protected)], lifespan=protected.lifespan)
        ),
    ),
}


def hosted(it: Guarded, protected: Any, route: Mount) -> Any:
    """An app with a route to the protected server, and the metadata at its root."""
    routes = [Mount("/.well-known", it.gate.well_known()), route]
    return Starlette(routes=routes, lifespan=protected.lifespan)


def in_fastapi(it: Guarded, protected: Any, path: str) -> Any:
    """The same with FastAPI."""
    app = FastAPI(lifespan=protected.lifespan)
    app.mount("/.well-known", it.gate.well_known())
    app.mount(path, protected)
    return app


@pytest.mark.parametrize("kind", ["sdk", "fastmcp", "an app"])
@pytest.mark.parametrize(("path", "root", "host"), HOSTS.values(), ids=HOSTS)
async def test_the_metadata_and_the_server_are_found(
    guarded: Callable[..., Guarded], kind: str, path: str, root: str, host: Callable[[Guarded, Any], Any]
) -> None:
    """Whoever got a challenge finds the document it names, and a good token finds the tool; one record each."""
    it = guarded(resource=f"https://mcp.example.com{path}", tools=RULES)
    app = host(it, it.gate.protect(made(kind)))
    async with client_of(app, root=root) as client:
        refused = await client.post(path, content=message("read_caller"))
        named = refused.headers["www-authenticate"].partition('resource_metadata="')[2].rstrip('"')
        document = await client.get(named)
        headers = modern_headers("read_caller") | {"authorization": f"Bearer {it.token('read')}"}
        answer = await client.post(path, content=modern("read_caller"), headers=headers)
        lacking = await client.post(
            path,
            content=modern("delete_user", name="ada"),
            headers=headers | modern_headers("delete_user"),
        )
    assert (refused.status_code, document.status_code, answer.status_code) == (401, 200, 200)
    assert document.json()["resource"] == it.gate.resource
    assert lacking.json()["error"]["data"]["reason"] == "insufficient_scope"
    told = [(record["result"], record["reason"]) for record in it.records()]
    assert told == [("denied_auth", "missing_credentials"), ("success", None), ("denied_scope", "insufficient_scope")]


@pytest.mark.parametrize("mode", [MODERN, "legacy"])
async def test_an_app_with_the_server_in_it_keeps_its_other_routes_behind_the_gate(
    guarded: Callable[..., Guarded], mode: str
) -> None:
    it = guarded(tools=RULES)
    inner = it.gate.protect(tools([]))
    routes = [Route("/health", lambda _request: PlainTextResponse("well")), Mount("/", inner)]
    app = it.gate.protect(Starlette(routes=routes, lifespan=inner.lifespan))
    async with client_of(app) as client:
        assert (await client.get("/health")).status_code == 401
        headers = {"authorization": f"Bearer {it.token('read')}", "accept": "application/json, text/event-stream"}
        if mode == MODERN:
            answer = await client.post(
                "/mcp", content=modern("read_caller"), headers=headers | modern_headers("read_caller")
            )
        else:
            answer = await client.post("/mcp", json=INITIALIZE, headers=headers)
    assert answer.status_code == 200
    assert [record["result"] for record in it.records()] == ["denied_auth", "success"]


async def test_what_another_gate_judged_is_judged_by_this_one_as_well(
    guarded: Callable[..., Guarded], tmp_path: Path
) -> None:
    it = guarded(tools=RULES)
    other = guarded(tools=RULES, audit=doorward.Audit(path=str(tmp_path / "other.jsonl")))
    inner = it.gate.protect(Server())
    headers = {"authorization": f"Bearer {other.token('read')}"}
    async with client_of(other.gate.protect(inner)) as client:
        answer = await client.post("/mcp", content=message("read_caller"), headers=headers)
    assert answer.status_code == 401


UNSERVED: dict[str, Callable[[Guarded, Any], list[Any]]] = {
    "nothing answers there": lambda _it, protected: [Mount("/api", protected)],
    "it is mounted behind what takes everything": lambda it, protected: [
        Mount("/api", protected),
        Mount("/", Starlette(routes=[Route("/", PlainTextResponse("home"))])),
        Mount("/.well-known", it.gate.well_known()),
    ],
}


@pytest.mark.parametrize("routes", UNSERVED.values(), ids=UNSERVED)
async def test_an_app_that_does_not_answer_where_clients_look_does_not_start(
    guarded: Callable[..., Guarded], routes: Callable[[Guarded, Any], list[Any]]
) -> None:
    it = guarded(resource="https://mcp.example.com/api/mcp", tools=RULES)
    protected = it.gate.protect(tools([]))
    app = Starlette(routes=routes(it, protected), lifespan=protected.lifespan)
    with pytest.raises(RuntimeError) as failed:
        async with protected.lifespan(app):
            pass
    assert 'add Mount("/.well-known", gate.well_known()) before its other routes' in str(failed.value)
    assert it.gate.metadata.url in str(failed.value)


async def test_the_metadata_of_another_gate_are_not_this_ones(guarded: Callable[..., Guarded], tmp_path: Path) -> None:
    it = guarded(resource="https://mcp.example.com/a/mcp", tools=RULES)
    other = guarded(
        resource="https://mcp.example.com/b/mcp",
        tools=RULES,
        audit=doorward.Audit(path=str(tmp_path / "other.jsonl")),
    )
    protected = it.gate.protect(tools([]))
    shared = [Mount("/.well-known", other.gate.well_known()), Mount("/a", protected)]
    apart = [Route(f"{METADATA}/{each}/mcp", one.gate.well_known()) for each, one in {"a": it, "b": other}.items()]
    with pytest.raises(RuntimeError, match="where several gates share an app"):
        async with protected.lifespan(Starlette(routes=shared)):
            pass
    async with protected.lifespan(Starlette(routes=[*apart, Mount("/a", protected)])):
        pass


async def test_agents_need_no_metadata(guarded: Callable[..., Guarded], tmp_path: Path) -> None:
    agents = tmp_path / "agents.toml"
    agents.touch(mode=0o600)
    it = guarded(
        resource="https://mcp.example.com/api/mcp", issuers=[], agents=doorward.Agents(file=str(agents)), tools=RULES
    )
    protected = it.gate.protect(tools([]))
    async with protected.lifespan(Starlette(routes=[Mount("/api", protected)])):
        pass


@pytest.mark.parametrize("kind", ["sdk", "fastmcp"])
async def test_a_server_that_was_not_started_says_what_to_write(
    guarded: Callable[..., Guarded], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    it = guarded(tools=RULES)
    app = Starlette(routes=[Mount("/", it.gate.protect(made(kind)))])
    headers = modern_headers("read_caller") | {"authorization": f"Bearer {it.token('read')}"}
    caplog.set_level(logging.ERROR, "doorward")
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="https://mcp.example.com"
    ) as client:
        answers = [await client.post("/mcp", content=modern("read_caller"), headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [500, 500]
    said = [record.getMessage() for record in caplog.records if record.name == "doorward"]
    assert len(said) == 1
    assert "lifespan=protected.lifespan" in said[0]
    assert [record["result"] for record in it.records()] == ["error", "error"]


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "client", "version": "1"},
    },
}


def made(kind: str) -> Any:
    """A server of that kind."""
    if kind == "an app":
        return Answering()
    if kind == "sdk":
        return tools([])
    pytest.importorskip("fastmcp")
    from adapters.fastmcp_desk import fastmcp_tools

    return fastmcp_tools([])


class Answering(Server):
    """A server nobody here knows, which answers every call."""

    async def read_caller(self, rpc_id: Any, receive: Any, send: Any) -> None:
        await self.ok(rpc_id, receive, send)


@asynccontextmanager
async def client_of(app: Any, *, root: str = "") -> Any:
    """A client of the app as uvicorn would serve it with that root path: behind a proxy that takes it away, but for the
    well-known paths, and uvicorn puts it in front of every path again."""

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        stripped = path.removeprefix(root) if root and not path.startswith("/.well-known") else path
        await app({**scope, "path": root + stripped, "root_path": root}, receive, send)

    from doorward.adapters.lifespan import running

    async with (
        running(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=behind), base_url="https://mcp.example.com") as client,
    ):
        yield client
