"""What a gate refuses: why, with which status, and that it is on record."""

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


REFUSED: dict[str, tuple[str, dict[str, Any], bytes, int, str, str]] = {
    # scopes, claims, body -> status, code, result
    "another audience": (
        "read",
        {"audience": "https://other.example"},
        message(),
        401,
        "invalid_audience",
        "denied_auth",
    ),
    "expired": ("read", {"now": NOW - 7200}, message(), 401, "token_expired", "denied_auth"),
    "not yet valid": ("read", {"nbf": int(NOW) + 900}, message(), 401, "token_not_yet_valid", "denied_auth"),
    "an ID token": ("read", {"typ": "id_token+jwt"}, message(), 401, "invalid_type", "denied_auth"),
    "no subject": ("read", {"subject": None}, message(), 401, "missing_claim", "denied_auth"),
    "bound to a certificate": (
        "read",
        {"cnf": {"x5t#S256": "A" * 43}},
        message(),
        401,
        "proof_required",
        "denied_auth",
    ),
    "missing scope": ("read", {}, message("delete_order"), 403, "insufficient_scope", "denied_scope"),
    "no scope at all": ("", {}, message(), 403, "insufficient_scope", "denied_scope"),
    "no rule": ("write", {}, message("drop_table"), 403, "no_rule", "denied_policy"),
    "case matters": ("write", {}, message("Delete_order"), 403, "no_rule", "denied_policy"),
    "nobody to confirm": ("write", {}, message("wipe"), 403, "confirmation_unavailable", "denied_policy"),
    "unknown method": (
        "write",
        {},
        b'{"jsonrpc":"2.0","id":1,"method":"admin/reset"}',
        404,
        "unknown_method",
        "denied_policy",
    ),
    "an inner name": (
        "write",
        {},
        b'{"jsonrpc":"2.0","id":1,"method":"completion/ref/prompt"}',
        404,
        "unknown_method",
        "denied_policy",
    ),
    "not JSON": ("read", {}, b"{", 400, "invalid_json", "malformed"),
    "a batch": ("read", {}, b"[" + message() + b"]", 400, "invalid_request", "malformed"),
    "a call without an id": (
        "read",
        {},
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"read_order"}}',
        400,
        "invalid_request",
        "malformed",
    ),
    "a call without a name": (
        "read",
        {},
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}',
        400,
        "invalid_request",
        "malformed",
    ),
}


@pytest.mark.parametrize(("scopes", "claims", "body", "status", "code", "result"), REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_says_why_and_is_recorded(
    guarded: Make, scopes: str, claims: dict[str, Any], body: bytes, status: int, code: str, result: str
) -> None:
    it = guarded()
    token = it.token(*scopes.split(), **claims)
    decision = await it.gate.decide(authorization=f"Bearer {token}", body=body)

    assert not decision.allowed
    assert isinstance(decision.refusal, doorward.Refused)
    assert (decision.refusal.status, decision.refusal.code) == (status, code)
    [record] = it.records()
    assert (record["result"], record["reason"], record["verified"]) == (result, code, status != 401)
    assert token not in it.trail.read_text()


CREDENTIALS = {
    "none": (None, 401, "missing_credentials"),
    "empty": ("Bearer ", 401, "malformed_token"),
    "another scheme": ("Basic dXNlcjpwYXNz", 401, "unsupported_scheme"),
    "garbage": ("Bearer x.y.z", 401, "malformed_token"),
    "a huge token": ("Bearer " + "a" * 20_000, 401, "token_too_large"),
}


@pytest.mark.parametrize(("authorization", "status", "code"), CREDENTIALS.values(), ids=CREDENTIALS)
async def test_credentials(guarded: Make, authorization: str | None, status: int, code: str) -> None:
    decision = await guarded().gate.decide(authorization=authorization, body=message())
    assert decision.refusal is not None
    assert (decision.refusal.status, decision.refusal.code) == (status, code)


REQUESTS = {
    "two credentials": (
        {"headers": (("authorization", "Bearer a"), ("authorization", "Bearer b"))},
        400,
        "multiple_credentials",
    ),
    "a token in the query": ({"query": "access_token=abc"}, 400, "token_in_query"),
    "another host": ({"host": "evil.example"}, 403, "invalid_host"),
    "another origin": ({"headers": (("origin", "https://evil.example"),)}, 403, "invalid_origin"),
    "the null origin": ({"headers": (("origin", "null"),)}, 403, "invalid_origin"),
    "plain http": ({"scheme": "http", "peer": "192.0.2.7"}, 403, "insecure_transport"),
    "a compressed body": ({"headers": (("content-encoding", "gzip"),)}, 415, "unsupported_encoding"),
    "declared too large": ({"headers": (("content-length", "4194305"),)}, 413, "body_too_large"),
    "another HTTP method": ({"method": "PUT"}, 405, "method_not_allowed"),
}


@pytest.mark.parametrize(("request_", "status", "code"), REQUESTS.values(), ids=REQUESTS)
async def test_the_transport_is_judged_before_the_credentials(
    guarded: Make, request_: dict[str, Any], status: int, code: str
) -> None:
    it = guarded()
    decision = await it.gate.decide(doorward.Request(**({"host": "mcp.example.com", "path": "/mcp"} | request_)))
    assert decision.refusal is not None
    assert (decision.refusal.status, decision.refusal.code) == (status, code)
    assert len(it.records()) == 1
