"""One record a request, on every way out: through the gate, the ASGI tier and the official SDK, over real HTTP, in
every mode. In ``durable`` mode what ran has an intent as well, and what was refused has none."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx2
import pytest
from adapters.desk import RULES, Desk, hang_up_on, modern, modern_headers, open_session, tools
from adapters.serving import listening, served, url_of
from guarded import Guarded, message
from trails import records_in

import doorward
from doorward.testing import Issuer

RULES_HERE = [
    *RULES,
    doorward.ToolRule("wipe", scopes=[], confirm=True),
]
STRANGER = Issuer("https://elsewhere.example.com")
FORGER = Issuer("https://as.example.com")  # the right name, other keys


@pytest.fixture(scope="module", params=["buffered", "written", "durable"])
def desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Desk]:
    with listening() as listener:
        path = tmp_path_factory.mktemp("trail") / "audit.jsonl"
        audit = doorward.Audit(str(path), durability=request.param)
        it = Guarded(
            path,
            issuer,
            resource=url_of(listener),
            tools=RULES_HERE,
            audit=audit,
            max_body_bytes=10_000,
            limits=doorward.Limits(client=[], failed_auth="1000/minute", handshake="1000/minute"),
        )
        it.now = time.time()
        ran: list[str] = []
        may_end = threading.Event()
        server = tools(ran, may_end)
        with served(it.gate.protect(server, json_response=False), listener):
            yield Desk(it, server, ran, may_end)
            may_end.set()


Answer = httpx2.Response
Way = Callable[[Desk], Answer]


def call(tool: str, *scopes: str, **arguments: Any) -> Way:
    return lambda desk: desk.post(modern(tool, **arguments), *scopes, headers=modern_headers(tool))


def body(data: bytes, **headers: str) -> Way:
    return lambda desk: desk.post(data, "read", headers=headers)


def as_whom(authorization: Callable[[Desk], str | None], **headers: str) -> Way:
    def post(desk: Desk) -> Answer:
        given = authorization(desk)
        sent = headers | ({} if given is None else {"Authorization": given})
        return httpx2.post(desk.gate.resource, content=modern("read_caller"), headers=sent)

    return post


def bearer(issuer: Callable[[Desk], Issuer], **claims: Any) -> Callable[[Desk], str]:
    def made(desk: Desk) -> str:
        given: dict[str, Any] = {
            "audience": desk.gate.resource,
            "now": desk.it.now,
            "scopes": ["read"],
            "jti": "t-1",
        } | claims
        return f"Bearer {issuer(desk).token(**given)}"

    return made


def own(desk: Desk) -> Issuer:
    return desk.it.issuer


def get(desk: Desk) -> Answer:
    return httpx2.put(desk.gate.resource, headers={"Authorization": f"Bearer {desk.it.token('read')}"})


KNOWN = {"client_id": "agent-1", "subject": "user-1", "issuer": "https://as.example.com", "verified": True}
NAMED = KNOWN | {"verified": False, "token_id": "t-1", "scopes": None}
NOBODY = dict.fromkeys(["client_id", "subject", "issuer", "token_id", "scopes"]) | {"verified": False}

WAYS: dict[str, tuple[Way, int, dict[str, Any]]] = {
    "success": (call("read_caller", "read"), 200, KNOWN | {"result": "success", "reason": None, "rule": "read_*"}),
    "tool error": (call("read_failing", "read"), 200, KNOWN | {"result": "tool_failure"}),
    "protocol error": (call("read_refusing", "read"), 200, KNOWN | {"result": "error", "reason": "rpc-32050"}),
    "no such tool": (call("read_nothing", "read"), 200, KNOWN | {"tool_name": "read_nothing"}),
    "arguments of the wrong type": (call("delete_user", "write", name=[1]), 200, KNOWN | {"tool_name": "delete_user"}),
    "a notification that the server refuses": (
        body(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}'),
        400,
        KNOWN | {"method": "notifications/cancelled", "result": "error", "reason": "http400"},
    ),
    # 2 transport
    "another host": (
        as_whom(bearer(own), Host="evil.example.com"),
        403,
        NOBODY | {"result": "denied_policy", "reason": "invalid_host"},
    ),
    "another origin": (
        as_whom(bearer(own), Origin="https://evil.example.com"),
        403,
        NOBODY | {"result": "denied_policy", "reason": "invalid_origin"},
    ),
    "encoded": (
        as_whom(bearer(own), **{"Content-Encoding": "gzip"}),
        415,
        NOBODY | {"result": "malformed", "reason": "unsupported_encoding"},
    ),
    "another HTTP method": (get, 405, {"result": "malformed", "reason": "method_not_allowed"}),
    # 3 authenticate
    "nobody": (as_whom(lambda _: None), 401, NOBODY | {"result": "denied_auth", "reason": "missing_credentials"}),
    "another scheme": (
        as_whom(lambda _: "Basic dXNlcjpwYXNz"),
        401,
        NOBODY | {"result": "denied_auth", "reason": "unsupported_scheme"},
    ),
    "no token": (as_whom(lambda _: "Bearer nonsense"), 401, NOBODY | {"reason": "malformed_token"}),
    "a forged token": (as_whom(bearer(lambda _: FORGER)), 401, NOBODY | {"result": "denied_auth"}),
    "a stranger's token": (as_whom(bearer(lambda _: STRANGER)), 401, NOBODY | {"reason": "invalid_issuer"}),
    "an expired token": (
        as_whom(bearer(own, now=1_000_000_000.0)),
        401,
        NAMED | {"result": "denied_auth", "reason": "token_expired"},
    ),
    "a token for somebody else": (
        as_whom(bearer(own, audience="https://other.example.com")),
        401,
        NAMED | {"result": "denied_auth", "reason": "invalid_audience"},
    ),
    # 4 read
    "no JSON": (body(b"{"), 400, KNOWN | {"result": "malformed", "reason": "invalid_json", "method": None}),
    "no message": (body(b"[]"), 400, KNOWN | {"result": "malformed", "reason": "invalid_request"}),
    "too large": (body(b" " * 20_000), 413, {"result": "malformed", "reason": "body_too_large"}),
    "too large, and not said before": (
        lambda desk: httpx2.post(
            desk.gate.resource,
            content=iter([b" " * 8_000] * 3),
            headers={"Authorization": f"Bearer {desk.it.token('read')}"},
        ),
        413,
        KNOWN | {"result": "malformed", "reason": "body_too_large"},
    ),
    # 5 authorise, 6 limit, 7 confirm
    "no scope": (
        call("delete_user", "read", name="ada"),
        403,
        KNOWN | {"result": "denied_scope", "reason": "insufficient_scope", "rule": "delete_*"},
    ),
    "no rule": (
        call("unheard_of", "read"),
        403,
        KNOWN | {"result": "denied_policy", "reason": "no_rule", "rule": None},
    ),
    "an unknown method": (
        body(b'{"jsonrpc":"2.0","id":1,"method":"made/up"}'),
        404,
        KNOWN | {"result": "denied_policy", "reason": "unknown_method", "method": "made/up"},
    ),
    "to be confirmed": (call("wipe", "read"), 403, {"result": "denied_policy", "reason": "confirmation_unavailable"}),
}


def written(desk: Desk) -> list[dict[str, Any]]:
    desk.gate._steps.trail.flush()
    return records_in(desk.it.trail, "call", "intent")


def of(desk: Desk, request_id: str, count: int = 1) -> list[dict[str, Any]]:
    """The records of one request, once there are so many calls; and none more comes."""
    deadline = time.monotonic() + 5
    while True:
        found = [record for record in written(desk) if request_id in (record["request_id"], record["parent_id"])]
        if sum(record["event"] == "call" for record in found) >= count or time.monotonic() > deadline:
            return found
        time.sleep(0.01)


@pytest.mark.parametrize(("way", "status", "expected"), WAYS.values(), ids=WAYS)
def test_exactly_one_record(desk: Desk, way: Way, status: int, expected: dict[str, Any]) -> None:
    before = {record["request_id"] for record in written(desk)}
    answer = way(desk)
    assert answer.status_code == status, answer.text
    records = of(desk, answer.headers["x-request-id"])
    *intents, record = records
    assert record["event"] == "call"
    assert {name: record[name] for name in expected} == expected
    assert {record["request_id"] for record in written(desk)} - before == {answer.headers["x-request-id"]}
    ran = record["result"] in ("success", "tool_error", "tool_failure", "error", "cancelled")
    durable = desk.gate._steps.trail.is_durable
    assert [intent["event"] for intent in intents] == (["intent"] if ran and durable else [])
    for intent in intents:
        assert (intent["result"], intent["latency_ms"]) == (None, None)
        same = ("request_id", "client_id", "method", "tool_name", "arguments_hash", "rule", "rpc_id")
        assert {name: intent[name] for name in same} == {name: record[name] for name in same}


def test_over_a_limit(desk: Desk) -> None:
    answers = [call("limited", "read")(desk) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert [of(desk, answer.headers["x-request-id"])[-1]["result"] for answer in answers] == ["success", "denied_rate"]


def test_a_client_that_goes_cancels_its_call(desk: Desk) -> None:
    seen = len(written(desk))
    desk.ran.clear()
    hang_up_on(desk, modern("read_slowly"), modern_headers("read_slowly"))
    deadline = time.monotonic() + 5
    while not (new := [record for record in written(desk)[seen:] if record["event"] == "call"]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    [record] = new
    assert (record["result"], record["tool_name"]) == ("cancelled", "read_slowly")


def test_a_tool_that_ends_after_its_client_has_gone_is_recorded_when_it_ends(desk: Desk) -> None:
    headers = open_session(desk)
    seen = len(written(desk))
    desk.ran.clear()
    desk.may_end.clear()
    hang_up_on(desk, message("read_slowly"), headers)
    assert [record for record in written(desk)[seen:] if record["event"] == "call"] == []
    desk.may_end.set()
    deadline = time.monotonic() + 5
    while not (new := [record for record in written(desk)[seen:] if record["event"] == "call"]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    [record] = new
    assert (record["result"], record["disconnected"]) == ("success", True)
    assert record["latency_ms"] > 100  # of the whole call, not of the answer that nobody waited for


def test_the_latency_is_the_whole_call_s(desk: Desk) -> None:
    desk.ran.clear()
    desk.may_end.clear()
    timer = threading.Timer(0.3, desk.may_end.set)
    timer.start()
    answer = call("read_slowly", "read")(desk)
    timer.join()
    assert of(desk, answer.headers["x-request-id"])[-1]["latency_ms"] > 200


def test_a_message_that_a_call_leads_to_names_its_parent(desk: Desk) -> None:
    async def twice(guarded: Guarded) -> tuple[doorward.Decision, doorward.Decision]:
        parent = await guarded.call("read_caller", "read")
        inner = guarded.gate.call_of_message("tools/call", 2, {"name": "read_other"}, under=parent)
        child = await guarded.gate.judge_message(parent, inner)
        await child.aclose()
        await parent.aclose()
        return parent, child

    parent, child = anyio.run(twice, desk.it)
    records = [record for record in of(desk, parent.request_id, 2) if record["event"] == "call"]
    assert [(record["request_id"], record["parent_id"]) for record in records] == [
        (child.request_id, parent.request_id),
        (parent.request_id, None),
    ]


def test_no_line_of_all_that_lacks_a_member(desk: Desk) -> None:
    desk.gate._steps.trail.flush()
    lines = records_in(desk.it.trail)
    calls = [line for line in lines if line["event"] == "call"]
    assert len(calls) >= len(WAYS)
    for line in lines:
        if line["event"] != "start":
            assert list(line) == list(calls[0])
        assert set(calls[0]) <= set(line)
    assert len({record["request_id"] for record in calls}) == len(calls)


@pytest.mark.parametrize(
    ("way", "syncs"),
    [
        pytest.param(call("read_caller", "read"), 2, id="intent and call"),
        pytest.param(call("read_failing", "read"), 2, id="a tool that fails"),
        pytest.param(call("delete_user", "read", name="ada"), 1, id="refused"),
        pytest.param(as_whom(lambda _: None), 1, id="nobody"),
        pytest.param(body(b"{"), 1, id="malformed"),
    ],
)
def test_no_answer_before_the_disk_has_it(desk: Desk, way: Way, syncs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if not desk.gate._steps.trail.is_durable:
        pytest.skip("only where that is promised")
    seconds, sync = 0.2, os.fdatasync

    def slowly(descriptor: int) -> None:
        time.sleep(seconds)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slowly)
    began = time.monotonic()
    way(desk)
    assert time.monotonic() - began >= syncs * seconds
