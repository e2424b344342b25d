"""Any ASGI app behind the gate, over real HTTP: what reaches it, what is answered in its place, what is recorded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from adapters.unknown_server import exchange, never, post, settled
from guarded import Guarded, message

from doorward.extras import install


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
        "budgetScope": "client",
        "window": "minute",
        "budget": "client",
        "limit": "3/minute",
        "remaining": 0,
    }


def test_a_get_needs_a_token_and_is_recorded_when_it_ends(it: Guarded) -> None:
    assert httpx2.get(it.gate.resource).status_code == 401
    assert httpx2.get(it.gate.resource, headers={"Authorization": f"Bearer {it.token('read')}"}).status_code == 200
    assert [record["result"] for record in it.records()] == ["denied_auth", "success"]


def test_an_answer_has_one_request_id_the_gates(it: Guarded) -> None:
    metadata = httpx2.get(it.gate.resource.removesuffix("/mcp") + "/.well-known/oauth-protected-resource")
    assert len(metadata.headers.get_list("x-request-id")) == 1
    headers = {"Authorization": f"Bearer {it.token('read')}"}
    with httpx2.stream("POST", it.gate.resource, content=message("read_half"), headers=headers) as response:
        assert len(response.headers.get_list("x-request-id")) == 1
        assert response.headers["x-request-id"] != "its own"


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


BARE = """
import sys
sys.modules.update({"mcp": None, "fastmcp": None})
import doorward
gate = doorward.Gate(
    resource="http://127.0.0.1/mcp",
    issuers=[doorward.Issuer("https://as.example.com", ["ES256"])],
    audit=doorward.Audit(path="audit.jsonl"),
)
try:
    getattr(gate, sys.argv[1])()
except ModuleNotFoundError as error:
    print(error)
"""


@pytest.mark.parametrize(("name", "extra"), [("auth", "fastmcp"), ("middleware", "fastmcp"), ("token_verifier", "mcp")])
def test_a_framework_that_is_not_installed_is_told_by_its_extra(tmp_path: Path, name: str, extra: str) -> None:
    command = [sys.executable, "-c", BARE, name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"gate.{name}() needs {extra}: {install(extra)}\n"


OLDER_SDK = """
import mcp.server.lowlevel.server
import doorward

class FastMCP: ...

async def app(scope, receive, send): ...

gate = doorward.Gate(
    resource="http://127.0.0.1/mcp",
    issuers=[doorward.Issuer("https://as.example.com", ["ES256"])],
    audit=doorward.Audit(path="audit.jsonl"),
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
