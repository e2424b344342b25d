"""From where a request came and what it asked for: `peer`, `http_method` and `path` of its record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from guarded import Guarded, message

import doorward

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]


def request(it: Guarded, *headers: tuple[str, str], method: str = "POST", **given: Any) -> doorward.Request:
    token = ("authorization", f"Bearer {it.token('read')}")
    told: dict[str, Any] = {
        "host": "mcp.example.com",
        "method": method,
        "path": "/mcp",
        "headers": (token, *headers),
        "peer": "192.0.2.7",
        "body": message() if method == "POST" else b"",
    }
    return doorward.Request(**(told | given))


FORWARDED = ("x-forwarded-for", "198.51.100.9, 203.0.113.4")

PEERS = {
    "the other end of the connection": ({"peer": "192.0.2.7"}, (), "192.0.2.7"),
    "the whole address, not its network": ({"peer": "2001:db8::1:2:3:4"}, (), "2001:db8::1:2:3:4"),
    "IPv4 in IPv6 is IPv4": ({"peer": "::ffff:192.0.2.7"}, (), "192.0.2.7"),
    "a trusted proxy names the client": ({"peer": "10.0.0.1"}, (FORWARDED,), "203.0.113.4"),
    "a trusted proxy names nobody": ({"peer": "10.0.0.1"}, (), "10.0.0.1"),
    "anybody else names nobody": ({"peer": "192.0.2.7"}, (FORWARDED,), "192.0.2.7"),
    "a Unix socket": ({"peer": None}, (), "unix"),
}


@pytest.mark.parametrize(("given", "headers", "peer"), PEERS.values(), ids=PEERS)
async def test_the_peer_is_the_address_that_the_transport_computes(
    guarded: Make, given: dict[str, Any], headers: tuple[tuple[str, str], ...], peer: str
) -> None:
    it = guarded(trusted_proxies=["10.0.0.0/8"])
    for _ in range(2):  # the second time, the token is known
        (await it.gate.decide(request(it, *headers, **given))).close()
    assert [record["peer"] for record in it.records()] == [peer] * 2


async def test_the_fast_path_records_the_same_as_the_slow_one(guarded: Make) -> None:
    it = guarded()
    slow = await it.gate.begin(request(it))
    slow.close()
    headers = [(b"host", b"mcp.example.com"), (b"authorization", f"Bearer {it.token('read')}".encode())]
    await it.gate.begin(request(it, path="/mcp"))
    token = it.token("read", jti="one")
    headers[1] = (b"authorization", f"Bearer {token}".encode())
    (await it.gate.begin(request(it, raw_headers=headers, headers=()))).close()
    known = it.gate.recognise(headers, scheme="https", peer="192.0.2.7", path="/mcp")
    assert known is not None
    known[0].close()
    told = [(record["peer"], record["http_method"], record["path"]) for record in it.records()]
    assert set(told) == {("192.0.2.7", "POST", "/mcp")}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_stream_and_the_end_of_a_session_are_told_apart(guarded: Make, method: str) -> None:
    it = guarded()
    (await it.gate.decide(request(it, method=method))).close()
    [record] = it.records()
    assert (record["http_method"], record["method"], record["path"]) == (method, None, "/mcp")


REFUSED = {
    "no credentials": ({"headers": ()}, "missing_credentials"),
    "another host": ({"host": "evil.example.com"}, "invalid_host"),
    "another method": ({"method": "PUT"}, "method_not_allowed"),
    "a token in the query": ({"query": "access_token=hidden"}, "token_in_query"),
}


@pytest.mark.parametrize(("given", "reason"), REFUSED.values(), ids=REFUSED)
async def test_a_refused_request_has_them_too_and_no_query(guarded: Make, given: dict[str, Any], reason: str) -> None:
    it = guarded()
    await it.gate.decide(request(it, **({"path": "/mcp/x"} | given)))
    [record] = it.records()
    assert (record["reason"], record["peer"], record["path"]) == (reason, "192.0.2.7", "/mcp/x")
    assert record["http_method"] == given.get("method", "POST")
    assert "hidden" not in it.trail.read_text()


async def test_what_a_call_leads_to_came_with_it(guarded: Make) -> None:
    it = guarded()
    parent = await it.gate.decide(request(it))
    call = it.gate.call_of_message("tools/call", 2, {"name": "read_order", "arguments": {}}, under=parent)
    (await it.gate.judge_message(parent, call)).close()
    parent.close()
    first, second = it.records()
    same = ("peer", "http_method", "path")
    assert first["parent_id"] == second["request_id"]
    assert [first[name] for name in same] == [second[name] for name in same] == ["192.0.2.7", "POST", "/mcp"]


async def test_a_long_path_is_bounded(guarded: Make) -> None:
    it = guarded()
    await it.gate.decide(request(it, host="evil.example.com", path="/" + "a" * 10_000))
    [record] = it.records()
    assert len(record["path"]) < 300
