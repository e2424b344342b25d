"""A real server for a test: uvicorn on a free loopback port, in a thread of its own."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import uvicorn


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A socket bound to a free loopback port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener


def url_of(listener: socket.socket) -> str:
    """The resource that is served on the socket."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"


@contextmanager
def served(app: Any, listener: socket.socket, *, log_level: str = "critical") -> Iterator[None]:
    """The app, served on the socket while the block runs."""
    server = uvicorn.Server(uvicorn.Config(app, log_level=log_level, proxy_headers=False))
    # A server that hangs fails its test, and must not keep the whole run from ending as well.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the server did not start")
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(30)


def wait_for(process: subprocess.Popen[bytes], url: str, *, is_ready: Callable[[], bool] = lambda: True) -> None:
    """Until a server in a process of its own answers."""
    deadline = time.monotonic() + 60
    while not (is_ready() and _answers(url)):
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        httpx2.get(url)
    except httpx2.TransportError:
        return False
    return True
