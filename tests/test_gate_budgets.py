"""May they now: which budgets a call spends, who shares them, and what spends nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from guarded import NOW, Guarded, message

import doorward

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_budget_stops_the_client_and_nobody_else(guarded: Make) -> None:
    it = guarded()
    decisions = [await it.call("delete_order", "write") for _ in range(3)]
    assert [decision.allowed for decision in decisions] == [True, True, False]
    limited = decisions[-1].refusal
    assert isinstance(limited, doorward.Limited)
    assert (limited.budget, limited.limit, limited.retry_after) == ("delete_*", "2/minute", 30.0)
    assert (
        it.records()[-1] | {"budget": "delete_*", "retry_after_ms": 30_000, "result": "denied_rate"} == it.records()[-1]
    )

    assert (await it.call("delete_order", "write", client_id="agent-2")).allowed
    it.tick += 30_000_000_000
    assert (await it.call("delete_order", "write")).allowed


async def test_a_total_budget_is_shared_by_everyone(guarded: Make) -> None:
    it = guarded(tools=[doorward.ToolRule("*", scopes=[], total_limit=["3/minute"])])
    allowed = [(await it.call("any", client_id=f"agent-{n}")).allowed for n in range(4)]
    assert allowed == [True, True, True, False]


async def test_client_and_organization_budgets_by_minute_and_day_are_spent_together_or_not_at_all(
    guarded: Make,
) -> None:
    limits = doorward.Limits(client=["2/minute", "3/day"], organization=["4/minute"])
    it = guarded(tools=[doorward.ToolRule("*", scopes=[])], limits=limits, organization_claim="org_id")

    async def budget(**claims: Any) -> str | None:
        refusal = (await it.call("any", **claims)).refusal
        return None if refusal is None else refusal.budget  # type: ignore[attr-defined]

    assert [await budget(org_id="acme") for _ in range(3)] == [None, None, "client"]
    assert [await budget(org_id="acme", client_id="agent-2") for _ in range(2)] == [None, None]
    # The organisation is spent; what its third client asks for in vain costs that client nothing.
    assert await budget(org_id="acme", client_id="agent-3") == "organization"
    assert await budget(org_id="other") is None


async def test_refused_calls_and_messages_that_are_no_calls_spend_no_budget_of_calls(guarded: Make) -> None:
    it = guarded(limits=doorward.Limits(client=["1/day"]))
    token = it.token("read")
    for body in (request("tools/list"), message("delete_order"), message("unknown"), request("initialize")):
        await it.gate.decide(authorization=f"Bearer {token}", body=body)
    assert (await it.gate.decide(authorization=f"Bearer {token}", body=message())).allowed


def request(method: str) -> bytes:
    """A message that names no tool, resource or prompt."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode()


async def spent(it: Guarded, method: str, **claims: Any) -> str | None:
    """The budget that refuses such a message; None where it is allowed."""
    decision = await it.gate.decide(authorization=f"Bearer {it.token('read', **claims)}", body=request(method))
    decision.close()
    assert decision.refusal is None or isinstance(decision.refusal, doorward.Limited)
    return None if decision.refusal is None else decision.refusal.budget


@pytest.mark.parametrize("method", ["initialize", "server/discover", "subscriptions/listen"])
async def test_a_message_that_opens_something_spends_the_handshakes_of_its_client(guarded: Make, method: str) -> None:
    it = guarded(limits=doorward.Limits(handshake="2/minute"))
    assert [await spent(it, method) for _ in range(3)] == [None, None, "handshake"]
    assert (it.records()[-1]["result"], it.records()[-1]["budget"]) == ("denied_rate", "handshake")
    assert await spent(it, method, client_id="agent-2") is None
    assert (await it.call("read_order", "read")).allowed, "calls have budgets of their own"
    it.tick += 30_000_000_000
    assert await spent(it, method) is None


@pytest.mark.parametrize(
    "method",
    ["ping", "notifications/initialized", "logging/setLevel", "tools/list", "prompts/list", "resources/list"],
)
async def test_a_message_that_opens_nothing_is_no_handshake(guarded: Make, method: str) -> None:
    it = guarded(limits=doorward.Limits(handshake="1/day"))
    assert [await spent(it, method) for _ in range(3)] == [None] * 3


async def test_the_budget_of_handshakes_is_one_for_all_methods_and_beside_that_of_a_method_rule(guarded: Make) -> None:
    rules = [doorward.MethodRule("initialize", [], limit=["2/minute"], cost=2), doorward.MethodRule("*", [])]
    it = guarded(limits=doorward.Limits(handshake="3/minute"), methods=rules)
    assert await spent(it, "initialize") is None
    assert await spent(it, "initialize") == "initialize", "the rule's own budget, at the rule's cost"
    assert [await spent(it, "server/discover") for _ in range(3)] == [None, None, "handshake"]
    assert await spent(it, "tools/list") is None, "under the same rule, and no handshake"


async def test_handshakes_over_their_budget_are_429_like_all_others(guarded: Make) -> None:
    it = guarded(limits=doorward.Limits(handshake="1/minute"))
    for _ in range(2):
        decision = await it.gate.decide(authorization=f"Bearer {it.token('read')}", body=request("initialize"))
    response = it.gate.render(decision)
    error = json.loads(response.body)["error"]
    assert (response.status, dict(response.headers)["retry-after"]) == (429, "60")
    assert error["message"] == "over 1/minute for handshake (client): retry in 60 s"
    assert error["data"]["budget"] == "handshake"


