"""What one process revokes, all of them refuse within a second, whatever happens to the Redis between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import Tell
from servers.standalone import RedisServer

import doorward
from doorward.testing import Issuer
from doorward.tokens.shared_revocations import INTERVAL

TESTS = Path(__file__).parents[1]
AUDIENCE = "https://mcp.example.com/mcp"
SOON = 20.0
"""Seconds after which a test gives up: twenty times what is promised, for machines that are busy."""


class Instance:
    """A gate in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, do: str, **order: Any) -> Any:
        """Have it done, and wait for the answer."""
        self.tell(do, **order)
        return self.answer()

    def tell(self, do: str, **order: Any) -> None:
        """Have it done."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """What came of it."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@pytest.fixture
def instance(issuer: Issuer) -> Iterator[Callable[..., Instance]]:
    """Starts instances that share a Redis."""
    path = os.pathsep.join(map(str, (TESTS, Path(doorward.__file__).parents[1])))
    with ExitStack() as stack:

        def start(server: RedisServer, *, loop: str = "asyncio") -> Instance:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tokens.revoker", loop],
                    env={**os.environ, "PYTHONPATH": path},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            assert process.stdin is not None
            process.stdin.write(json.dumps({"url": server.url, "issuer": issuer.url, "jwks": issuer.jwks()}) + "\n")
            return Instance(process)

        yield start


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_what_one_process_revokes_another_refuses(
    redis_server: RedisServer, instance: Callable[..., Instance], issuer: Issuer, loop: str, tell: Tell
) -> None:
    here, there = (instance(redis_server, loop=loop) for _ in range(2))
    took = []
    for number in range(3):
        token = issuer.token(audience=AUDIENCE, subject=f"user-{number}")
        assert (here.ask("decide", token=token), there.ask("decide", token=token)) == ("allowed", "allowed")
        there.tell("refused", token=token)
        began = here.ask("revoke", subject=f"user-{number}")
        took.append(there.answer() - began)
        assert here.ask("decide", token=token) == "token_revoked"
    tell(f"a revocation took {min(took):.2f} to {max(took):.2f} s from one process to the other, over {loop}")
    assert max(took) < SOON


def test_a_process_that_starts_later_knows_from_its_first_request(
    redis_server: RedisServer, instance: Callable[..., Instance], issuer: Issuer
) -> None:
    token = issuer.token(audience=AUDIENCE)
    here = instance(redis_server)
    assert here.ask("decide", token=token) == "allowed"
    here.ask("revoke", client="agent-1")
    time.sleep(3 * INTERVAL)
    assert instance(redis_server).ask("decide", token=token) == "token_revoked"


def test_a_redis_that_forgot_everything_is_told_again(
    start_redis: Callable[..., RedisServer], instance: Callable[..., Instance], issuer: Issuer
) -> None:
    server = start_redis()
    token, other = (issuer.token(audience=AUDIENCE, subject=subject) for subject in ("user-1", "user-2"))
    first, second = instance(server), instance(server)
    assert (first.ask("decide", token=token), second.ask("decide", token=token)) == ("allowed", "allowed")
    first.ask("revoke", subject="user-1")
    second.ask("refused", token=token)
    server.kill()
    while "revocations_unreachable" not in first.ask("alarms"):
        time.sleep(0.05)
    # Nobody is refused for that, and what was made meanwhile counts.
    assert (second.ask("decide", token=other), second.ask("decide", token=token)) == ("allowed", "token_revoked")
    second.ask("revoke", subject="user-2")
    assert second.ask("decide", token=other) == "token_revoked"
    server.start()
    first.ask("refused", token=other)
    time.sleep(3 * INTERVAL)
    third = instance(server)
    assert (third.ask("decide", token=token), third.ask("decide", token=other)) == ("token_revoked", "token_revoked")
    assert third.ask("alarms") == {}
    assert first.ask("alarms")["revocations_unreachable"] == 1, "told once"


def test_a_redis_that_hangs_refuses_nobody(
    start_redis: Callable[..., RedisServer], instance: Callable[..., Instance], issuer: Issuer
) -> None:
    server = start_redis()
    server.pause()
    here = instance(server)
    for number in range(20):
        assert here.ask("decide", token=issuer.token(audience=AUDIENCE, subject=f"user-{number}")) == "allowed"
    assert here.ask("alarms")["revocations_unreachable"] == 1
    here.ask("revoke", subject="user-1")
    assert here.ask("decide", token=issuer.token(audience=AUDIENCE)) == "token_revoked"
    server.resume()
    there = instance(server)
    there.ask("refused", token=issuer.token(audience=AUDIENCE))
