"""An introspection endpoint on loopback that tells what it was asked, and misbehaves as a test wants it to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

__all__ = ["Asked", "Endpoint", "endpoint", "hang", "huge", "later", "reply", "slowloris", "truncated"]

Behaviour = Callable[["Endpoint", socket.socket], None]


@dataclass(frozen=True)
class Asked:
    """A question as it came."""

    headers: dict[str, str]
    form: dict[str, str]


@dataclass
class Endpoint:
    """The endpoint while it runs; ``behaviour`` may be changed at any time."""

    url: str
    behaviour: Behaviour
    asked: list[Asked] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def answer(self, document: Any, **options: Any) -> None:
        """Answer everything with this document from now on."""
        self.behaviour = reply(document, **options)


def reply(document: Any, *, status: str = "200 OK", content_type: str | None = "application/json") -> Behaviour:
    """An ordinary answer; bytes are sent as they are."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    typed = "" if content_type is None else f"content-type: {content_type}\r\n"

    def behave(_endpoint: Endpoint, connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {status}\r\n{typed}content-length: {len(body)}\r\n\r\n".encode() + body)

    return behave


def later(behaviour: Behaviour, event: threading.Event) -> Behaviour:
    """The same, once the event is set."""

    def behave(endpoint: Endpoint, connection: socket.socket) -> None:
        while not event.wait(0.02) and not endpoint.closing.is_set():
            pass
        behaviour(endpoint, connection)

    return behave


def hang(endpoint: Endpoint, _connection: socket.socket) -> None:
    """Not a byte, ever."""
    endpoint.closing.wait(60)


def slowloris(endpoint: Endpoint, connection: socket.socket) -> None:
    """One byte a second."""
    body = b'{"active": true}' + b" " * 1000
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1016\r\n\r\n")
    for byte in body:
        connection.sendall(bytes([byte]))
        if endpoint.closing.wait(1):
            return


def truncated(_endpoint: Endpoint, connection: socket.socket) -> None:
    """A connection that ends before the answer does."""
    connection.sendall(
        b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"active": true'
    )


def huge(endpoint: Endpoint, connection: socket.socket) -> None:
    """An answer without end."""
    connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{"active": true, "x": "')
    while not endpoint.closing.is_set():
        connection.sendall(b"x" * 65_536)


@contextmanager
def endpoint(behaviour: Behaviour) -> Iterator[Endpoint]:
    """An endpoint with a thread for each connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        running = Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/introspect", behaviour)
        threads: list[threading.Thread] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threads.append(threading.Thread(target=_serve, args=(running, connection)))
                    threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield running
        finally:
            running.closing.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in [acceptor, *threads]:
                thread.join(10)


def _serve(running: Endpoint, connection: socket.socket) -> None:
    with connection, suppress(OSError, ValueError):
        connection.settimeout(10)
        with connection.makefile("rb") as stream:
            lines = [line.decode().strip() for line in iter(stream.readline, b"\r\n")]
            headers = dict(map(_header, lines[1:]))
            body = stream.read(int(headers["content-length"])).decode()
        running.asked.append(Asked(headers, {name: values[0] for name, values in parse_qs(body).items()}))
        running.arrived.release()
        running.behaviour(running, connection)


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name.lower(), value
