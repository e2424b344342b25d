"""Where gates in front of MCP servers have leaked or broken before: one test each, for every kind of server."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from adapters.desk import RULES, Desk, hang_up_on, modern, modern_headers, open_session, opening, tools, until
from adapters.serving import listening, served, url_of
from guarded import Guarded, message
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

import doorward
from doorward.adapters import streams

Make = Callable[..., Guarded]


# --- streams that outlive what let them in ----------------------------------------------------------------------------


@pytest.fixture
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits five seconds for a test."""
    monkeypatch.setattr(streams, "_LOOK_SECONDS", 0.02)


@pytest.mark.usefixtures("looking_often")
@pytest.mark.parametrize("how", ["GET", "subscriptions/listen"])
def test_a_stream_ends_when_its_token_is_revoked(desk: Desk, how: str) -> None:
    method, headers, body = opening(desk, how)
    headers["Authorization"] = f"Bearer {desk.it.token('read')}"
    with httpx2.stream(method, desk.gate.resource, headers=headers, content=body, timeout=10) as stream:
        assert stream.status_code == 200
        threading.Timer(0.1, desk.gate.revoke, kwargs={"subject": "user-1", "issuer": desk.it.issuer.url}).start()
        b"".join(stream.iter_bytes())  # ends, or the client's patience does
    assert httpx2.request(method, desk.gate.resource, headers=headers, content=body).status_code == 401


def test_a_token_that_is_revoked_while_its_body_is_on_its_way_runs_nothing(desk: Desk) -> None:
    body = modern("read_caller")

    def slowly() -> Iterator[bytes]:
        yield body[:5]
        time.sleep(0.3)  # by now its head has been judged
        desk.gate.revoke(subject="user-1", issuer=desk.it.issuer.url)
        yield body[5:]

    headers = modern_headers("read_caller") | {"Content-Type": "application/json"}
    headers["Authorization"] = f"Bearer {desk.it.token('read')}"
    assert httpx2.post(desk.gate.resource, headers=headers, content=slowly(), timeout=10).status_code == 401
    assert desk.ran == []
    assert [record["reason"] for record in desk.it.records()] == ["token_revoked"]


@pytest.mark.parametrize("how", ["GET", "subscriptions/listen"])
def test_a_stream_ends_when_its_token_expires(desk: Desk, how: str) -> None:
    method, headers, body = opening(desk, how)
    # Expired, and half a second before the end of the leeway of 30 s.
    token = desk.it.token("read", now=desk.it.now - 629, exp=desk.it.now - 29.5)
    headers["Authorization"] = f"Bearer {token}"
    with httpx2.stream(method, desk.gate.resource, headers=headers, content=body, timeout=10) as stream:
        assert stream.status_code == 200
        b"".join(stream.iter_bytes())


def test_a_client_has_no_more_streams_than_a_rule_says(guarded: Make) -> None:
    """A stream spends one call and stays: only a number at once bounds it."""
    with listening() as listener:
        rules = [doorward.MethodRule("subscriptions/listen", scopes=[], concurrency=1)]
        it = guarded(resource=url_of(listener), tools=RULES, methods=rules)
        it.now = time.time()
        with served(it.gate.protect(tools([])), listener):
            desk = Desk(it, None, [])
            _, headers, body = opening(desk, "subscriptions/listen")

            def ask() -> httpx2.Response:
                return desk.post(body, "read", headers=headers, timeout=0.5)

            headers["Authorization"] = f"Bearer {it.token('read')}"
            with httpx2.stream("POST", it.gate.resource, headers=headers, content=body, timeout=10) as stream:
                events = stream.iter_bytes()  # closes the stream when it is dropped
                assert b"acknowledged" in next(events)
                second = ask()
                assert second.status_code == 429
                assert second.json()["error"]["data"]["reason"] == "too_many_in_flight"
                assert desk.post(modern("read_caller"), "read", headers=modern_headers("read_caller")).is_success

            def is_free() -> bool:
                try:
                    return ask().status_code == 200
                except httpx2.ReadTimeout:
                    return True  # it is open, and stays so

            until(is_free)


