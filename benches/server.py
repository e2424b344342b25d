"""What a gate costs a whole server over loopback: python -m benches.server. Requests a second, the processor time of
one, and the time to the first byte of a stream, as ratios within one run: all servers are up, and take turns. Each runs
in several processes: two of the same program differ by up to three parts in a hundred, by where it lies in memory."""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Final

from benches.serving import ISSUER, SERVERS

from doorward.testing import Issuer

MODERN: Final = "2026-07-28"
HANDSHAKE: Final = "2025-06-18"
"""The eras of the protocol. Of the older one each call stands for itself, too: the servers keep no sessions."""

ARGUMENTS: Final = {
    "text": "x" * 200,
    "items": [{"id": n, "name": f"some name {n}", "tags": ["a", "b"], "price": 12.5} for n in range(10)],
}
"""Some 800 bytes."""

CONNECTIONS: Final = 4

MCP_SERVERS: Final = ("bare", "one function", "gate", "SDK auth and PyJWT")
"""Those that answer calls of tools."""


class Server:
    """One process, and connections to it."""

    def __init__(self, process: subprocess.Popen[str], issuer: Issuer) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.port = int(process.stdout.readline())
        self.token = issuer.token(audience=f"http://127.0.0.1:{self.port}/mcp", scopes=["read"], lifetime=36_000)
        process.stdin.write(json.dumps(issuer.jwks()) + "\n")
        process.stdin.flush()
        self._connections: list[socket.socket] = []

    def connect(self, *, patience: float = 20) -> None:
        """Wait until it serves."""
        deadline = time.monotonic() + patience
        while len(self._connections) < CONNECTIONS:
            try:
                made = socket.create_connection(("127.0.0.1", self.port), timeout=30)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections.append(made)

    def request(self, tool: str, *, authorized: bool = True, version: str = MODERN) -> bytes:
        """A call, as bytes."""
        params: dict[str, Any] = {"name": tool, "arguments": ARGUMENTS if tool != "stream" else {}}
        if version == MODERN:
            params["_meta"] = {f"io.modelcontextprotocol/{name}": value for name, value in _META.items()}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        body = json.dumps(message, separators=(",", ":")).encode()
        head = {
            "Host": f"127.0.0.1:{self.port}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": version,
        }
        if version == MODERN:
            head |= {"Mcp-Method": "tools/call", "Mcp-Name": tool}
        if authorized:
            head["Authorization"] = f"Bearer {self.token}"
        return "\r\n".join(["POST /mcp HTTP/1.1", *(f"{k}: {v}" for k, v in head.items()), "", ""]).encode() + body

    def send(self, request: bytes, count: int, status: bytes) -> None:
        """So many answers, several at once."""
        for _ in range(count // CONNECTIONS):
            for connection in self._connections:
                connection.sendall(request)
            for connection in self._connections:
                answer = _answer(connection)
                assert answer[9:12] == status, answer

    def spend(self, request: bytes) -> None:
        """The one call that a budget has room for."""
        self._connections[0].sendall(request)
        assert _answer(self._connections[0])[9:12] == b"200"

    def first_byte(self, request: bytes) -> float:
        """Seconds until the answer begins; all of it is read."""
        connection = self._connections[0]
        began = time.perf_counter()
        connection.sendall(request)
        first = _more(connection)
        took = time.perf_counter() - began
        _answer(connection, first)
        return took

    def whole(self, request: bytes) -> float:
        """Seconds until all of the answer is here."""
        connection = self._connections[0]
        began = time.perf_counter()
        connection.sendall(request)
        _answer(connection)
        return time.perf_counter() - began

    def cpu(self) -> int:
        """Nanoseconds of processor time that it has used."""
        self._connections[0].sendall(b"GET /cpu HTTP/1.1\r\nHost: x\r\n\r\n")
        return int(_answer(self._connections[0]).rpartition(b"\r\n")[2])


_META: Final = {"protocolVersion": MODERN, "clientCapabilities": {}}


def _answer(connection: socket.socket, begun: bytes = b"") -> bytes:
    """One whole response, by its length or its last chunk."""
    data = begun
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    head = head.lower()
    at = head.find(b"content-length: ")
    if at >= 0:
        length = int(head[at + 16 :].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += _more(connection)
    else:
        while not body.endswith(b"0\r\n\r\n"):
            body += _more(connection)
    return data[: len(head) + 4] + body


def _more(connection: socket.socket) -> bytes:
    # Else the second segment of an answer waits up to 40 ms for the acknowledgement of the first (RFC 896, RFC 1122).
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    data = connection.recv(65536)
    assert data, "the server hung up"
    return data


@dataclass
class Measured:
    """One contestant of a group, in each of its processes."""

    name: str
    servers: Sequence[Server]
    request: Callable[[Server], bytes]
    status: bytes
    rates: list[list[float]] = field(default_factory=list)
    cpu: list[list[float]] = field(default_factory=list)

    def round(self, count: int) -> None:
        """Its turn, in each of its processes."""
        rates, cpu = [], []
        for server in self.servers:
            request = self.request(server)
            used, began = server.cpu(), time.perf_counter()
            server.send(request, count, self.status)
            rates.append(count / (time.perf_counter() - began))
            cpu.append((server.cpu() - used) / count / 1000)
        self.rates.append(rates)
        self.cpu.append(cpu)

    def result(self) -> tuple[float, float]:
        """Requests a second and microseconds of processor time, the mean of its processes."""
        rates = [undisturbed(each, best=max) for each in zip(*self.rates, strict=True)]
        cpu = [undisturbed(each, best=min) for each in zip(*self.cpu, strict=True)]
        return statistics.mean(rates), statistics.mean(cpu)


def take_turns(title: str, contestants: Sequence[Measured], *, rounds: int, count: int) -> None:
    """Measure, and print a table; the first is what the others are compared with."""
    for contestant in contestants:
        for server in contestant.servers:
            server.send(contestant.request(server), count, contestant.status)
    for turn in range(rounds):
        for contestant in (contestants, contestants[::-1])[turn % 2]:
            contestant.round(count)
    processes = len(contestants[0].servers)
    print(f"\n{title}: quickest quarter of {rounds} rounds of {count} in each of {processes} processes")
    print(f"{'':<40} {'requests/s':>10} {'of first':>9} {'CPU us':>8} {'of first':>9}")
    first_rate, first_cpu = contestants[0].result()
    for each in contestants:
        rate, cpu = each.result()
        print(f"{each.name:<40} {rate:>10.0f} {rate / first_rate:>9.2f} {cpu:>8.0f} {first_cpu / cpu:>9.2f}")


def undisturbed(values: Sequence[float], *, best: Callable[[Sequence[float]], float]) -> float:
    """The median of the best quarter: others on the machine disturb that less."""
    ordered = sorted(values, reverse=best is max)
    return statistics.median(ordered[: max(1, len(ordered) // 4)])


def first_bytes(servers: dict[str, Server], *, count: int) -> None:
    """The time to the first byte of a stream."""
    taken = in_turns(servers, "stream", Server.first_byte, count=count)
    print(f"\ntime to the first byte of a stream, quickest quarter of {count}, ms")
    for name in servers:
        print(f"{name:<40} {undisturbed(taken[name], best=min):>10.2f}")


def latencies(servers: dict[str, Server], *, count: int) -> None:
    """How long lone calls take."""
    taken = in_turns(servers, "echo", Server.whole, count=count)
    print(f"\none call after another, {count} each, ms")
    print(f"{'':<40} {'p50':>10} {'p90':>10} {'p99':>10}")
    for name in servers:
        ordered = sorted(taken[name])
        print(f"{name:<40} " + " ".join(f"{ordered[len(ordered) * part // 100]:>10.2f}" for part in (50, 90, 99)))


def in_turns(
    servers: dict[str, Server],
    tool: str,
    measure: Callable[[Server, bytes], float],
    *,
    count: int,
) -> dict[str, list[float]]:
    """What is measured of calls of a tool, in milliseconds."""
    taken: dict[str, list[float]] = {name: [] for name in servers}
    requests = {name: servers[name].request(tool) for name in servers}
    for _ in range(count):
        for name in servers:
            taken[name].append(measure(servers[name], requests[name]) * 1000)
    return taken


@contextmanager
def running(processes: int) -> Iterator[dict[str, list[Server]]]:
    """All servers, each in so many processes."""
    issuer = Issuer(ISSUER, algorithm="RS256")
    issuer.token(audience="made", scopes=[])
    with ExitStack() as stack:
        servers: dict[str, list[Server]] = {name: [] for name in SERVERS}
        for name in [*SERVERS] * processes:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "benches.serving", name],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            servers[name].append(Server(process, issuer))
        for server in chain(*servers.values()):
            server.connect()
        yield servers


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--processes", type=int, default=3)
    chosen = parser.parse_args()
    size = {"rounds": chosen.rounds, "count": chosen.count}
    with running(chosen.processes) as servers:
        for version in (MODERN, HANDSHAKE):
            echo = partial(Server.request, tool="echo", version=version)
            calls = [Measured(name, servers[name], echo, b"200") for name in MCP_SERVERS]
            take_turns(f"tools/call of {version}", calls, **size)
        for server in servers["gate"]:
            server.spend(server.request("limited"))
        refused = [
            Measured("ASGI echo", servers["ASGI echo"], partial(Server.request, tool="echo"), b"200"),
            Measured("gate, 401", servers["gate"], partial(Server.request, tool="echo", authorized=False), b"401"),
            Measured("gate, 429", servers["gate"], partial(Server.request, tool="limited"), b"429"),
        ]
        take_turns("refused", refused, **size)
        lone = {name: servers[name][0] for name in ("bare", "gate")}
        first_bytes(lone, count=chosen.rounds * 10)
        latencies(lone, count=chosen.rounds * chosen.count // 2)


if __name__ == "__main__":
    main()
