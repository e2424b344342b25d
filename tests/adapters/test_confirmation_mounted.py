"""What else an app serves beside its protected server: no message tier stands before it, so nobody is asked there, and
nothing that needs a human runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from adapters.asked import Human, Office, asking_server, opened, posted
from adapters.desk import LEGACY, MODERN
from guarded import Guarded
from starlette.routing import Mount

import doorward

pytestmark = pytest.mark.anyio

Put = Callable[[doorward.Gate, Any, Any], Any]


def protected_then_made(gate: doorward.Gate, server: Any, other: Any) -> Any:
    """What a protected server makes of itself."""
    gate.protect(server)
    app = server.streamable_http_app()
    app.router.routes.append(Mount("/other", other))
    return app


def inside(gate: doorward.Gate, server: Any, other: Any) -> Any:
    """In the app behind the gate."""
    protected = gate.protect(server)
    protected._app.router.routes.append(Mount("/other", other))
    return protected


def made_then_protected(gate: doorward.Gate, server: Any, other: Any) -> Any:
    """An app of fastmcp's, as a whole."""
    app = server.http_app(path="/mcp", host_origin_protection=False)
    app.router.routes.append(Mount("/other", other))
    return gate.protect(app)


def with_the_gate_as_auth(gate: doorward.Gate, server: Any, other: Any) -> Any:
    """An app of fastmcp's with the gate in it."""
    server.auth = gate.auth()
    app = server.http_app(path="/mcp", host_origin_protection=False)
    app.router.routes.append(Mount("/other", other))
    return app


WAYS = {
    "the SDK's app": ("sse", protected_then_made),
    "inside the protected app": ("sse", inside),
    "fastmcp's app": ("fastmcp", made_then_protected),
    "fastmcp's app with the gate as its auth": ("fastmcp", with_the_gate_as_auth),
    "inside fastmcp's protected app": ("fastmcp", inside),
}


@pytest.mark.parametrize("mode", [MODERN, LEGACY])
@pytest.mark.parametrize(("kind", "put"), WAYS.values(), ids=WAYS)
async def test_a_server_mounted_beside_the_protected_one_runs_nothing_unconfirmed(
    guarded: Callable[..., Guarded], kind: str, put: Put, mode: str
) -> None:
    if kind == "fastmcp":
        pytest.importorskip("fastmcp")
    ran: list[str] = []
    other = asking_server(ran)
    other_app = other.streamable_http_app()

    def how(gate: doorward.Gate, server: Any) -> Any:
        app = put(gate, server, other_app)

        async def both(scope: Any, receive: Any, send: Any) -> None:
            async with sessions(other) if scope["type"] == "lifespan" else nothing():
                await app(scope, receive, send)

        return both

    with opened(guarded, kind, how=how) as office:
        async with office.client(mode, Human(), "write") as client:
            assert (await client.call_tool("wipe", {"name": "ada"})).content[0].text == "wiped ada"
        beside = Office(office.it, ran, office.url.replace("/mcp", "/other/mcp"))
        assert httpx2.post(beside.url).status_code == 401
        refused = posted(beside, "wipe", {"name": "bob"}, "write")
    assert (refused.status_code, refused.json()["error"]["data"]["reason"]) == (403, "confirmation_unavailable")
    assert ran == []


def sessions(server: Any) -> Any:
    """Starlette runs no lifespan of what is mounted."""
    return server.session_manager.run()


@asynccontextmanager
async def nothing() -> Any:
    yield
