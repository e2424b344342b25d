"""Lists of a server without a message tier: what its caller could not call is left out of the answer as it passes, and
what cannot be read passes as it is."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from adapters.serving import listening, served, url_of
from adapters.unknown_server import lifespan, settled
from guarded import Guarded

import doorward
from doorward.adapters import list_answers
from doorward.adapters.asgi import GateASGI
from doorward.adapters.wire import Message, Receive, Scope, Send

TOOLS = ["delete_order", "read_order", "unruled", "read_more"]
SHOWN = ["read_order", "read_more"]
JSON, EVENTS = b"application/json", b"text/event-stream; charset=utf-8"


class Listing:
    """An ASGI app that answers with frames made by a test."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.frames: list[bytes] = []
        self.seen: dict[bytes, bytes] = {}
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def answers(self, kind: bytes, *frames: bytes, **headers: str) -> None:
        more = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        self.headers, self.frames = [(b"content-type", kind), *more], list(frames)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        self.seen = dict(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        for number, frame in enumerate(self.frames):
            if number:
                while not self.may_go_on.is_set():
                    time.sleep(0.01)  # noqa: ASYNC251 - nothing else runs on this loop
            await send({"type": "http.response.body", "body": frame, "more_body": number + 1 < len(self.frames)})
        if not self.frames:
            raise RuntimeError("it fails once it has begun")


class Shop:
    """The app behind a gate."""

    def __init__(self, it: Guarded, app: Listing) -> None:
        self.it = it
        self.app = app

    def ask(self, method: str = "tools/list", *scopes: str) -> httpx2.Response:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method})
        return httpx2.post(self.it.gate.resource, content=body, headers=self.headers(*scopes))

    def headers(self, *scopes: str) -> dict[str, str]:
        token = self.it.token(*(scopes or ("read",)))
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


@pytest.fixture
def shop(guarded: Callable[..., Guarded]) -> Iterator[Shop]:
    app = Listing()
    with listening() as listener:
        it = guarded(
            resource=url_of(listener),
            resources=[doorward.ResourceRule("data://open/*", scopes=[])],
            prompts=[doorward.PromptRule("ask_*", scopes=[])],
        )
        it.now = time.time()
        with served(it.gate.protect(app), listener):
            yield Shop(it, app)


def answer(tools: list[Any] | None = None, **more: Any) -> bytes:
    """A list of tools, as a server sends it."""
    items = [{"name": name, "inputSchema": {}} for name in TOOLS] if tools is None else tools
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": items, **more}}).encode()


def names(text: str | bytes) -> list[str]:
    return [tool["name"] for tool in json.loads(text)["result"]["tools"]]


def data(event: str) -> str:
    return "".join(line[6:] for line in event.splitlines() if line.startswith("data: "))


def test_a_list_in_json_shows_what_its_caller_may_call(shop: Shop) -> None:
    body = answer(nextCursor="2", cacheScope="public")
    shop.app.answers(JSON, body[:40], body[40:41], body[41:], content_length=str(len(body)))
    got = shop.ask()
    assert names(got.text) == SHOWN
    result = got.json()["result"]
    assert (result["nextCursor"], result["cacheScope"]) == ("2", "private")
    assert got.headers["content-length"] == str(len(got.content))
    assert names(shop.ask("tools/list", "write").text) == ["delete_order", "read_order", "read_more"]
    assert [record["result"] for record in settled(shop.it, 2)] == ["success", "success"]


@pytest.mark.parametrize(
    ("method", "member", "named_by", "given", "shown"),
    [
        ("resources/list", "resources", "uri", ["data://open/1", "data://closed/1"], ["data://open/1"]),
        ("resources/templates/list", "resourceTemplates", "uriTemplate", ["data://{x}", "file://{x}"], ["data://{x}"]),
        ("prompts/list", "prompts", "name", ["ask_this", "other"], ["ask_this"]),
    ],
)
def test_so_does_every_other_list(
    shop: Shop, method: str, member: str, named_by: str, given: list[str], shown: list[str]
) -> None:
    items = [{named_by: name} for name in given]
    shop.app.answers(JSON, json.dumps({"jsonrpc": "2.0", "id": 1, "result": {member: items}}).encode())
    result = shop.ask(method).json()["result"]
    assert [item[named_by] for item in result[member]] == shown


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_list_in_a_stream_does_in_whatever_pieces_it_comes(shop: Shop, newline: str, size: int) -> None:
    progress = '{"jsonrpc":"2.0","method":"notifications/progress","params":{}}'
    half = answer().decode().replace('"result"', '\ndata: "result"')  # an event may have several lines of data
    stream = f": hello\n\ndata: {progress}\n\nevent: message\nid: 7\ndata: {half}\n\n: bye\n\ndata: begun"
    text = stream.replace("\n", newline).encode()
    shop.app.answers(EVENTS, *(text[at : at + size] for at in range(0, len(text), size)))
    got = shop.ask().text
    hello, told, listed, bye, begun = got.split(newline * 2)
    assert (hello, told, bye, begun) == (": hello", f"data: {progress}", ": bye", "data: begun")
    assert listed.startswith(f"event: message{newline}id: 7{newline}")
    assert names(data(listed)) == SHOWN


