"""A real Redis, or the Valkey that DOORWARD_REDIS_SERVER names, on a free port of the loopback and on a socket file."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from programs import impossible, program
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from servers.lifetimes import Process

START_SECONDS: Final = 20
"""Of which a hundredth is usual."""


class RedisServer:
    """One server, which forgets everything when it ends. `restart` keeps its port and its options."""

    def __init__(self, *options: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="redis-"))  # short: a socket's path has room for 107 bytes
        self.port = free_port()
        self._options = options
        self._process: Process | None = None
        self._client: Redis | None = None
        self.start()

    @property
    def url(self) -> str:
        """Over TCP."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """Over the socket file."""
        return f"unix://{self._socket}?db=0"

    @property
    def client(self) -> Redis:
        """The test's own connection, over the socket file: never in the way of what is tested."""
        if self._client is None:
            self._client = Redis(
                unix_socket_path=str(self._socket),
                socket_timeout=START_SECONDS,
                decode_responses=True,
                encoding_errors="backslashreplace",
                retry=Retry(NoBackoff(), 0),
            )
        return self._client

    @property
    def alive(self) -> bool:
        """Whether the process runs, paused or not."""
        return self._process is not None and self._process.alive

    @property
    def process_id(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.id

    def start(self) -> None:
        """Return when it answers."""
        self._socket.unlink(missing_ok=True)
        log = self.directory / "log"
        words = ["redis-server", *self._arguments()]
        self._process = Process(words, executable=_executable(), log=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if not self._process.alive or time.monotonic() > deadline:
                complaint = self._process.complaint
                self.kill()
                raise RuntimeError(f"redis-server did not start:\n{complaint}")
            time.sleep(0.005)

    def kill(self) -> None:
        """SIGKILL: what it knew is lost, its connections are reset."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """The same server with nothing in it."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, the system goes on accepting new ones, nobody answers."""
        assert self._process is not None
        self._process.pause()

    def resume(self) -> None:
        """SIGCONT: whatever was sent in the meantime is read and done."""
        assert self._process is not None
        self._process.resume()

    def close(self) -> None:
        """End it, and remove its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def clear(self) -> None:
        """As if it had just started, for the next test: no keys, no scripts, no counts."""
        self.client.flushall()
        self.client.script_flush()
        self.client.config_resetstat()

    def microseconds(self) -> int:
        """The server's own clock, by which it limits."""
        seconds, rest = self.client.time()
        return int(seconds) * 1_000_000 + int(rest)

    def calls(self, *commands: str) -> int:
        """How often these commands were called since `clear`, whether over a connection or out of a script."""
        counts: Any = self.client.info("commandstats")
        return sum(counts.get(f"cmdstat_{command}", {"calls": 0})["calls"] for command in commands)

    def script_calls(self) -> int:
        """How many scripts ran, or were asked for and not known."""
        return self.calls("evalsha", "eval", "fcall")

    def connections(self) -> int:
        """How many were ever opened since `clear`, the test's own included."""
        counts: Any = self.client.info("stats")
        return int(counts["total_connections_received"])

    @property
    def _socket(self) -> Path:
        return self.directory / "socket"

    def _arguments(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "save": "",
            "appendonly": "no",
            "enable-debug-command": "local",
        }
        return [*(word for name, value in settings.items() for word in (f"--{name}", value)), *self._options]

    def _answers(self) -> bool:
        try:
            return self._socket.exists() and bool(self.client.ping())
        except RedisError:
            return False


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """A server of one's own while the block runs."""
    server = RedisServer(*options)
    try:
        yield server
    finally:
        server.close()


def free_port() -> int:
    """A port nobody listens on. Somebody may before we do, which then is an error at start, and rare."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _executable() -> str:
    named = os.environ.get("DOORWARD_REDIS_SERVER")
    if named is None:
        return program("redis-server")
    found = shutil.which(named)
    if found is None:
        impossible(f"DOORWARD_REDIS_SERVER={named} names no program: the path of a redis-server or valkey-server")
    return found
