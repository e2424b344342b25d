"""Calls in flight: a slot is held until the call has ended, however it ends."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
from guarded import Guarded, message

import doorward

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]

RULE = doorward.ToolRule("slow", scopes=["read"], concurrency=2)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def reason_of(decision: doorward.Decision) -> str | None:
    return None if decision.refusal is None else decision.refusal.code


async def test_a_client_has_so_many_calls_of_a_tool_in_flight_and_nobody_else_notices(guarded: Make) -> None:
    it = guarded(tools=[RULE, doorward.ToolRule("*", scopes=[])])
    first, second, third = [await it.call("slow", "read") for _ in range(3)]
    assert (first.allowed, second.allowed) == (True, True)
    assert isinstance(third.refusal, doorward.Limited)
    assert third.refusal.code == "too_many_in_flight"
    assert (await it.call("slow", "read", client_id="agent-2")).allowed
    assert (await it.call("quick", "read")).allowed
    first.close("cancelled")
    assert (await it.call("slow", "read")).allowed


async def test_a_client_has_so_many_calls_in_flight_at_all(guarded: Make) -> None:
    it = guarded(tools=[doorward.ToolRule("*", scopes=[])], limits=doorward.Limits(concurrency=1))
    running = await it.call("a", "read")
    refused = (await it.call("b", "read")).refusal
    assert isinstance(refused, doorward.Limited)
    assert (refused.budget, refused.limit) == ("client", "1 in flight")
    running.close()
    assert (await it.call("b", "read")).allowed


async def test_what_a_call_leads_to_is_no_second_call_of_the_client(guarded: Make) -> None:
    it = guarded(tools=[RULE], limits=doorward.Limits(concurrency=1))
    running = await it.call("slow", "read")
    call = it.gate.call_of_message("tools/call", 2, {"name": "slow", "arguments": {}}, under=running)
    nested = await it.gate.judge_message(running, call)
    assert nested.allowed
    again = await it.gate.judge_message(running, call)
    assert isinstance(again.refusal, doorward.Limited), "the tool itself still runs twice at most"


async def test_what_a_call_leaves_behind_counts_as_one_of_the_client(guarded: Make) -> None:
    it = guarded(tools=[doorward.ToolRule("*", scopes=[])], limits=doorward.Limits(concurrency=1))
    parent = await it.call("spawn", "read")
    call = it.gate.call_of_message("tools/call", 2, {"name": "slow", "arguments": {}}, under=parent)
    left = await it.gate.judge_message(parent, call)
    grandchild = await it.gate.judge_message(left, call)
    parent.close()
    left.close()
    assert grandchild.allowed
    assert reason_of(await it.call("a", "read")) == "too_many_in_flight", "it keeps the place that it began in"
    assert reason_of(await it.gate.judge_message(parent, call)) == "too_many_in_flight", "and nobody begins in it later"
    grandchild.close()
    late = await it.gate.judge_message(parent, call)
    assert late.allowed
    assert reason_of(await it.call("a", "read")) == "too_many_in_flight", "who comes late has a place of its own"
    late.close()
    assert (await it.call("a", "read")).allowed


async def test_what_brings_no_message_may_be_a_stream(guarded: Make) -> None:
    it = guarded(limits=doorward.Limits(streams=1))

    async def asked(method: str) -> doorward.Decision:
        headers = (("authorization", f"Bearer {it.token('read')}"),)
        return await it.gate.decide(
            doorward.Request(method=method, host="mcp.example.com", path="/mcp", headers=headers)
        )

    stream = await asked("GET")
    refused = await asked("GET")
    assert isinstance(refused.refusal, doorward.Limited)
    assert (refused.refusal.budget, refused.refusal.limit) == ("streams", "1 in flight")
    assert refused.principal is not None, "the record says whose it was"
    assert (await asked("DELETE")).allowed
    assert (await it.call("read_order", "read")).allowed
    stream.close()
    assert (await asked("GET")).allowed


@pytest.mark.parametrize("how", ["success", "tool_error", "error", "cancelled", "dropped", "over budget"])
async def test_however_it_ends_the_slot_is_free(guarded: Make, how: str) -> None:
    rule = doorward.ToolRule("slow", scopes=["read"], concurrency=1, limit=["3/minute"])
    it = guarded(tools=[rule])
    for _ in range(2):
        decision: Any = await it.call("slow", "read")
        assert decision.allowed
        if how == "dropped":
            del decision
            gc.collect()
        else:
            decision.close(how if how != "over budget" else "success")
    if how == "over budget":
        (await it.call("slow", "read")).close()
        for _ in range(2):
            refusal = (await it.call("slow", "read")).refusal
            assert refusal is not None
            assert refusal.code == "rate_limited", "a refused call holds nothing"


async def test_a_refused_slot_spends_no_budget(guarded: Make) -> None:
    rule = doorward.ToolRule("slow", scopes=["read"], concurrency=1, limit=["2/minute"])
    it = guarded(tools=[rule])
    running = await it.call("slow", "read")
    for _ in range(5):
        assert not (await it.call("slow", "read")).allowed
    running.close()
    assert (await it.call("slow", "read")).allowed


async def test_an_observed_rule_tells_and_lets_pass(guarded: Make) -> None:
    it = guarded(tools=[doorward.ToolRule("slow", scopes=["read"], concurrency=1, mode="observe")])
    first, second = [await it.call("slow", "read") for _ in range(2)]
    assert (first.allowed, second.allowed) == (True, True)
    assert (first.would_deny, second.would_deny) == ((), ("slow",))


async def test_the_caller_is_told_what_it_can_act_on(guarded: Make) -> None:
    it = guarded(tools=[RULE])
    open_ones = [await it.call("slow", "read") for _ in range(2)]
    refused = await it.gate.decide(authorization=f"Bearer {it.token('read')}", body=message("slow"))
    answer = it.gate.render(refused)
    headers = dict(answer.headers)
    assert (answer.status, headers["retry-after"]) == (429, "1")
    assert headers["ratelimit-policy"] == '"slow-concurrency";q=2;qu="concurrent-requests"'
    assert headers["ratelimit"] == '"slow-concurrency";r=0;t=1'
    assert b"over 2 in flight for slow (client): retry in 1 s" in answer.body
    assert it.records()[-1]["reason"] == "too_many_in_flight"
    assert len(open_ones) == 2


# --- what a call turns out to cost ------------------------------------------------------------------------------------


async def test_a_handler_says_what_its_call_cost(guarded: Make) -> None:
    it = guarded(tools=[doorward.ToolRule("query", scopes=["read"], limit=["10/minute"])])
    decision = await it.call("query", "read")
    await decision.settle(9)
    decision.close()
    allowed = [(await it.call("query", "read")).allowed for _ in range(2)]
    assert allowed == [True, False]


async def test_an_ended_call_is_not_settled_any_more(guarded: Make) -> None:
    it = guarded()
    decision = await it.call("read_order", "read")
    decision.close()
    with pytest.raises(ValueError, match="has ended"):
        await decision.settle(1)