def test_what_comes_before_the_list_is_not_held(shop: Shop) -> None:
    shop.app.may_go_on.clear()
    shop.app.answers(EVENTS, b"data: first\n\n", b"data: " + answer() + b"\n\n")
    body = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    with httpx2.stream("POST", shop.it.gate.resource, content=body, headers=shop.headers(), timeout=10) as stream:
        parts = stream.iter_text()
        assert next(parts) == "data: first\n\n"
        shop.app.may_go_on.set()
        assert names(data("".join(parts))) == SHOWN


def test_the_server_is_asked_for_what_can_be_read(shop: Shop) -> None:
    shop.app.answers(JSON, answer())
    shop.ask()
    assert shop.app.seen[b"accept-encoding"] == b"identity"
    shop.ask("ping")
    assert shop.app.seen[b"accept-encoding"] != b"identity"


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b'{"jsonrpc":"2.0","id":1,"result":{"tools":"many"}}',
        b'{"jsonrpc":"2.0","id":1,"result":[]}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}',
        b"[" * 100_000,
        b'{"result":{"tools":[{"name":"unruled"},{"name":"read_order","default":1e400}]}}',
        b"",
    ],
)
def test_what_cannot_be_read_passes(shop: Shop, body: bytes) -> None:
    """A list is a courtesy: whatever it has shown, each call is judged."""
    shop.app.answers(JSON, body[:20], body[20:])
    assert shop.ask().content == body
    shop.app.answers(EVENTS, b"data: " + body + b"\n\n")
    assert shop.ask().content == b"data: " + body + b"\n\n"
    shop.app.answers(b"text/plain", body)
    assert shop.ask().content == body


def test_what_is_no_object_has_no_name_and_is_left_out(shop: Shop) -> None:
    shop.app.answers(JSON, answer([1, None, "read_order", {}, {"name": 5}, {"name": "read_order"}]))
    assert names(shop.ask().text) == ["read_order"]


def test_a_compressed_list_passes(shop: Shop) -> None:
    shop.app.answers(JSON, gzip.compress(answer()), content_encoding="gzip")
    assert names(shop.ask().text) == TOOLS


@pytest.mark.parametrize("kind", [JSON, EVENTS])
def test_a_list_that_is_too_long_is_not_held(shop: Shop, monkeypatch: pytest.MonkeyPatch, kind: bytes) -> None:
    monkeypatch.setattr(list_answers, "_MAX_HELD", 100)
    body = answer() if kind == JSON else b"data: " + answer() + b"\n\n"
    shop.app.may_go_on.clear()
    shop.app.answers(kind, body[:120], body[120:])
    asked = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    with httpx2.stream("POST", shop.it.gate.resource, content=asked, headers=shop.headers(), timeout=10) as stream:
        parts = stream.iter_bytes()
        assert next(parts) == body[:120]
        shop.app.may_go_on.set()
        assert b"".join(parts) == body[120:]


def test_without_filter_lists_nothing_is_read(guarded: Callable[..., Guarded]) -> None:
    app = Listing()
    with listening() as listener:
        it = guarded(resource=url_of(listener), filter_lists=False)
        it.now = time.time()
        with served(it.gate.protect(app), listener):
            app.answers(JSON, answer())
            assert names(Shop(it, app).ask().text) == TOOLS


def test_a_server_that_fails_before_its_list_is_sent_is_answered_for(shop: Shop) -> None:
    shop.app.answers(JSON)
    got = shop.ask()
    assert (got.status_code, got.text) == (500, "Internal Server Error")
    [record] = settled(shop.it, 1)
    assert (record["result"], record["reason"]) == ("error", "exception")
    assert got.headers["x-request-id"] == record["request_id"]


@pytest.mark.anyio
async def test_what_stands_outside_may_add_to_the_headers_of_such_an_answer(guarded: Callable[..., Guarded]) -> None:
    it = guarded()
    sent: list[Message] = []

    async def breaks(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        raise RuntimeError("broken")

    async def receive() -> Message:
        return {"type": "http.request", "body": b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', "more_body": False}

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"].append((b"x-outer", b"1"))
        sent.append(message)

    credentials = (b"authorization", f"Bearer {it.token('read')}".encode())
    scope: Scope = {"type": "http", "scheme": "https", "method": "POST", "path": "/mcp", "client": ("127.0.0.1", 1)}
    scope["headers"] = [(b"host", b"mcp.example.com"), credentials]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            await GateASGI(it.gate, breaks)(scope, receive, adding)
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert [start["status"] for start in starts] == [500, 500]
    assert [start["headers"].count((b"x-outer", b"1")) for start in starts] == [1, 1]
