"""One record: every member always there, in one order, and nothing of the caller's that could break it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trails import record

from doorward.audit import Outcome, principal_fragment
from doorward.audit.chain import Chain
from doorward.audit.record import timestamp
from doorward.principal import Principal

MEMBERS = [
    *("event", "timestamp", "request_id", "parent_id", "rpc_id", "trace_id"),
    *("client_id", "subject", "issuer", "organization", "token_id", "verified", "transport"),
    *("peer", "http_method", "path"),
    *("method", "tool_name", "arguments_hash", "hash_key", "scopes"),
    *("result", "reason", "detail", "budget", "budget_scope", "budget_window", "retry_after_ms", "limits_fallback"),
    *("rule", "would_deny", "disconnected", "latency_ms"),
    *("instance", "sequence", "previous"),
]


def sealed(**given: Any) -> dict[str, Any]:
    """The record as it stands in the file."""
    return dict(json.loads(Chain("i-1").seal(record(**given))))


def principal(**given: Any) -> tuple[str, str]:
    defaults = {"client_id": None, "organization": None, "scopes": (), "token_id": None, "expires_at": 0.0}
    return principal_fragment(Principal(**({"issuer": "https://a", "subject": "s"} | defaults | given)))


def test_a_record_of_nothing_has_every_member() -> None:
    made = sealed(method=None, rpc_id=None)
    assert list(made) == MEMBERS
    assert made == dict.fromkeys(MEMBERS) | {
        "event": "call",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "request_id": "r-1",
        "verified": False,
        "transport": "http",
        "scopes": None,
        "result": "success",
        "would_deny": [],
        "disconnected": False,
        "latency_ms": 1.5,
        "instance": "i-1",
        "sequence": 1,
    }


def test_a_record_of_everything_has_them_in_the_same_order() -> None:
    made = sealed(
        name="delete_user",
        parent_id="r-0",
        rpc_id="seven",
        peer="192.0.2.7",
        http_method="POST",
        path="/mcp",
        limits_fallback="local",
        principal=principal(client_id="c", organization="o", scopes=("read", "write"), token_id="t"),
        arguments_hash="hmac-sha256:00",
        hash_key="2026-11",
        rule="delete_*",
        would_deny=("client", "insufficient_scope"),
        disconnected=True,
        outcome=Outcome("denied_rate", "rate_limited", "client", 12_000, "in particular", "client", "minute"),
    )
    assert list(made) == MEMBERS
    assert made | {"latency_ms": 0, "timestamp": ""} == {
        "event": "call",
        "timestamp": "",
        "request_id": "r-1",
        "parent_id": "r-0",
        "rpc_id": "seven",
        "trace_id": None,
        "client_id": "c",
        "subject": "s",
        "issuer": "https://a",
        "organization": "o",
        "token_id": "t",
        "verified": True,
        "transport": "http",
        "peer": "192.0.2.7",
        "http_method": "POST",
        "path": "/mcp",
        "method": "tools/call",
        "tool_name": "delete_user",
        "arguments_hash": "hmac-sha256:00",
        "hash_key": "2026-11",
        "scopes": ["read", "write"],
        "result": "denied_rate",
        "reason": "rate_limited",
        "detail": "in particular",
        "budget": "client",
        "budget_scope": "client",
        "budget_window": "minute",
        "limits_fallback": "local",
        "retry_after_ms": 12_000,
        "rule": "delete_*",
        "would_deny": ["client", "insufficient_scope"],
        "disconnected": True,
        "latency_ms": 0,
        "instance": "i-1",
        "sequence": 1,
        "previous": None,
    }


ANY = st.text(max_size=300) | st.text('"\\\n\r\x00\u2028{}\ud800', max_size=20)


@given(ANY, ANY, ANY, ANY, st.lists(ANY, max_size=4))
def test_no_text_breaks_a_line(name: str, method: str, rpc_id: str, claim: str, scopes: list[str]) -> None:
    who = principal(subject=claim, client_id=claim, organization=claim, token_id=claim, scopes=tuple(scopes))
    line = Chain("i-1").seal(record(name, method=method, rpc_id=rpc_id, rule=name, principal=who))
    assert line.isascii()
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    made = json.loads(line)
    assert list(made) == MEMBERS
    assert made["scopes"] == scopes
    for member, text in (("tool_name", name), ("method", method), ("rpc_id", rpc_id), ("subject", claim)):
        assert made[member] == (text if len(text) <= 256 else f"{text[:256]}…")


@pytest.mark.parametrize("rpc_id", [0, -1, 2**63 - 1, "1", "", None])
def test_an_id_keeps_its_type(rpc_id: str | int | None) -> None:
    assert sealed(rpc_id=rpc_id)["rpc_id"] == rpc_id
    assert type(sealed(rpc_id=rpc_id)["rpc_id"]) is type(rpc_id)


def test_invented_names_are_bounded() -> None:
    line = Chain("i-1").seal(record("\U0010ffff" * 10_000, method="m" * 10_000, rpc_id="i" * 10_000))
    assert len(line) < 8_000


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_800_000_000.0, "2027-01-15T08:00:00.000Z"),
        (1_800_000_000.9999, "2027-01-15T08:00:00.999Z"),
        (951_782_400.5, "2000-02-29T00:00:00.500Z"),
        (-0.001, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_timestamps(at: float, text: str) -> None:
    assert timestamp(at) == text


def test_claims_are_not_recorded() -> None:
    assert "someone" not in "".join(principal(claims={"email": "someone@example.com"}))
