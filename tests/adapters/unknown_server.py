"""An ASGI server that nobody here knows, and requests to it through a gate."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import httpx2
from guarded import Guarded

import doorward

LIMIT = 1000


class Server:
    """An ASGI server nobody here knows: it answers as the tool's name says, and remembers what reached it."""

    def __init__(self) -> None:
        self.reached: list[dict[str, Any]] = []
        self.websockets = 0
        self.may_end = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        if scope["type"] == "websocket":
            self.websockets += 1
            return
        body = (await receive())["body"]
        decision = doorward.current()
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


async def lifespan(receive: Any, send: Any) -> None:
    """Starts and ends, and does nothing else."""
    kind = ""
    while kind != "lifespan.shutdown":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})


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
