"""An authorization server on the loopback that counts what it is asked and misbehaves as it is told.

Written on sockets, since no web framework sends a byte a second or promises more than it delivers. It runs in a thread
with an event loop of its own: whatever the test does, it goes on.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

MIB = 1024 * 1024


@dataclass
class Mode:
    """How an endpoint answers; the words of the scenarios."""

    name: str = "ok"
    options: dict[str, Any] = field(default_factory=dict)


class Misbehaving:
    """What it serves and how is changed by setting attributes; what it was asked is counted by endpoint."""

    def __init__(self, port: int, *, path: str = "") -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}{path}"
        self.jwks: Any = {"keys": []}
        self.metadata: Any = {"issuer": self.url, "jwks_uri": f"http://127.0.0.1:{port}/jwks"}
        self.served_at = {f"/.well-known/oauth-authorization-server{path}"}
        self.gone: set[str] = set()
        self.pages: dict[str, bytes] = {}  # what is served at a path, whatever it should be
        self.tokens: dict[str, dict[str, Any]] = {}
        self.answer: dict[str, Any] = {"active": True, "iss": self.url}
        self.modes = {"jwks": Mode(), "metadata": Mode(), "introspect": Mode()}
        self.counts: Counter[str] = Counter()
        self.asked: list[str] = []
        self.clock: Callable[[], float] = time.monotonic
        self.times: list[float] = []  # of the requests for keys, by the clock
        self.headers: list[dict[str, str]] = []
        self.forms: list[dict[str, str]] = []
        self.in_flight: Counter[str] = Counter()
        self.most_in_flight: Counter[str] = Counter()
        self.connections = 0
        self._changed = threading.Condition()
        self.open_connections = 0

    def mode(self, endpoint: str, name: str, **options: Any) -> None:
        """``endpoint``: jwks, metadata or introspect."""
        self.modes[endpoint] = Mode(name, options)

    def is_quiet(self, *, within: float = 2.0) -> bool:
        """Whether every connection has ended, or does soon."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.open_connections, within)

    # --- the server ---------------------------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        self._opened(1)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the other side has gone
        finally:
            writer.close()
            self._opened(-1)

    def _opened(self, change: int) -> None:
        with self._changed:
            self.connections += max(change, 0)
            self.open_connections += change
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.asked.append(path)
        self.headers.append(headers)
        endpoint = {"/jwks": "jwks", "/introspect": "introspect"}.get(path.partition("?")[0], "metadata")
        self.counts[endpoint] += 1
        if endpoint == "jwks":
            self.times.append(self.clock())
        self.in_flight[endpoint] += 1
        self.most_in_flight[endpoint] = max(self.most_in_flight[endpoint], self.in_flight[endpoint])
        try:
            if path in self.gone or (endpoint == "metadata" and path not in self.served_at):
                await send(writer, b"{}", status="404 Not Found")
            else:
                document = self.pages.get(path) or self._document(endpoint, body)
                await self._misbehave(self.modes[endpoint], document, reader, writer)
        finally:
            self.in_flight[endpoint] -= 1

    def _document(self, endpoint: str, body: bytes) -> Any:
        if endpoint == "jwks":
            return self.jwks
        if endpoint == "metadata":
            return self.metadata
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.forms.append(form)
        return self.tokens.get(form.get("token", ""), self.answer)

    async def _misbehave(
        self, mode: Mode, document: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        good = document if isinstance(document, bytes) else json.dumps(document).encode()
        match mode.name:
            case "ok":
                await send(writer, good)
            case "delay":
                await asyncio.sleep(mode.options["ms"] / 1000)
                await send(writer, good)
            case "refuse":  # the port stays ours: a connection that is cut stands for one that is refused
                writer.transport.abort()
            case "hang":
                await reader.read()
            case "slowloris":
                await trickle(writer, answer(good), mode.options.get("bytes_per_s", 1))
            case "huge":
                await flood(writer, mode.options.get("mib", 64))
            case "redirect":
                location = mode.options.get("to", f"http://127.0.0.1:{self.port}/jwks?again")
                await send(writer, b"", status="302 Found", location=location)
            case "html":
                await send(writer, b"<!doctype html><title>Welcome</title>", content_type="text/html")
            case "gzip_bomb":
                bomb = gzip.compress(b" " * MIB) * mode.options.get("mib", 512)
                await send(writer, bomb, content_encoding="gzip")
            case "500":
                await send(writer, good, status="500 Internal Server Error")
            case "truncated":
                writer.write(answer(good)[:-10])
                await writer.drain()
            case "cut":  # its length is right, and the JSON stops
                await send(writer, good[: len(good) // 2])
            case "empty_keys":
                await send(writer, b'{"keys":[]}')
            case "10k_keys":
                key = document["keys"][0]
                await send(writer, json.dumps({"keys": [{**key, "kid": str(n)} for n in range(10_000)]}).encode())
            case "active_string_true":
                await send(writer, json.dumps({**document, "active": "true"}).encode())
            case "active_1":
                await send(writer, json.dumps({**document, "active": 1}).encode())
            case "aud_missing":
                await send(writer, json.dumps({k: v for k, v in document.items() if k != "aud"}).encode())
            case "aud_other":
                await send(writer, json.dumps({**document, "aud": "https://other.example.com/mcp"}).encode())
            case "iss_other":
                await send(writer, json.dumps({**document, "iss": "https://other.example.com"}).encode())
            case unknown:
                raise AssertionError(f"no such mode: {unknown}")


def answer(body: bytes, *, status: str = "200 OK", content_type: str = "application/json", **headers: str) -> bytes:
    """A whole HTTP response."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode() + body


async def send(writer: asyncio.StreamWriter, body: bytes, **options: str) -> None:
    """Answer at once."""
    writer.write(answer(body, **options))
    await writer.drain()


async def trickle(writer: asyncio.StreamWriter, data: bytes, bytes_per_second: float) -> None:
    """A byte at a time: no read ever times out."""
    for byte in data:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1 / bytes_per_second)


async def flood(writer: asyncio.StreamWriter, mib: int) -> None:
    """Valid JSON without an end in sight, in chunks, so that no length warns."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    for piece in [b'{"keys":[', *[b" " * MIB] * mib, b"]}", b""]:
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()


@contextmanager
def listening(*, path: str = "", tls: Any = None) -> Iterator[Misbehaving]:
    """A server that listens, in a thread, until the end of the block. ``tls``: an `SSLContext` to serve with."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = Misbehaving(listener.getsockname()[1], path=path)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    thread = threading.Thread(target=_run, args=(loop, server, listener, tls, ready), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _run(
    loop: asyncio.AbstractEventLoop, server: Misbehaving, listener: socket.socket, tls: Any, ready: threading.Event
) -> None:
    asyncio.set_event_loop(loop)
    listening = loop.run_until_complete(asyncio.start_server(server.serve, sock=listener, ssl=tls))
    loop.call_soon(ready.set)
    loop.run_forever()
    listening.close()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
