"""The gate as a whole, without a framework: who, may they, may they now, and one record of it."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from guarded import NOW, RESOURCE, RULES, Guarded, message

import doorward

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_good_call_is_allowed_and_recorded_once_when_it_ends(guarded: Make) -> None:
    it = guarded()
    decision = await it.call("read_order", "read", org_id="acme", jti="t-1")

    assert decision.allowed
    assert decision.refusal is None
    assert decision.principal is not None
    assert (decision.principal.client_id, decision.principal.subject) == ("agent-1", "user-1")
    assert decision.call is not None
    assert (decision.call.method, decision.call.name, decision.call.id) == ("tools/call", "read_order", 1)
    assert it.records() == []
    decision.close("success")
    decision.close("error")
    [record] = it.records()
    assert record | {"latency_ms": 0, "previous": 0, "instance": 0} == {
        "event": "call",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "request_id": decision.request_id,
        "parent_id": None,
        "rpc_id": 1,
        "trace_id": None,
        "client_id": "agent-1",
        "subject": "user-1",
        "issuer": "https://as.example.com",
        "organization": None,
        "token_id": "t-1",
        "verified": True,
        "transport": "http",
        "peer": "unix",  # the gate was told of none
        "http_method": "POST",
        "path": "/mcp",
        "method": "tools/call",
        "tool_name": "read_order",
        "arguments_hash": doorward.hash_arguments({}),
        "hash_key": None,
        "scopes": ["read"],
        "result": "success",
        "reason": None,
        "detail": None,
        "budget": None,
        "budget_scope": None,
        "budget_window": None,
        "retry_after_ms": None,
        "limits_fallback": None,
        "rule": "read_*",
        "would_deny": [],
        "disconnected": False,
        "latency_ms": 0,
        "instance": 0,
        "sequence": 2,  # behind the start of the trail
        "previous": 0,
    }


async def test_a_broader_scope_implies_the_narrower(guarded: Make) -> None:
    assert (await guarded().call("read_order", "write")).allowed


async def test_both_spellings_of_the_audience_and_the_aliases_are_accepted(guarded: Make) -> None:
    it = guarded(audiences=["api://orders"])
    for audience in (RESOURCE, f"{RESOURCE}/", "api://orders"):
        assert (await it.call("read_order", "read", audience=audience)).allowed
    assert not (await it.call("read_order", "read", audience=f"{RESOURCE}//")).allowed


async def test_a_token_seen_before_is_still_checked_for_expiry(guarded: Make) -> None:
    it = guarded()
    token = it.token("read", lifetime=60)
    for seconds, allowed in ((0, True), (59, True), (200, False)):
        it.now = NOW + seconds
        decision = await it.gate.decide(authorization=f"Bearer {token}", body=message())
        assert decision.allowed is allowed


async def test_a_dropped_decision_records_itself(guarded: Make) -> None:
    it = guarded()
    await it.call("read_order", "read")
    gc.collect()
    [record] = it.records()
    assert (record["result"], record["reason"]) == ("error", "dropped")


async def test_the_arguments_are_fingerprinted_with_the_key(guarded: Make, tmp_path: Any) -> None:
    key = doorward.Secret(b"k" * 32, "2026-11")
    it = guarded(audit=doorward.Audit(path=str(tmp_path / "audit.jsonl"), key=key))
    decision = await it.gate.decide(authorization=f"Bearer {it.token('read')}", body=message(pin="1234"))
    decision.close()
    [record] = it.records()
    assert record["arguments_hash"] == doorward.hash_arguments({"pin": "1234"}, key=b"k" * 32)
    assert record["hash_key"] == "2026-11"
    assert "1234" not in it.trail.read_text()


async def test_a_message_that_a_call_leads_to_is_decided_anew_under_the_same_principal(guarded: Make) -> None:
    it = guarded()
    parent = await it.call("read_order", "read")
    refused = await it.gate.judge_message(
        parent, it.gate.call_of_message("tools/call", 1, {"name": "delete_order"}, under=parent)
    )
    allowed = await it.gate.judge_message(
        parent, it.gate.call_of_message("tools/call", 2, {"name": "read_order"}, under=parent)
    )

    assert refused.refusal is not None
    assert refused.refusal.code == "insufficient_scope"
    assert allowed.allowed
    allowed.close()
    parent.close()
    assert [record["parent_id"] for record in it.records()] == [parent.request_id, parent.request_id, None]


async def test_a_decision_is_claimed_once_and_only_for_its_own_message(guarded: Make) -> None:
    it = guarded()
    decision = await it.gate.decide(authorization=f"Bearer {it.token('read')}", body=message(id=1, order=7))
    own = {"name": "read_order", "arguments": {"order": 7}}
    others: list[tuple[str, Any, dict[str, Any]]] = [
        ("tools/call", 1, {"name": "read_order", "arguments": {"order": 8}}),
        ("tools/call", 2, own),
        ("tools/call", "1", own),
        ("tools/call", 1, {"name": "read_all", "arguments": {"order": 7}}),
        ("prompts/get", 1, own),
    ]
    for method, rpc_id, params in others:
        assert not decision.claim(it.gate.call_of_message(method, rpc_id, params, under=decision))
    assert decision.claim(
        it.gate.call_of_message("tools/call", 1, own | {"_meta": {"progressToken": 1}}, under=decision)
    )
    assert not decision.claim(it.gate.call_of_message("tools/call", 1, own, under=decision))
    assert not decision.is_open


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"resource": "mcp.example.com"}, "not a URL"),
        ({"resource": "http://mcp.example.com/mcp"}, "loopback"),
        ({"resource": "https://u:p@mcp.example.com/mcp"}, "not a host"),
        ({"resource": 'https://mcp.example.com/m"cp'}, "quotes"),
        ({"resource": "https://mcp.example.com:99999/mcp"}, "not a host"),
        ({"challenge_scopes": ['a", realm="x']}, "challenge_scopes"),
        ({"audiences": "api"}, "audiences"),
        ({"organization_claim": ""}, "organization_claim"),
        ({"issuers": []}, "issuers"),
        ({"tools": [*RULES, doorward.ToolRule("read_all", scopes=[])]}, "never match"),
        ({"scopes": {"a": ["b"], "b": ["a"]}}, "implies itself"),
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_right_is_refused(guarded: Make, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        guarded(**settings)


def test_explain_says_which_rule_scopes_and_budgets_apply(guarded: Make) -> None:
    it = guarded(limits=doorward.Limits(client=["600/minute"]))
    text = str(it.gate.explain("delete_order", scopes={"read"}))
    for part in (
        "'delete_*'",
        "scopes: write",
        "insufficient_scope",
        "2/minute for delete_* (client)",
        "600/minute for client",
    ):
        assert part in text
    assert "nobody may call it" in str(it.gate.explain("drop_table"))


async def test_a_token_that_expires_while_its_body_arrives_runs_nothing(guarded: Make) -> None:
    it = guarded()
    request = doorward.Request(
        host="mcp.example.com", headers=(("authorization", f"Bearer {it.token('read', lifetime=60)}"),)
    )
    decision = await it.gate.begin(request)
    assert decision.allowed
    it.now = NOW + 91  # with the leeway of 30 s
    await it.gate.judge(decision, message())
    assert decision.refusal is not None
    assert decision.refusal.code == "token_expired"


def listen(*uris: object) -> bytes:
    """A subscription to changes of resources, as of 2026-07-28."""
    notifications = {"toolsListChanged": True, "resourceSubscriptions": list(uris)}
    params = {"notifications": notifications}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}).encode()


SUBSCRIPTIONS = {
    "to lists alone": ((), None),
    "to an allowed resource": (("docs://public/a",), None),
    "to one without a rule": (("file:///secret",), "no_rule"),
    "to one behind an allowed": (("docs://public/a", "file:///secret"), "no_rule"),
    "to one in disguise": (("docs://public/../secret",), "no_rule"),
    "to one whose scope is missing": (("docs://private/a",), "insufficient_scope"),
    "to what is no URI": ((7,), "invalid_request"),
    "to one that is too long": (("docs://public/" + "a" * 8192,), "invalid_request"),
    "to more than is read": (("docs://public/" + "%20" * 1300,) * 40, "body_too_large"),
    "to too many": (("docs://public/a",) * 1001, "invalid_request"),
}


@pytest.mark.parametrize(("uris", "code"), SUBSCRIPTIONS.values(), ids=SUBSCRIPTIONS)
async def test_a_subscription_needs_the_rule_of_each_resource(
    guarded: Make, uris: tuple[object, ...], code: str | None
) -> None:
    rules = [
        doorward.ResourceRule("docs://public/*", scopes=["read"]),
        doorward.ResourceRule("docs://private/*", scopes=["write"]),
    ]
    it = guarded(resources=rules)
    decision = await it.gate.decide(authorization=f"Bearer {it.token('read')}", body=listen(*uris))
    assert (decision.refusal and decision.refusal.code) == code
    decision.close()


async def test_a_subscription_names_only_so_much_also_where_longer_messages_are_read(
    guarded: Make,
) -> None:
    it = guarded(resources=[doorward.ResourceRule("docs://public/*", scopes=["read"])], max_message_bytes=1_000_000)
    for uris in (("docs://public/" + "%20" * 1300,) * 40, ("docs://public/" + "a" * 8000,) * 100):
        decision = await it.gate.decide(authorization=f"Bearer {it.token('read')}", body=listen(*uris))
        assert decision.refusal is not None
        assert decision.refusal.code == "invalid_request"


async def test_a_decision_ends_in_one_of_four_ways(guarded: Make) -> None:
    it = guarded()
    decision = await it.call("read_order", "read")
    with pytest.raises(ValueError, match="success, tool_error, tool_failure, error, cancelled"):
        decision.close('ok","verified":false')
    decision.close("tool_error")
    assert [record["result"] for record in it.records()] == ["tool_error"]


async def test_a_refused_decision_leaves_nothing_to_collect(guarded: Make) -> None:
    """A flood of refusals must not be a flood of circles."""
    it = guarded()
    decision = weakref.ref(await it.call("read_order", "nothing"))
    assert decision() is None