@pytest.mark.usefixtures("looking_often")
def test_the_answer_of_a_running_tool_is_not_cut(desk: Desk) -> None:
    answers: list[httpx2.Response] = []

    def call() -> None:
        answers.append(desk.post(modern("read_slowly"), "read", headers=modern_headers("read_slowly")))

    calling = threading.Thread(target=call)
    calling.start()
    until(lambda: "read_slowly" in desk.ran)
    desk.gate.revoke(subject="user-1", issuer=desk.it.issuer.url)
    time.sleep(0.1)
    desk.may_end.set()
    calling.join(10)
    assert "done" in answers[0].text


# --- a tool that ends after its client has gone -----------------------------------------------------------------------


def test_a_tool_whose_client_has_gone_keeps_its_slot_until_it_ends(guarded: Make) -> None:
    ran: list[str] = []
    may_end = threading.Event()
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=[doorward.ToolRule("read_*", scopes=["read"], concurrency=1)])
        it.now = time.time()
        with served(it.gate.protect(tools(ran, may_end)), listener):
            desk = Desk(it, None, ran, may_end)
            session = open_session(desk)
            hang_up_on(desk, message("read_slowly"), session)
            second = desk.post(message("read_caller", id=2), "read", headers=session)
            assert second.status_code == 429
            assert second.json()["error"]["data"]["reason"] == "too_many_in_flight"
            assert [record["result"] for record in desk.calls(1)] == ["denied_rate"]
            may_end.set()
            until(lambda: len(desk.calls()) == 2)
            assert desk.post(message("read_caller", id=3), "read", headers=session).status_code == 200
    slow = desk.calls(3)[1]
    assert (slow["tool_name"], slow["result"], slow["disconnected"]) == ("read_slowly", "success", True)


# --- where it stands --------------------------------------------------------------------------------------------------


def test_what_stands_behind_the_gate_meets_no_refused_request(guarded: Make) -> None:
    met: list[str] = []

    class Inside:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                met.append(scope["path"])
            await self.app(scope, receive, send)

    async def below(ctx: Any, call_next: Any) -> Any:
        met.append(ctx.method)
        return await call_next(ctx)

    server: MCPServer[Any] = MCPServer("tools", log_level="CRITICAL", middleware=[below])
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES)
        it.now = time.time()
        it.gate.protect(server)
        inside = Starlette(
            routes=[Mount("/", server.streamable_http_app())],
            middleware=[Middleware(Inside)],
            lifespan=lambda _app: server.session_manager.run(),
        )
        with served(it.gate.protect(inside), listener):
            desk = Desk(it, server, [])
            desk.post(message("delete_user", name="ada"), "read")
            httpx2.post(it.gate.resource, content=message("read_caller"))
            assert met == []
            assert desk.post(modern("read_it"), "read", headers=modern_headers("read_it")).status_code == 200
    assert met == ["/mcp", "tools/call"]


def factory(gate: doorward.Gate) -> Any:
    """As Starlette takes a middleware: what makes an app of an app."""
    return gate.protect


def _app_of_the_sdk(gate: doorward.Gate, ran: list[str]) -> Any:
    app = tools(ran).streamable_http_app()
    app.add_middleware(factory(gate))
    return app


def _app_of_fastmcp(gate: doorward.Gate, ran: list[str]) -> Any:
    app = _mounted("fastmcp", ran).http_app(path="/mcp")
    app.add_middleware(factory(gate))
    return app


def _app_with_an_argument(gate: doorward.Gate, ran: list[str]) -> Any:
    # There fastmcp has taken hold of the request before the gate does.
    return _mounted("fastmcp", ran).http_app(path="/mcp", middleware=[Middleware(factory(gate))])


@pytest.mark.parametrize("made", [_app_of_the_sdk, _app_of_fastmcp, _app_with_an_argument])
def test_added_as_a_middleware_it_is_the_same_gate(guarded: Make, made: Callable[[doorward.Gate, Any], Any]) -> None:
    ran: list[str] = []
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES)
        it.now = time.time()
        with served(made(it.gate, ran), listener):
            desk = Desk(it, None, ran)
            assert httpx2.post(it.gate.resource, content=message("read_caller")).status_code == 401
            assert desk.post(message("delete_user", name="ada"), "read").status_code == 403
            answer = desk.post(modern("read_caller"), "read", headers=modern_headers("read_caller"))
    caller = json.loads(_result(answer)["content"][0]["text"])
    assert (caller["subject"], caller["token"], caller["authorization"]) == ("user-1", "withheld", None)
    assert ran == ["read_caller"]


