"""What is counted, and that nobody makes a thousand series of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from guarded import Guarded, message
from traced import Heard

import doorward
from doorward.telemetry.ended import bounded_reason

pytestmark = pytest.mark.anyio


@pytest.fixture
def it(heard: Heard, guarded: Callable[..., Guarded]) -> Iterator[Guarded]:
    observed = doorward.ToolRule("watched", scopes=["admin"], mode="observe")
    made = guarded(tools=[observed, doorward.ToolRule("*", scopes=["read"])])
    yield made
    made.gate.close()


async def test_every_way_out_is_counted(it: Guarded, heard: Heard) -> None:
    (await it.call("read_order", "read")).close()
    (await it.call("read_order", "read")).close("error", reason="rpc-32602")
    await it.call("read_order")
    await it.gate.decide(body=message())
    counted = {
        (labels["doorward.result"], labels.get("error.type"), labels.get("doorward.rule")): count
        for labels, count in heard.points("doorward.call.duration")
    }
    assert counted == {
        ("success", None, "*"): 1,
        ("error", "rpc-32602", "*"): 1,
        ("denied_scope", "insufficient_scope", "*"): 1,
        ("denied_auth", "missing_credentials", None): 1,
    }


async def test_what_is_only_observed_is_counted(it: Guarded, heard: Heard) -> None:
    (await it.call("watched", "read")).close()
    assert heard.points("doorward.would_deny") == [
        ({"doorward.rule": "watched", "error.type": "insufficient_scope"}, 1)
    ]


async def test_an_alarm_is_counted_with_the_next_call(it: Guarded, heard: Heard) -> None:
    (await it.call("read_order", "read")).close()
    it.gate._alarm("audit_failing")
    (await it.call("read_order", "read")).close()
    assert heard.points("doorward.alarms") == [({"error.type": "audit_failing"}, 1)]


async def test_what_callers_make_up_makes_no_series(it: Guarded, heard: Heard) -> None:
    for number in range(50):
        (await it.call(f"made_up_{number}", "read", client_id=f"client-{number}")).close("error", reason=f"rpc{number}")
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": f"made/up/{number}"}).encode()
        await it.gate.decide(authorization=f"Bearer {it.token('read')}", body=body)
        await it.gate.decide(authorization=f"Bearer {number}", body=body, peer=f"192.0.2.{number}")
    assert len(heard.points("doorward.call.duration")) == 3


REASONS = {
    "no_rule": "no_rule",
    "http503": "http503",
    "exception": "exception",
    "rpc-32602": "rpc-32602",
    "rpc-32000": "rpc-32000",
    "rpc-31999": "rpc_other",
    "rpc7": "rpc_other",
    "rpcx": "rpc_other",
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_server_s_own_codes_are_one(reason: str) -> None:
    assert bounded_reason(reason) == REASONS[reason]


async def test_whose_budget_was_over_and_what_decided_it(guarded: Callable[..., Guarded], heard: Heard) -> None:
    it = guarded(tools=[doorward.ToolRule("*", scopes=["read"], limit=["1/minute"], total_limit=["2/hour"])])
    for client in ("one", "one", "two", "three"):
        decision = await it.call("read_order", "read", client_id=client)
        if decision.allowed:
            decision.decided_without_store("local")
            decision.close()
    names = ("doorward.budget", "doorward.budget.scope", "doorward.budget.window", "doorward.limits.fallback")
    counted = {
        tuple(labels.get(name) for name in names): count for labels, count in heard.points("doorward.call.duration")
    }
    assert counted == {
        (None, None, None, "local"): 2,
        ("*", "client", "minute", None): 1,
        ("*", "total", "hour", None): 1,
    }
    it.gate.close()
