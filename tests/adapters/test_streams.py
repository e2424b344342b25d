"""Streams that carry no call: a client has so many at once, and each that has ended makes room, however it ended."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import pytest
from adapters.desk import RULES, Desk, open_session, opening, tools, until
from adapters.serving import listening, served, url_of
from adapters.unknown_server import lifespan, settled
from guarded import Guarded, message

import doorward
from doorward.adapters import streams

Make = Callable[..., Guarded]

TWO = doorward.Limits(streams=2)
KINDS = ["GET", "subscriptions/listen"]


class Streaming:
    """An app nobody here knows that answers whatever it gets with a stream that ends when it is told to."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.fails = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        if scope["method"] == "DELETE":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b": open\n\n", "more_body": True})
        await receive()  # the body
        gone = asyncio.ensure_future(receive())
        while not (self.may_end.is_set() or gone.done()):
            if self.fails:
                raise RuntimeError("the server crashed")
            await asyncio.sleep(0.01)
        gone.cancel()
        await send({"type": "http.response.body", "body": b""})


class Room:
    """One server behind a gate, and how to open a stream there."""

    def __init__(self, it: Guarded, app: Any, how: str) -> None:
        self.it = it
        self.app = app
        self.method = "GET" if how == "GET" else "POST"
        self.body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": how}).encode() if how != "GET" else b""

    def opens(self, **claims: Any) -> Any:
        return httpx2.stream(self.method, self.it.gate.resource, headers=self._headers(**claims), content=self.body)

    def asks(self, method: str = "", body: bytes | None = None, **claims: Any) -> httpx2.Response:
        """A request that is answered at once."""
        content = self.body if body is None else body
        return httpx2.request(
            method or self.method, self.it.gate.resource, headers=self._headers(**claims), content=content, timeout=10
        )

    def is_free(self) -> bool:
        """Whether there is room for one more."""
        with self.opens() as stream:
            return bool(stream.status_code == 200)

    def _headers(self, **claims: Any) -> dict[str, str]:
        token = self.it.token("read", **claims)
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


@pytest.fixture(params=KINDS)
def room(request: pytest.FixtureRequest, guarded: Make) -> Iterator[Room]:
    with listening() as listener:
        it = guarded(resource=url_of(listener), limits=TWO)
        it.now = time.time()
        app = Streaming()
        with served(it.gate.protect(app), listener):
            yield Room(it, app, request.param)
            app.may_end.set()


@contextmanager
def full(room: Room) -> Iterator[None]:
    """With as many streams as there may be."""
    with ExitStack() as stack:
        opened = [stack.enter_context(room.opens()).iter_text() for _ in range(2)]
        assert [next(parts) for parts in opened] == [": open\n\n"] * 2
        yield
        opened.clear()  # one that is dropped closes its stream


def test_one_more_is_refused_and_nobody_else_notices(room: Room) -> None:
    with full(room):
        refused = room.asks()
        assert refused.status_code == 429
        data = refused.json()["error"]["data"]
        assert (data["reason"], data["budget"], data["limit"]) == ("too_many_in_flight", "streams", "2 in flight")
        assert refused.headers["retry-after"] == "1"
        assert room.asks("DELETE").status_code == 204, "a session can still be ended"
        with room.opens(client_id="agent-2") as another:
            assert another.status_code == 200
    [record] = [record for record in room.it.records() if record["result"] == "denied_rate"]
    assert (record["reason"], record["budget"], record["client_id"]) == ("too_many_in_flight", "streams", "agent-1")


def test_a_call_takes_no_stream(room: Room) -> None:
    with full(room):
        room.app.may_end.set()
        assert room.asks("POST", message("read_order")).status_code == 200


@pytest.mark.parametrize("how", ["it ends", "its client goes", "the server fails", "its token is revoked"])
def test_however_one_ends_there_is_room_again(room: Room, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_LOOK_SECONDS", 0.02)
    with full(room):
        assert not room.is_free()
        if how == "it ends":
            room.app.may_end.set()
        elif how == "the server fails":
            room.app.fails = True
        elif how == "its token is revoked":
            room.it.gate.revoke(subject="user-1", issuer=room.it.issuer.url)
        if how != "its client goes":
            assert len(settled(room.it, 3)) == 3, "while their clients still wait"
    until(lambda: len(room.it.gate._steps.spender._slots) == 0)


@pytest.mark.parametrize("how", KINDS)
def test_behind_a_server_of_the_sdk_it_is_the_same(guarded: Make, how: str) -> None:
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES, limits=doorward.Limits(streams=1))
        it.now = time.time()
        with served(it.gate.protect(tools([])), listener):
            desk = Desk(it, None, [])

            def opens() -> Any:
                # Of a session of its own: of one session the server itself allows no second stream.
                method, headers, body = opening(desk, how)
                headers["Authorization"] = f"Bearer {it.token('read')}"
                return httpx2.stream(method, it.gate.resource, headers=headers, content=body, timeout=10)

            with opens() as first, opens() as second:
                assert (first.status_code, second.status_code) == (200, 429)
                assert b"too_many_in_flight" in second.read()
                open_session(desk)  # messages go on

            def is_free() -> bool:
                with opens() as again:
                    return bool(again.status_code == 200)

            until(is_free)


def test_a_rules_own_number_counts_beside_it(guarded: Make) -> None:
    rule = doorward.MethodRule("subscriptions/listen", scopes=[], concurrency=1)
    with listening() as listener:
        it = guarded(resource=url_of(listener), methods=[rule], limits=TWO)
        it.now = time.time()
        app = Streaming()
        with served(it.gate.protect(app), listener):
            room = Room(it, app, "subscriptions/listen")
            with room.opens() as first, room.opens() as second:
                assert (first.status_code, second.status_code) == (200, 429)
                assert json.loads(second.read())["error"]["data"]["budget"] == "subscriptions/listen"
            app.may_end.set()
            until(lambda: len(it.gate._steps.spender._slots) == 0)