def _result(answer: httpx2.Response) -> Any:
    """As JSON or as the last event of a stream."""
    text = answer.text.rpartition("data: ")[2] if "event-stream" in answer.headers["content-type"] else answer.text
    return json.loads(text)["result"]


def _mounted(kind: str, ran: list[str]) -> Any:
    if kind == "mcp":
        return tools(ran)
    pytest.importorskip("fastmcp")
    from adapters.fastmcp_desk import fastmcp_tools

    return fastmcp_tools(ran)


@pytest.mark.parametrize("by_hand", [False, True], ids=["from the root", "from the mount"])
@pytest.mark.parametrize("kind", ["mcp", "fastmcp"])
def test_below_a_path_of_another_app_the_metadata_is_at_the_root_all_the_same(
    guarded: Make, kind: str, by_hand: bool
) -> None:
    ran: list[str] = []
    with listening() as listener:
        resource = url_of(listener).replace("/mcp", "/api/mcp")
        it = guarded(resource=resource, tools=RULES)
        it.now = time.time()
        option = {"mcp": "streamable_http_path", "fastmcp": "path"}[kind]
        protected = it.gate.protect(_mounted(kind, ran), **({option: "/mcp"} if by_hand else {}))
        host = Starlette(
            routes=[Mount("/.well-known", it.gate.well_known()), Mount("/api", protected)], lifespan=protected.lifespan
        )
        with served(host, listener):
            desk = Desk(it, None, ran)
            challenge = httpx2.post(resource, content=message("read_caller")).headers["www-authenticate"]
            found = httpx2.get(it.gate.metadata.url)
            other = httpx2.get(it.gate.metadata.url.replace("/api/mcp", "/other"))
            answer = desk.post(modern("read_caller"), "read", headers=modern_headers("read_caller"))
    assert f'resource_metadata="{it.gate.metadata.url}"' in challenge
    assert found.json()["resource"] == resource
    assert other.status_code == 404
    assert answer.status_code == 200
    assert ran == ["read_caller"]


def test_a_server_that_does_not_start_says_so(guarded: Make) -> None:
    async def failing(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    protected = guarded().gate.protect(failing)

    async def start() -> None:
        async with protected.lifespan():
            raise AssertionError("it has started")

    with pytest.raises(RuntimeError, match="the app did not start: no database"):
        asyncio.run(start())


# --- other ways in ----------------------------------------------------------------------------------------------------


def test_a_websocket_is_refused_whoever_asks(desk: Desk) -> None:
    pytest.importorskip("websockets")
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    headers = {"Authorization": f"Bearer {desk.it.token('read', 'write')}"}
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(desk.gate.resource.replace("http", "ws"), additional_headers=headers),
    ):
        pass
    assert refused.value.response.status_code == 403


@pytest.fixture
def public(request: pytest.FixtureRequest, guarded: Make) -> Iterator[Desk]:
    """A server that is known by a public name, as behind a proxy that speaks https."""
    ran: list[str] = []
    with listening() as listener:
        it = guarded(tools=RULES, trusted_proxies=["127.0.0.0/8"])
        it.now = time.time()
        server = _mounted(request.param, ran)
        with served(it.gate.protect(server), listener):
            desk = Desk(it, server, ran)
            desk.address = url_of(listener)  # type: ignore[attr-defined]
            yield desk


@pytest.mark.parametrize("public", ["mcp", "fastmcp"], indirect=True)
def test_a_public_host_name_is_served(public: Desk) -> None:
    headers = modern_headers("read_caller") | {
        "Authorization": f"Bearer {public.it.token('read')}",
        "Host": "mcp.example.com",
        "X-Forwarded-Proto": "https",
    }
    url = public.address  # type: ignore[attr-defined]
    assert httpx2.post(url, content=modern("read_caller"), headers=headers).status_code == 200
    evil = headers | {"Host": "evil.example"}
    assert httpx2.post(url, content=modern("read_caller"), headers=evil).status_code == 403
    plain = headers | {"X-Forwarded-Proto": "http"}
    assert httpx2.post(url, content=modern("read_caller"), headers=plain).status_code == 403


def test_a_token_in_the_query_is_refused(desk: Desk) -> None:
    url = f"{desk.gate.resource}?access_token={desk.it.token('read')}"
    answer = httpx2.post(url, content=modern("read_caller"), headers=modern_headers("read_caller"))
    assert answer.status_code == 400
    assert desk.ran == []
