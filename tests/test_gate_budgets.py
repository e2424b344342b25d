"""May they now: which budgets a call spends, who shares them, and what spends nothing."""

from __future__ import annotations

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


async def test_refused_calls_lists_and_handshakes_spend_no_budget(guarded: Make) -> None:
    it = guarded(limits=doorward.Limits(client=["1/day"]))
    token = it.token("read")
    listing = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    for body in (listing, message("delete_order"), message("unknown"), listing):
        await it.gate.decide(authorization=f"Bearer {token}", body=body)
    assert (await it.gate.decide(authorization=f"Bearer {token}", body=message())).allowed


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
        ({"client": ["5/minute"]}, "1", False),
        ({}, "4", False),
    ],
    ids=["each worker has all of it", "each has its share", "one worker", "no budget"],
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