async def test_an_observed_budget_of_handshakes_refuses_nobody(guarded: Make) -> None:
    it = guarded(limits=doorward.Limits(handshake=doorward.Budget("1/minute", mode="observe")))
    assert [await spent(it, "initialize") for _ in range(2)] == [None, None]
    assert it.records()[-1]["would_deny"] == ["handshake"]


@pytest.mark.parametrize("limits", [None, doorward.Limits()], ids=["no limits given", "Limits()"])
async def test_every_client_has_a_budget_unless_the_configuration_says_none(
    guarded: Make, limits: doorward.Limits | None
) -> None:
    async def refused_by(it: Guarded) -> str | None:
        token = it.token()
        for _ in range(601):
            decision = await it.gate.decide(authorization=f"Bearer {token}", body=message("any"))
            decision.close()
        return None if decision.refusal is None else decision.refusal.budget  # type: ignore[attr-defined]

    rules = [doorward.ToolRule("*", scopes=[])]
    assert await refused_by(guarded(tools=rules, limits=limits)) == "client"
    assert await refused_by(guarded(tools=rules, limits=doorward.Limits(client=[]))) is None


@pytest.mark.parametrize("result", ["tool_error", "error", "cancelled", "dropped"])
async def test_a_call_that_was_let_through_has_spent_whatever_became_of_it(guarded: Make, result: str) -> None:
    it = guarded(tools=[doorward.ToolRule("*", scopes=[], limit=["3/minute"])])
    allowed = []
    for _ in range(4):
        # A tool that says "unknown" after working, and a client that cancels in a loop, get nothing back.
        decision = await it.call("any")
        allowed.append(decision.allowed)
        if decision.allowed and result != "dropped":
            decision.close(result)
        del decision
    assert allowed == [True, True, True, False]


async def test_observed_rules_and_budgets_never_refuse_and_are_recorded(guarded: Make) -> None:
    rule = doorward.ToolRule("*", scopes=["write"], limit=["1/minute"], mode="observe")
    it = guarded(tools=[rule])
    token = it.token("read")  # a token that was seen before changes nothing
    for _ in range(2):
        (await it.gate.decide(authorization=f"Bearer {token}", body=message("any"))).close()
    assert [record["would_deny"] for record in it.records()] == [["insufficient_scope"], ["insufficient_scope", "*"]]


async def test_failed_attempts_have_a_budget_of_their_own_per_address(guarded: Make) -> None:
    it = guarded(limits=doorward.Limits(failed_auth="2/minute"))

    async def attempt(token: str, peer: str) -> int:
        decision = await it.gate.decide(authorization=f"Bearer {token}", body=message(), peer=peer)
        return 200 if decision.refusal is None else decision.refusal.status

    assert [await attempt("bad", "192.0.2.1") for _ in range(3)] == [401, 401, 429]
    assert await attempt("bad", "192.0.2.2") == 401
    assert await attempt(it.token("read"), "192.0.2.1") == 200, "an honest caller behind the same address"
    assert await attempt(it.token("read", now=NOW - 7200), "192.0.2.1") == 401, "an expired token is no failure"
    assert [await attempt("bad", f"2001:db8::{n}") for n in range(3)] == [401, 401, 429], "a /64 is one address"


async def test_a_flood_of_forgeries_is_not_even_verified(guarded: Make) -> None:
    it = guarded(limits=doorward.Limits(failed_auth="1/minute"))

    async def attempt(token: str, peer: str = "192.0.2.1") -> int:
        decision = await it.gate.decide(authorization=f"Bearer {token}", body=message(), peer=peer)
        return 200 if decision.refusal is None else decision.refusal.status

    seen, new = it.token("read"), it.token("read", jti="new")
    assert await attempt(seen) == 200
    statuses = [await attempt(f"forged.{n}.token") for n in range(102)]
    assert statuses == [401] + [429] * 101
    assert await attempt(seen) == 200, "a token seen before never meets the budget"
    assert await attempt(new) == 429, "the process has verified enough for this address in this instant"
    assert await attempt(new, peer="192.0.2.2") == 200, "and everything for any other"
    it.tick += 10_000_000
    assert await attempt(it.token("read", jti="newer")) == 200


@pytest.mark.parametrize(
    ("limits", "workers", "warned"),
    [
        ({"client": ["5/minute"]}, "4", True),
        ({"client": ["5/minute"], "instances": 4}, "4", False),
        ({"client": ["5/minute"], "instances": 1}, "4", False),
        ({"client": ["5/minute"]}, "1", False),
        ({}, "4", True),
    ],
    ids=[
        "each worker has all of it",
        "each has its share",
        "the operator says one",
        "one worker",
        "the default budgets",
    ],
)
def test_several_workers_are_warned_of_budgets_of_their_own(
    guarded: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limits: dict[str, Any],
    workers: str,
    warned: bool,
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", workers)
    guarded(limits=doorward.Limits(**limits), tools=[doorward.ToolRule("*", scopes=[])])
    assert ("each would have all of every budget" in caplog.text) is warned
