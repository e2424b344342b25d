"""The body of a request: how much of it is read, for how long, and what becomes of one that is not judged."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import httpx2
import pytest
from adapters.unknown_server import LIMIT, exchange, never, post, settled
from guarded import Guarded, message

from doorward.adapters import bodies
from doorward.adapters.wire import Message


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


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
def test_a_body_that_was_not_judged_goes_nowhere(it: Guarded, method: str) -> None:
    headers = {"Authorization": f"Bearer {it.token('read')}"}
    httpx2.request(method, it.gate.resource, content=message("delete_order"), headers=headers)
    [reached] = it.server.reached  # type: ignore[attr-defined]
    assert reached["body"] == b""


def test_a_body_that_takes_too_long_is_refused(it: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_READ_SECONDS", 0.05)
    sent = asyncio.run(exchange(it, never))
    assert sent[0]["status"] == 408
    assert [record["reason"] for record in it.records()] == ["body_too_slow"]


@pytest.mark.parametrize("begun", [b"", b'{"jsonrpc":'], ids=["nothing of it", "a part of it"])
def test_a_body_that_stops_on_its_way_is_refused(it: Guarded, monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    """By uvicorn, whose `receive` takes its first step outside of the timer's scope."""
    monkeypatch.setattr(bodies, "_READ_SECONDS", 0.2)
    at = urlsplit(it.gate.resource)
    lines = (f"POST {at.path} HTTP/1.1", f"Host: {at.netloc}", "Content-Length: 100")
    head = "\r\n".join([*lines, f"Authorization: Bearer {it.token('read')}"])
    with socket.create_connection((at.hostname, at.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + begun)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")
    assert [record["reason"] for record in settled(it, 1)] == ["body_too_slow"]


def test_a_body_in_pieces_is_put_together(it: Guarded) -> None:
    whole = message("read_order")
    pieces = (whole[start : start + 7] for start in range(0, len(whole), 7))
    answer = httpx2.post(it.gate.resource, content=pieces, headers={"Authorization": f"Bearer {it.token('read')}"})
    assert answer.status_code == 200
    [reached] = it.server.reached  # type: ignore[attr-defined]
    assert reached["body"] == whole


def test_a_request_that_is_cancelled_while_its_body_arrives_is_recorded_at_once(it: Guarded) -> None:
    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(exchange(it, never), 0.05)

    asyncio.run(cancelled())
    assert [record["result"] for record in it.records()] == ["cancelled"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("chunks", [[b"{}"], [b"{", b"}"]], ids=["whole", "in two"])
def test_what_receives_may_wait_in_scopes_of_its_own(backend: str, chunks: list[bytes]) -> None:
    """Middleware of Starlette waits for a message in a task group: it ends before anything around it does."""
    left = list(chunks)

    async def receive() -> Message:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0.01)
            await anyio.lowlevel.checkpoint()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def read() -> bytes:
        found = bodies.read_body(receive, bodies.Body(10))
        return found if isinstance(found, bytes) else await found

    assert anyio.run(read, backend=backend) == b"{}"


def test_whoever_went_before_the_body_came_has_sent_no_bad_one() -> None:
    class Gone:
        async def receive(self) -> Message:
            return {"type": "http.disconnect"}

    Gone.__module__ = "uvicorn.protocols.http.any"
    with pytest.raises(bodies.Disconnected):
        bodies.read_body(Gone().receive, bodies.Body(9))
