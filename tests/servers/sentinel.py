"""A master, its replica, and a Sentinel that puts the one in the place of the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from servers.standalone import START_SECONDS, RedisServer

NAME: Final = "main"
"""Under which clients ask the Sentinel for the master."""

DOWN_MILLISECONDS: Final = 500
"""Of silence, after which the Sentinel calls a master dead."""


@dataclass(frozen=True)
class Watched:
    """One Sentinel, so its own opinion is a quorum."""

    sentinel: RedisServer
    master: RedisServer
    replica: RedisServer

    @property
    def url(self) -> str:
        """Of the Sentinel, with the name of what it watches."""
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{NAME}/0"

    def copied(self) -> None:
        """Return when the replica has all that the master had been told."""
        told: Any = self.master.client.info("replication")
        wanted = told["master_repl_offset"]
        _until(lambda: _offset(self.replica) >= wanted, "the replica's copy")

    def fail_over(self) -> None:
        """Kill the master; return when the Sentinel names the replica, and this is one no more."""
        self.master.kill()
        _until(lambda: self._named() == self.replica.port and _role(self.replica) == "master", "the failover")

    def _named(self) -> int:
        _, port = self.sentinel.client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", NAME)
        return int(port)


@contextmanager
def watched_redis() -> Iterator[Watched]:
    """A master and a replica that is up to date, watched, while the block runs."""
    with ExitStack() as stack:
        master = RedisServer("--repl-diskless-sync-delay", "0")
        stack.callback(master.close)
        replica = RedisServer("--replicaof", "127.0.0.1", str(master.port))
        stack.callback(replica.close)
        _until(lambda: _is_linked(replica), "the replica's first copy")
        sentinel = _Sentinel(master.port)
        stack.callback(sentinel.close)
        _until(lambda: _replicas_known(sentinel) == 1, "the Sentinel's knowledge of the replica")
        yield Watched(sentinel, master, replica)


class _Sentinel(RedisServer):
    """Started as any server is, with other settings."""

    def __init__(self, master_port: int) -> None:
        self._master_port = master_port
        super().__init__()

    def _arguments(self) -> list[str]:
        # It writes down what it learns, so it wants a file.
        configuration = self.directory / "sentinel.conf"
        lines = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self._socket),
            "dir": str(self.directory),
            f"sentinel monitor {NAME} 127.0.0.1 {self._master_port}": "1",
            f"sentinel down-after-milliseconds {NAME}": str(DOWN_MILLISECONDS),
            f"sentinel failover-timeout {NAME}": str(START_SECONDS * 1_000),
        }
        configuration.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        return [str(configuration), "--sentinel"]


def _is_linked(replica: RedisServer) -> bool:
    told: Any = replica.client.info("replication")
    return bool(told.get("master_link_status") == "up")


def _role(server: RedisServer) -> str:
    told: Any = server.client.info("replication")
    return str(told["role"])


def _offset(replica: RedisServer) -> int:
    told: Any = replica.client.info("replication")
    return int(told["slave_repl_offset"])


def _replicas_known(sentinel: RedisServer) -> int:
    told: Any = sentinel.client.info("sentinel")
    return int(told["master0"]["slaves"])


def _until(reached: Any, what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} took longer than {START_SECONDS} s")
        time.sleep(0.02)
