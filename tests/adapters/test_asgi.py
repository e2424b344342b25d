"""Any ASGI app behind the gate, over real HTTP: what reaches it, what is answered in its place, what is recorded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from adapters.serving import listening, served, url_of
from guarded import Guarded, message

import toolgate
from toolgate.adapters import bodies

LIMIT = 1000


class Server:
    """An ASGI server nobody here knows: it answers as the tool's name says, and remembers what reached it."""

    def __init__(self) -> None:
        self.reached: list[dict[str, Any]] = []
        self.websockets = 0
        self.may_end = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        if scope["type"] == "websocket":
            self.websockets += 1
            return
        body = (await receive())["body"]
        decision = toolgate.current()
        assert decision is not None
        self.reached.append({"headers": dict(scope["headers"]), "body": body, "request_id": decision.request_id})
        call = json.loads(body) if body else {}
        await getattr(self, (call.get("params") or {}).get("name", "ok"), self.ok)(call.get("id"), receive, send)

    async def ok(self, rpc_id: Any, _receive: Any, send: Any) -> None:
        await self._json(send, {"jsonrpc": "2.0", "id": rpc_id, "result": {"content": []}})

    async def read_failing(self, rpc_id: Any, _receive: Any, send: Any) -> None:
        await self._json(send, {"jsonrpc": "2.0", "id": rpc_id, "result": {"content": [], "isError": True}})

    async def read_error(self, rpc_id: Any, _receive: Any, send: Any) -> None:
        await self._json(send, {"jsonrpc": "2.0", "id": rpc_id, "error": {"code": -32603, "message": "no"}})

    async def read_crash(self, _rpc_id: Any, _receive: Any, _send: Any) -> None:
        raise RuntimeError("the server crashed")

    async def read_stream(self, rpc_id: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        progress = b'event: message\r\ndata: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\r\n\r\n'
        await send({"type": "http.response.body", "body": progress, "more_body": True})
        while not self.may_end.is_set():
            await asyncio.sleep(0.01)
        result = json.dumps({"jsonrpc": "2.0", "id": rpc_id, "result": {"content": [], "isError": True}})
        await send({"type": "http.response.body", "body": f"data: {result}\r\n\r\n".encode()})

    async def read_waiting(self, _rpc_id: Any, receive: Any, send: Any) -> None:
        """Waits for the disconnect, as servers do."""
        assert (await receive())["type"] == "http.disconnect"

    async def wait(self, _rpc_id: Any, _receive: Any, _send: Any) -> None:
        await never()

    async def read_half(self, _rpc_id: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"its own")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})

    async def read_large_failure(self, rpc_id: Any, _receive: Any, send: Any) -> None:
        await self._json(
            send, {"jsonrpc": "2.0", "id": rpc_id, "result": {"isError": True, "content": ["x" * 100_000]}}
        )

    async def read_failure_then_ping(self, rpc_id: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        error = json.dumps({"jsonrpc": "2.0", "id": rpc_id, "error": {"code": -32603, "message": "no"}})
        for frame in (f"data: {error}\n\n", ": ping\n\n"):
            await send({"type": "http.response.body", "body": frame.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b": ping\n\n"})

    async def _json(self, send: Any, content: Any) -> None:
        body = json.dumps(content).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def it(guarded: Callable[..., Guarded]) -> Iterator[Guarded]:
    with listening() as listener:
        rules = [toolgate.ToolRule("read_*", scopes=["read"]), toolgate.ToolRule("delete_*", scopes=["write"])]
        it = guarded(
            resource=url_of(listener),
            tools=rules,
            allowed_origins=["https://app.example.com"],
            max_body_bytes=LIMIT,
            limits=toolgate.Limits(client=["3/minute"]),
        )
        it.server = Server()  # type: ignore[attr-defined]
        with served(it.gate.protect(it.server), listener):  # type: ignore[attr-defined]
            yield it


def post(
    it: Guarded, body: bytes, *, token: str | None = "", headers: dict[str, str] | None = None, **more: Any
) -> httpx2.Response:
    """A POST with a good token unless another is given."""
    given = it.token("read") if token == "" else token
    authorization = {} if given is None else {"Authorization": f"Bearer {given}"}
    url = it.gate.resource
    return httpx2.post(
        url, content=body, headers={"Content-Type": "application/json"} | authorization | (headers or {}), **more
    )


def settled(it: Guarded, count: int) -> list[dict[str, Any]]:
    """The records, once there are that many: what a server does after its answer takes a moment."""
    deadline = time.monotonic() + 5
    while len(it.records()) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return it.records()


def test_a_good_call_reaches_the_server_without_its_token(it: Guarded) -> None:
    response = post(it, message(order=7))
    assert response.status_code == 200
    [reached] = it.server.reached  # type: ignore[attr-defined]
    assert reached["body"] == message(order=7)
    assert b"authorization" not in reached["headers"]
    assert response.headers["x-request-id"] == reached["request_id"]
    [record] = it.records()
    assert (record["request_id"], record["result"]) == (reached["request_id"], "success")


@pytest.mark.parametrize(
    ("tool", "result"),
    [
        ("read_order", "success"),
        ("read_failing", "tool_error"),
        ("read_error", "error"),
        ("read_crash", "error"),
        ("read_half", "error"),
        ("read_large_failure", "error"),
        ("read_failure_then_ping", "error"),
        ("read_stream", "tool_error"),
    ],
)
def test_the_outcome_is_read_from_the_answer_as_it_passes(it: Guarded, tool: str, result: str) -> None:
    it.server.may_end.set()  # type: ignore[attr-defined]
    with contextlib.suppress(httpx2.RemoteProtocolError):  # of an answer that is never completed
        post(it, message(tool))
    [record] = settled(it, 1)
    assert record["result"] == result


def test_a_stream_is_never_held_back(it: Guarded) -> None:
    headers = {"Authorization": f"Bearer {it.token('read')}"}
    with httpx2.stream("POST", it.gate.resource, content=message("read_stream"), headers=headers) as response:
        frames = response.iter_bytes()
        assert b"notifications/progress" in next(frames)
        it.server.may_end.set()  # type: ignore[attr-defined]
        assert b"isError" in b"".join(frames)


def test_a_client_that_goes_away_is_recorded_as_such(it: Guarded) -> None:
    with pytest.raises(httpx2.TimeoutException):
        post(it, message("read_waiting"), timeout=0.2)
    [record] = settled(it, 1)
    assert (record["result"], record["disconnected"]) == ("cancelled", True)


def test_what_is_refused_never_reaches_the_server(it: Guarded) -> None:
    answers = [
        post(it, message(), token=None),
        post(it, message(), token="x.y.z"),
        post(it, message("delete_order")),
        post(it, message("unknown")),
        post(it, b"["),
        post(it, message(), headers={"Content-Encoding": "gzip"}),
        post(it, message(), headers={"Origin": "https://evil.example"}),
        post(it, message(), headers={"Host": "evil.example"}),
        httpx2.put(it.gate.resource),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 403, 403, 400, 415, 403, 403, 405]
    assert it.server.reached == []  # type: ignore[attr-defined]
    assert [record["request_id"] for record in it.records()] == [answer.headers["x-request-id"] for answer in answers]


UNKNOWN, UNNAMED = "admin/reset", "resources/subscribe"
SESSION, OLDER, NEWER = (
    {"Mcp-Session-Id": "1"},
    {"MCP-Protocol-Version": "2025-11-25"},
    {"MCP-Protocol-Version": "2026-07-28"},
)


WATCHED = "resources/subscribe of one that there is"


@pytest.mark.parametrize(
    ("method", "headers", "status", "reason"),
    [
        pytest.param(UNKNOWN, NEWER, 404, "unknown_method", id="the newer protocol wants 404"),
        pytest.param(UNKNOWN, NEWER | SESSION, 404, "unknown_method", id="it has no sessions"),
        pytest.param(UNKNOWN, OLDER, 404, "unknown_method", id="so the older without a session"),
        pytest.param(UNKNOWN, OLDER | SESSION, 200, "unknown_method", id="where there is one, 404 would end it"),
        pytest.param(UNKNOWN, SESSION, 200, "unknown_method", id="no version is the oldest"),
        pytest.param(UNNAMED, NEWER, 404, "unknown_method", id="a method that the newer one no longer has"),
        pytest.param(WATCHED, NEWER, 404, "unknown_method", id="whatever it names"),
        pytest.param(UNNAMED, OLDER | SESSION, 400, "invalid_request", id="the older one has it"),
        pytest.param(WATCHED, OLDER | SESSION, 403, "no_rule", id="and rules for what it names"),
    ],
)
def test_a_method_nobody_knows_is_refused_as_its_protocol_would(
    it: Guarded, method: str, headers: dict[str, str], status: int, reason: str
) -> None:
    params = {"uri": "data://one"} if method == WATCHED else {}
    body = {"jsonrpc": "2.0", "id": 7, "method": method.partition(" ")[0], "params": params}
    response = post(it, json.dumps(body).encode(), headers=headers)
    code = {"unknown_method": -32601, "invalid_request": -32600, "no_rule": 403}[reason]
    assert (response.status_code, response.json()["error"]["code"], response.json()["id"]) == (status, code, 7)
    assert it.server.reached == []  # type: ignore[attr-defined]
    [record] = it.records()
    assert record["reason"] == reason, "the record says what the answer says"


def test_a_runaway_client_is_told_how_long_to_wait(it: Guarded) -> None:
    answers = [post(it, message(id=f"call-{number}")) for number in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].headers["retry-after"] == "20"
    error = answers[3].json()
    assert error["id"] == "call-3"
    assert error["error"]["data"] | {"requestId": 0} == {
        "reason": "rate_limited",
        "retryable": True,
        "requestId": 0,
        "retryAfterMs": 20_000,
        "budget": "client",
        "limit": "3/minute",
        "remaining": 0,
    }


def test_a_body_over_the_limit_is_refused_without_being_read_to_its_end(it: Guarded) -> None:
    declared = post(it, b" " * (LIMIT + 1))
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 100_000_000:
            sent += 65_536
            yield b" " * 65_536

    try:
        streamed = httpx2.post(
            it.gate.resource, content=endless(), headers={"Authorization": f"Bearer {it.token('read')}"}
        )
    except httpx2.TransportError:
        pass  # the server may close before the client has read the answer
    else:
        assert streamed.status_code == 413
    assert declared.status_code == 413
    assert declared.json()["error"]["code"] == -32600
    assert sent < 50_000_000
    assert [record["reason"] for record in settled(it, 2)] == ["body_too_large"] * 2


@pytest.mark.parametrize("path", ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"])
def test_the_metadata_is_served_at_both_paths_to_anybody(it: Guarded, path: str) -> None:
    response = httpx2.get(it.gate.resource.removesuffix("/mcp") + path)
    assert response.status_code == 200
    assert response.json() == {
        "resource": it.gate.resource,
        "authorization_servers": ["https://as.example.com"],
        "scopes_supported": ["read", "write"],
        "bearer_methods_supported": ["header"],
    }
    assert it.server.reached == []  # type: ignore[attr-defined]


def test_no_other_path_below_the_well_known_one_is_answered(it: Guarded) -> None:
    url = it.gate.resource.removesuffix("/mcp") + "/.well-known/oauth-protected-resource/other"
    assert httpx2.get(url).status_code == 401


def test_a_browser_of_an_allowed_origin_may_ask_and_see(it: Guarded) -> None:
    origin = {"Origin": "https://app.example.com"}
    preflight = httpx2.options(
        it.gate.resource,
        headers=origin | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"},
    )
    refused = post(it, message(), token=None, headers=origin)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "authorization"
    assert refused.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]
    evil = httpx2.options(it.gate.resource, headers={"Origin": "https://evil.example"})
    assert evil.status_code == 403
    assert "access-control-allow-origin" not in evil.headers


def test_a_get_needs_a_token_and_is_recorded_when_it_ends(it: Guarded) -> None:
    assert httpx2.get(it.gate.resource).status_code == 401
    assert httpx2.get(it.gate.resource, headers={"Authorization": f"Bearer {it.token('read')}"}).status_code == 200
    assert [record["result"] for record in it.records()] == ["denied_auth", "success"]


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
def test_a_body_that_was_not_judged_goes_nowhere(it: Guarded, method: str) -> None:
    headers = {"Authorization": f"Bearer {it.token('read')}"}
    httpx2.request(method, it.gate.resource, content=message("delete_order"), headers=headers)
    [reached] = it.server.reached  # type: ignore[attr-defined]
    assert reached["body"] == b""


def test_an_answer_has_one_request_id_the_gates(it: Guarded) -> None:
    metadata = httpx2.get(it.gate.resource.removesuffix("/mcp") + "/.well-known/oauth-protected-resource")
    assert len(metadata.headers.get_list("x-request-id")) == 1
    headers = {"Authorization": f"Bearer {it.token('read')}"}
    with httpx2.stream("POST", it.gate.resource, content=message("read_half"), headers=headers) as response:
        assert len(response.headers.get_list("x-request-id")) == 1
        assert response.headers["x-request-id"] != "its own"


async def exchange(it: Guarded, receive: Any, *, method: str = "POST", **claims: Any) -> list[Any]:
    """What is sent for one request whose frames are made by hand."""
    sent: list[Any] = []

    async def send(frame: Any) -> None:
        sent.append(frame)

    scope = {
        "type": "http",
        "method": method,
        "path": "/mcp",
        "scheme": "https",
        "headers": [
            (b"host", it.gate.resource.split("/")[2].encode()),
            (b"authorization", f"Bearer {it.token('read', **claims)}".encode()),
        ],
    }
    await it.gate.protect(it.server)(scope, receive, send)  # type: ignore[attr-defined]
    return sent


async def never() -> Any:
    """A client that sends nothing more."""
    await asyncio.sleep(3600)


def test_a_body_that_takes_too_long_is_refused(it: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_READ_SECONDS", 0.05)
    sent = asyncio.run(exchange(it, never))
    assert sent[0]["status"] == 408
    assert [record["reason"] for record in it.records()] == ["body_too_slow"]


def test_a_request_that_is_cancelled_while_its_body_arrives_is_recorded_at_once(it: Guarded) -> None:
    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(exchange(it, never), 0.05)

    asyncio.run(cancelled())
    assert [record["result"] for record in it.records()] == ["cancelled"]


def test_a_stream_ends_with_its_token_and_an_answer_that_never_began_is_a_401(it: Guarded) -> None:
    it.server.ok = it.server.wait  # type: ignore[attr-defined]
    # Expired, and so near the end of the leeway of 30 s that the stream ends while it waits.
    sent = asyncio.run(exchange(it, never, method="GET", now=it.now - 629, exp=it.now - 29.9))
    assert sent[0]["status"] == 401
    assert [record["reason"] for record in it.records()] == ["token_expired"]


def test_a_websocket_is_refused(it: Guarded) -> None:
    sent: list[Any] = []

    async def connect() -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(frame: Any) -> None:
            sent.append(frame)

        await it.gate.protect(it.server)({"type": "websocket", "headers": []}, receive, send)  # type: ignore[attr-defined]

    asyncio.run(connect())
    assert [frame["type"] for frame in sent] == ["websocket.close"]
    assert it.server.websockets == 0  # type: ignore[attr-defined]


OLDER_SDK = """
import mcp.server.lowlevel.server
import toolgate

class FastMCP: ...

async def app(scope, receive, send): ...

gate = toolgate.Gate(
    resource="http://127.0.0.1/mcp",
    issuers=[toolgate.Issuer("https://as.example.com", ["ES256"])],
    audit=toolgate.Audit(path="audit.jsonl"),
)
print(type(gate.protect(app)).__name__)
try:
    gate.protect(FastMCP())
except TypeError as error:
    print(error)
"""


def test_beside_an_older_sdk_an_app_is_an_app(tmp_path: Path) -> None:
    """Version 1 has modules of the same names, and not the servers that are known here."""
    package = tmp_path / "mcp" / "server" / "lowlevel"
    package.mkdir(parents=True)
    for file in ("__init__.py", "../__init__.py", "../../__init__.py", "server.py"):
        (package / file).touch()
    path = os.pathsep.join([str(tmp_path), *(each for each in sys.path if each)])
    done = subprocess.run(
        [sys.executable, "-c", OLDER_SDK],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("GateASGI\nFastMCP is neither"), done.stderr
    assert "gate.protect(server.streamable_http_app())" in done.stdout
