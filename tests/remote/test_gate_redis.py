"""Gates that share their budgets: one truth for many instances, and what each rule says while it cannot be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from guarded import Guarded, message
from servers.standalone import RedisServer

import doorward
from doorward._redis import Patience
from doorward.testing import Issuer

pytestmark = pytest.mark.anyio

RULES = [
    doorward.ToolRule("delete_*", scopes=["read"], limit=["2/minute"], on_error="deny"),
    doorward.ToolRule("read_*", scopes=["read"], limit=["4/minute"]),
    doorward.ToolRule("list_*", scopes=["read"], limit=["4/minute"], on_error="allow"),
]


@asynccontextmanager
async def instances(
    directory: Path, issuer: Issuer, url: str, *, count: int = 2, **limits: Any
) -> AsyncIterator[list[Guarded]]:
    """So many gates of one configuration, each as in a process of its own."""
    made = [
        Guarded(
            directory / f"{number}.jsonl",
            issuer,
            tools=RULES,
            limits=doorward.Limits(store=url, instances=count, **limits),
        )
        for number in range(count)
    ]
    try:
        yield made
    finally:
        for each in made:
            await each.gate.aclose()


async def allowed(gates: list[Guarded], tool: str, calls: int = 10, **claims: Any) -> int:
    """How many of so many calls, to each gate in turn, go through."""
    return sum([(await gates[call % len(gates)].call(tool, "read", **claims)).allowed for call in range(calls)])


async def test_instances_share_a_budget_and_clients_do_not(
    tmp_path: Path, issuer: Issuer, redis_server: RedisServer
) -> None:
    async with instances(tmp_path, issuer, redis_server.url) as gates:
        assert await allowed(gates, "read_order") == 4
        assert await allowed(gates, "read_order", client_id="agent-2") == 4
    assert all(redis_server.client.pttl(key) > 0 for key in redis_server.client.keys("*"))
    kept = " ".join(map(str, redis_server.client.keys("*")))
    assert "agent-2" not in kept, "who spent it is nobody's business there"


async def test_the_caller_is_told_the_same_as_in_process(
    tmp_path: Path, issuer: Issuer, redis_server: RedisServer
) -> None:
    async with instances(tmp_path, issuer, redis_server.url) as [one, other]:
        for _ in range(2):
            assert (await one.call("delete_order", "read")).allowed
        refused = await other.gate.decide(authorization=f"Bearer {other.token('read')}", body=message("delete_order"))
        answer = other.gate.render(refused)
        headers = dict(answer.headers)
        assert (answer.status, headers["ratelimit-policy"]) == (429, '"delete_*-minute";q=2;w=60')
        assert 28 <= int(headers["retry-after"]) <= 30
        assert headers["ratelimit"].startswith('"delete_*-minute";r=0;t=')


async def test_a_settled_call_costs_every_instance(tmp_path: Path, issuer: Issuer, redis_server: RedisServer) -> None:
    async with instances(tmp_path, issuer, redis_server.url) as gates:
        decision = await gates[0].call("read_order", "read")
        await decision.settle(3)
        assert await allowed(gates, "read_order") == 1


async def test_while_the_store_is_away_each_rule_has_its_say(
    tmp_path: Path, issuer: Issuer, start_redis: Callable[..., RedisServer]
) -> None:
    server = start_redis()
    async with instances(tmp_path, issuer, server.url) as gates:
        assert (await gates[0].call("read_order", "read")).allowed
        server.kill()
        denied = await gates[0].call("delete_order", "read")
        assert isinstance(denied.refusal, doorward.Unavailable)
        assert (denied.refusal.code, gates[0].gate.render(denied).status) == ("store_unavailable", 503)
        assert gates[0].records()[-1]["result"] == "unavailable"
        assert await allowed(gates[:1], "read_order") == 1, "this instance's share begins with one token"
        assert await allowed(gates[:1], "list_orders") == 10
        assert gates[0].gate.alarms["redis_unreachable"] >= 1
        server.start()
        with anyio.fail_after(10):
            # What is waited for is an answer, and nobody tells of it.
            while not (await gates[0].call("delete_order", "read", client_id="agent-9")).allowed:
                await anyio.sleep(0.05)


async def test_a_gate_starts_without_its_store(tmp_path: Path, issuer: Issuer) -> None:
    async with instances(tmp_path, issuer, "redis://127.0.0.1:1/0", count=1, on_error="allow") as gates:
        assert await allowed(gates, "read_order") == 10
        denied = await gates[0].call("delete_order", "read")
        assert isinstance(denied.refusal, doorward.Unavailable)


async def test_an_observed_budget_in_the_store_only_tells(
    tmp_path: Path, issuer: Issuer, redis_server: RedisServer
) -> None:
    observed = [doorward.Budget("1/minute", mode="observe"), "3/day"]
    async with instances(tmp_path, issuer, redis_server.url, client=observed) as gates:
        decisions = [await gates[call % 2].call("list_orders", "read") for call in range(4)]
    assert [decision.allowed for decision in decisions] == [True, True, True, False]
    assert [decision.would_deny for decision in decisions[:3]] == [(), ("client",), ("client",)]


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_a_store_that_answers_with_errors_is_reported_and_each_record_says_what_decided(
    tmp_path: Path, issuer: Issuer, redis_server: RedisServer, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    async with instances(tmp_path, issuer, redis_server.url, count=1, mode=mode) as [it]:
        it.gate._steps._remote.store.patience = Patience(connect=5.0, answer=5.0)
        (await it.call("read_order", "read")).close()
        redis_server.client.acl_setuser(
            "default", enabled=True, nopass=True, categories=["+@all"], commands=["-evalsha", "-eval"]
        )
        for tool in ("read_order", "read_order", "delete_order", "list_orders"):
            decision = await it.call(tool, "read", client_id="agent-2")
            if decision.allowed:
                decision.close()
        told = [(record["result"], record["limits_fallback"]) for record in it.records()]
        assert told == [
            ("success", None),
            ("success", "local"),
            ("denied_rate", "local"),
            ("unavailable", "deny"),
            ("success", "allow"),
        ]
        assert it.records()[3]["detail"] == "the store answered NOPERM"
        assert it.gate.alarms["redis_refuses"] == 1
        redis_server.client.acl_setuser("default", enabled=True, nopass=True, categories=["+@all"])
        (await it.call("delete_order", "read", client_id="agent-2")).close()
        assert (it.records()[-1]["result"], it.records()[-1]["limits_fallback"]) == ("success", None)
    lines = [record.getMessage() for record in caplog.records if "redis: " in record.getMessage()]
    assert [line.partition(" answers ")[2].partition(":")[0] for line in lines] == [
        "limits with the error NOPERM",
        "limits again",
    ]
