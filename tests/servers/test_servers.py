"""What the tests on Redis stand on: servers, a cluster, a Sentinel and a network that do what their names say."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import PROGRAMS, impossible
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError as Slow
from redis.retry import Retry
from servers.cluster import SLOTS, Cluster
from servers.proxy import Proxy, proxied
from servers.sentinel import watched_redis
from servers.standalone import RedisServer


def client(url: str) -> Redis:
    """One connection, without a second try."""
    return Redis.from_url(url, socket_timeout=0.2, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0))


def test_a_server_listens_on_a_port_and_on_a_socket_file(redis_server: RedisServer) -> None:
    for url in (redis_server.url, redis_server.socket_url):
        with client(url) as connected:
            connected.incr("visits")
    assert redis_server.client.get("visits") == "2"
    assert redis_server.calls("incrby") == 2


def test_each_test_finds_an_empty_server(redis_server: RedisServer) -> None:
    assert redis_server.client.dbsize() == 0
    assert redis_server.calls("incrby") == 0


def test_a_restart_forgets_everything(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    server.client.set("key", "value")
    before = server.url
    server.restart()
    assert server.url == before
    assert server.client.get("key") is None


def test_a_paused_server_accepts_and_does_not_answer(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    server.pause()
    with client(server.url) as connected:
        with pytest.raises(Slow):
            connected.ping()
        server.resume()
        assert connected.ping()


def test_nothing_outlives_a_killed_test_run(tmp_path: Path) -> None:
    script = "import time; from servers.standalone import RedisServer; print(RedisServer().process_id, flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{script}; time.sleep(60)"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        server = int(run.stdout.readline())
        os.kill(server, signal.SIGSTOP)
        run.kill()
    assert eventually(lambda: not _lives(server))


def test_a_cluster_serves_every_slot(cluster: Cluster) -> None:
    for key in ("a", "b", "c"):
        slot = cluster.nodes[0].client.cluster("KEYSLOT", key)
        assert cluster.nodes[slot * 3 // SLOTS].client.set(key, "value")
    assert cluster.script_calls() == [0, 0, 0]


def test_a_sentinel_puts_the_replica_in_the_place_of_the_dead_master() -> None:
    with watched_redis() as watched:
        watched.master.client.set("key", "value")
        watched.copied()
        watched.fail_over()
        watched.replica.client.set("key", "changed")


def test_a_proxy_passes_swallows_and_breaks(redis_server: RedisServer) -> None:
    with proxied(redis_server.port) as proxy:
        with connected(proxy) as stream:
            assert answer(stream) == b"+PONG\r\n"
            proxy.swallow()
            with pytest.raises(TimeoutError):
                answer(stream)
            proxy.pass_on()
            assert stream.recv(100) == b"+PONG\r\n", "late, not lost"
            proxy.drop()
            with pytest.raises(ConnectionResetError):
                answer(stream)
        proxy.reset()
        with pytest.raises(ConnectionResetError), connected(proxy) as stream:
            stream.recv(100)
        proxy.pass_on()
        with connected(proxy) as stream:
            assert answer(stream) == b"+PONG\r\n"
        assert proxy.accepted == 3


def connected(proxy: Proxy) -> socket.socket:
    """A bare connection: a client would hide what happens to it."""
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=0.2)


def answer(stream: socket.socket) -> bytes:
    """To a PING."""
    stream.sendall(b"PING\r\n")
    return stream.recv(100)


def test_what_is_missing_fails_in_ci_and_is_skipped_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="get it there"):
        impossible("get it there")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="get it there"):
        impossible("get it there")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_cannot_be_installed_says_how_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    script = f"from programs import program; program({name!r})"
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    assert f"Skipped: {name} is missing: apt-get install {PROGRAMS[name].package}" in told
    assert "there is no apt-get here" in told


def eventually(reached: Callable[[], bool]) -> bool:
    """Whether it comes true within any patience."""
    deadline = time.monotonic() + 20
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.01)
    return reached()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
