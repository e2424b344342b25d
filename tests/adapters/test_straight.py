"""The straight way to the SDK's transport: taken where nothing stands between, and nobody can tell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpx2
import pytest
from adapters.desk import modern, modern_headers
from adapters.serving import listening, served, url_of
from guarded import Guarded
from mcp.server.mcpserver import Context, MCPServer
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from doorward.adapters.straight import straight


def server() -> MCPServer[Any]:
    made: MCPServer[Any] = MCPServer("straight", log_level="CRITICAL")

    @made.tool()
    def read_scope(ctx: Context[Any, Any]) -> str:
        scope = ctx.request_context.request.scope
        return json.dumps({name: type(scope.get(name)).__name__ for name in ("app", "router", "route", "path_params")})

    return made


class Anything:
    """A middleware of somebody's."""

    def __init__(self, app: Any, *args: Any, **kwargs: Any) -> None:
        self.app = app


def test_it_is_the_way_to_what_the_sdk_makes() -> None:
    way = straight(server().streamable_http_app(streamable_http_path="/here", max_request_body_size=77), "/here")
    assert way is not None
    assert way.max_body_bytes == 77


def _with(change: Any) -> Any:
    app = server().streamable_http_app()
    change(app)
    return app


OTHERS = {
    "another path": (server().streamable_http_app(), "/elsewhere"),
    "a server below a path": (Starlette(routes=[Mount("/", server().streamable_http_app())]), "/mcp"),
    "a route of somebody's before it": (
        _with(lambda app: app.router.routes.insert(0, Route("/{name}", lambda request: PlainTextResponse("mine")))),
        "/mcp",
    ),
    "a middleware": (_with(lambda app: app.user_middleware.append(Middleware(cast("Any", Anything)))), "/mcp"),
    "a handler of exceptions": (_with(lambda app: app.add_exception_handler(ValueError, print)), "/mcp"),
    "debugging": (_with(lambda app: setattr(app, "debug", True)), "/mcp"),
    "another kind of app": (Anything(server().streamable_http_app()), "/mcp"),
}


@pytest.mark.parametrize(("app", "path"), OTHERS.values(), ids=OTHERS)
def test_whatever_stands_between_goes_on_to_stand_there(app: Any, path: str) -> None:
    assert straight(app, path) is None


# --- over HTTP --------------------------------------------------------------------------------------------------------

Ask = Callable[..., httpx2.Response]


@contextmanager
def asked(app_of: Callable[[Guarded], Any], guarded: Callable[..., Guarded]) -> Iterator[tuple[Guarded, Ask]]:
    """Ask an app over HTTP."""
    with listening() as listener:
        it = guarded(resource=url_of(listener))
        it.now = time.time()

        def ask(tool: str, **arguments: Any) -> httpx2.Response:
            headers = modern_headers(tool) | {"Authorization": f"Bearer {it.token('read')}"}
            return httpx2.post(it.gate.resource, content=modern(tool, **arguments), headers=headers)

        with served(app_of(it), listener):
            yield it, ask


def test_a_handler_finds_what_it_finds_without_the_gate(guarded: Callable[..., Guarded]) -> None:
    with asked(lambda _: server().streamable_http_app(), guarded) as (_, ask):
        bare = ask("read_scope").json()["result"]["content"]
    with asked(lambda it: it.gate.protect(server()), guarded) as (_, ask):
        assert ask("read_scope").json()["result"]["content"] == bare


def test_a_body_that_is_too_long_for_the_server_is_refused_by_it(guarded: Callable[..., Guarded]) -> None:
    with asked(lambda it: it.gate.protect(server(), max_request_body_size=2_000), guarded) as (it, ask):
        assert ask("read_scope", text="x" * 3_000).status_code == 413
        assert ask("read_scope").status_code == 200
    assert [(record["result"], record["reason"]) for record in it.records()] == [
        ("error", "http413"),
        ("success", None),
    ]


def test_a_server_that_breaks_is_answered_for_with_the_id_of_the_record(guarded: Callable[..., Guarded]) -> None:
    def without_lifespan(it: Guarded) -> Any:
        protected = it.gate.protect(server())

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                await protected(scope, receive, send)

        return app

    with asked(without_lifespan, guarded) as (it, ask):
        answer = ask("read_scope")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    [record] = it.records()
    assert (record["result"], record["reason"]) == ("error", "exception")
    assert answer.headers["x-request-id"] == record["request_id"]
