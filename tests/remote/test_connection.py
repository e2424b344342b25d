"""The connection belongs to one task of one process: no call ever reads what another asked for."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import anyio
import pytest
from conftest import Proof
from servers.proxy import proxied
from servers.standalone import RedisServer

import doorward
from doorward.errors import Limited
from doorward.limits import RedisLimiter

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patient")]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_cancelled_call_never_touches_the_connection(
    redis_server: RedisServer, proof: Proof, seed: int
) -> None:
    calls = proof("calls, half of them cancelled while they wait", small=400, large=20_000)
    dice = random.Random(seed)
    limits = [f"{1_000 + caller}/day" for caller in range(20)]
    lowest = [1_000 + caller for caller in range(20)]

    async def caller(number: int) -> None:
        charges = [doorward.Charge("key", limits[number])]
        for _ in range(calls // len(limits)):
            with anyio.move_on_after(dice.choice((0.0, 0.0005, 0.002, 5.0, 5.0, 5.0))):
                try:
                    (left,) = (await limiter.admit(domain=f"caller {number}", charges=charges)).remaining
                except Limited:
                    continue
                # An answer meant for another would be of another bucket: of another size, or one that was asked before.
                assert left < lowest[number]
                lowest[number] = left

    with proxied(redis_server.port) as network:
        limiter = RedisLimiter(network.url, on_error="deny")
        await limiter.admit(domain="first", charges=[doorward.Charge("key", "5/day")])
        before = network.accepted
        async with anyio.create_task_group() as group:
            for number in range(len(limits)):
                group.start_soon(caller, number)
        assert network.accepted == before, "no cancelled call cost a connection"
        await limiter.aclose()


async def test_a_decision_is_one_call_of_one_script(redis_server: RedisServer) -> None:
    limiter = RedisLimiter(redis_server.url, on_error="deny")
    budgets = [doorward.Charge(key, limit) for key in ("client", "tool", "all") for limit in ("900/minute", "900/day")]
    for _ in range(2):
        # What is asked of a server once goes out behind the first answer, and so before the second.
        await limiter.admit(domain="domain", charges=budgets)
    redis_server.client.config_resetstat()
    for _ in range(200):
        await limiter.admit(domain="domain", charges=budgets)
    assert redis_server.script_calls() == 200
    assert redis_server.calls("script|load", "config|get") == 0
    await limiter.aclose()


async def test_calls_that_wait_share_one_connection(redis_server: RedisServer) -> None:
    with proxied(redis_server.port) as network:
        limiter = RedisLimiter(network.url, on_error="deny")
        charges = [doorward.Charge("key", "1000/day")]
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(lambda: limiter.admit(domain="domain", charges=charges))
        assert (await limiter.admit(domain="domain", charges=charges)).remaining == (899,)
        assert network.accepted <= 2
        await limiter.aclose()


FORK = """
import os, sys, anyio, doorward
from doorward.limits import RedisLimiter
from servers.patience import be_patient

be_patient()
charges = [doorward.Charge("key", "1000/day")]
limiter = RedisLimiter(sys.argv[1], on_error="deny")

async def spend(domain, calls):
    left = [(await limiter.admit(domain=domain, charges=charges)).remaining[0] for _ in range(calls)]
    assert left == list(range(left[0], left[0] - calls, -1)), left
    return left[-1]

async def parent():
    assert await spend("before", 10) == 990
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os._exit(run_child(write))
    await spend("parent", 200)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert await spend("before", 1) == 979

def run_child(write):
    import threading
    failed = []
    def run():
        try:
            anyio.run(spend, "child", 200)
            anyio.run(spend, "before", 10)
        except BaseException as error:
            failed.append(error)
            sys.excepthook(type(error), error, error.__traceback__)
    thread = threading.Thread(target=run)  # the child is inside its parent's loop
    thread.start()
    thread.join()
    return 1 if failed else 0

anyio.run(parent)
"""


def test_a_fork_has_a_connection_of_its_own(redis_server: RedisServer) -> None:
    with proxied(redis_server.port) as network:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", FORK, network.url],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert network.accepted >= 2


async def test_one_limiter_serves_one_loop_after_another(redis_server: RedisServer, anyio_backend: str) -> None:
    limiter = RedisLimiter(redis_server.url, on_error="deny")
    charges = [doorward.Charge("key", "1000/day")]

    async def spend() -> int:
        return (await limiter.admit(domain="domain", charges=charges)).remaining[0]

    assert await spend() == 999
    assert await anyio.to_thread.run_sync(lambda: anyio.run(spend, backend=anyio_backend)) == 998
    assert await spend() == 997
    await limiter.aclose()
