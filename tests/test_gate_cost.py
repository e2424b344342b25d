"""What a refusal may cost: counted, since a clock says something else on every machine.

One pass over a body, whatever is made of it; nothing else that grows with it before the call is paid for. The measured
ratios are in `benches/test_refusals.py`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from guarded import RULES, Guarded

import doorward
from doorward import IMPLEMENTATION, steps
from doorward._pure import json as pure_json
from doorward.decision import MAX_HASHED
from doorward.policy import Policy
from doorward.settings import Secret
from doorward.testing import Issuer

pytestmark = pytest.mark.anyio

LARGE = MAX_HASHED + 1


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Work:
    """What was done with bodies, in its order."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def of(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """The same, noted."""

        def noted(*given: Any, **options: Any) -> Any:
            self.done.append(name)
            return run(*given, **options)

        return noted

    def envelope(self, body: bytes) -> Any:
        """The message of a body, which notes what is asked of it."""
        self.done.append("read")
        return _Noting(READ_ENVELOPE(body), self)


class _Noting:
    def __init__(self, envelope: Any, work: Work) -> None:
        self._envelope, self._work = envelope, work

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._envelope, name)
        return self._work.of(name, found) if callable(found) else found


READ_ENVELOPE = steps.read_envelope


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    work = Work()
    monkeypatch.setattr(steps, "read_envelope", work.envelope)
    monkeypatch.setattr(Policy, "rule_for", work.of("rule", Policy.rule_for))
    # No reader but the core's: this one builds objects of all of a body, and takes what the core refuses.
    monkeypatch.setattr(json.JSONDecoder, "decode", work.of("json.loads", json.JSONDecoder.decode))
    return work


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(
        tmp_path / "audit.jsonl",
        Issuer("https://as.example.com"),
        tools=[*RULES, doorward.ToolRule("slow", scopes=["read"], concurrency=1)],
        resources=[doorward.ResourceRule("docs://*", scopes=["read"])],
        methods=[doorward.MethodRule("subscriptions/listen", scopes=["read"], limit=["2/minute"])],
    )
    yield made
    made.gate.close()


async def judged(it: Guarded, body: bytes, work: Work) -> doorward.Decision:
    """The decision about a body of a caller who is known: what was done for it alone is noted."""
    token = it.token("read", token_id="one")
    (await it.gate.decide(authorization=f"Bearer {token}", body=body_of("ping"))).close()
    work.done.clear()
    return await it.gate.decide(authorization=f"Bearer {token}", body=body)


def body_of(method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def tool(name: str, size: int = LARGE) -> bytes:
    """A call whose arguments have so many bytes."""
    return body_of("tools/call", name=name, arguments={"x": "a" * (size - len('{"x": ""}'))})


JUNK = "a" * LARGE
META = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "x": JUNK}

READ_ONCE: dict[str, tuple[bytes, str | None, list[str]]] = {
    "a call": (tool("read_x"), None, ["read", "rule", "hash_arguments"]),
    "one that no rule allows": (tool("unknown"), "no_rule", ["read", "rule", "digest_arguments"]),
    "one without its scope": (tool("delete_x"), "insufficient_scope", ["read", "rule", "digest_arguments"]),
    "one with few arguments": (tool("unknown", MAX_HASHED), "no_rule", ["read", "rule", "hash_arguments"]),
    "a large _meta": (
        body_of("tools/call", name="unknown", _meta=META),
        "no_rule",
        ["read", "rule", "hash_arguments"],
    ),
    "a resource": (body_of("resources/read", uri="docs://a", x=JUNK), None, ["read", "rule"]),
    "a resource in disguise": (body_of("resources/read", uri="docs://../a", x=JUNK), "no_rule", ["read", "rule"]),
    "a method nobody knows": (body_of("no/such", x=JUNK), "unknown_method", ["read", "rule"]),
    "a large message that calls nothing": (body_of("ping", x=2 * JUNK), "body_too_large", ["read"]),
    "a large subscription": (
        body_of("subscriptions/listen", notifications={"resourceSubscriptions": 2 * [JUNK]}),
        "body_too_large",
        ["read"],
    ),
    "a subscription to nothing": (
        body_of("subscriptions/listen", notifications={"resourceSubscriptions": 5}, x=JUNK),
        "invalid_request",
        ["read", "rule", "param"],
    ),
    "a subscription": (
        body_of("subscriptions/listen", notifications={"resourceSubscriptions": ["docs://a"]}),
        None,
        ["read", "rule", "param", "rule"],
    ),
    "no JSON": (b"[" * LARGE, "invalid_json", ["read"]),
    "no message": (b"[%s]" % tool("read_x"), "invalid_request", ["read"]),
}


@pytest.mark.parametrize(("body", "code", "done"), READ_ONCE.values(), ids=READ_ONCE)
async def test_a_body_is_read_once_and_its_rule_is_found_before_it_is_hashed(
    it: Guarded, work: Work, body: bytes, code: str | None, done: list[str]
) -> None:
    decision = await judged(it, body, work)
    assert (decision.refusal and decision.refusal.code) == code
    decision.close()
    assert work.done == done


@pytest.mark.parametrize("durability", ["written", "durable"])
async def test_what_is_over_a_limit_is_not_hashed(tmp_path: Path, work: Work, durability: str) -> None:
    trail = tmp_path / "audit.jsonl"
    it = Guarded(trail, Issuer("https://as.example.com"), audit=doorward.Audit(path=str(trail), durability=durability))
    for _ in range(5):
        allowed = await judged(it, tool("read_x"), work)
        assert work.done == ["read", "rule", "hash_arguments"]
        await allowed.aclose()
    refused = await judged(it, tool("read_x"), work)
    assert refused.refusal is not None
    assert refused.refusal.code == "rate_limited"
    assert work.done == ["read", "rule", "digest_arguments"]
    hashes = {
        line["arguments_hash"] for line in it.lines() if (line["event"], line["tool_name"]) == ("intent", "read_x")
    }
    hashed = doorward.hash_arguments(json.loads(tool("read_x"))["params"]["arguments"])
    assert hashes == ({hashed} if durability == "durable" else set())
    it.gate.close()


async def test_what_finds_no_place_in_flight_is_not_hashed(it: Guarded, work: Work) -> None:
    running = await judged(it, tool("slow"), work)
    refused = await judged(it, tool("slow"), work)
    assert refused.refusal is not None
    assert refused.refusal.code == "too_many_in_flight"
    assert work.done == ["read", "rule", "digest_arguments"]
    running.close()


async def test_the_resources_of_a_subscription_are_looked_up_once_it_is_paid_for(it: Guarded, work: Work) -> None:
    body = body_of("subscriptions/listen", notifications={"resourceSubscriptions": ["file:///secret"]})
    found = []
    for _ in range(3):
        decision = await judged(it, body, work)
        found.append((decision.refusal and decision.refusal.code, work.done))
        work.done = []
    looked_up = ("no_rule", ["read", "rule", "param", "rule"])
    assert found == [looked_up, looked_up, ("rate_limited", ["read", "rule"])]


@pytest.mark.skipif(IMPLEMENTATION != "python", reason="counts what the Python core scans")
@pytest.mark.parametrize("body", [body for body, _, _ in READ_ONCE.values()], ids=READ_ONCE)
async def test_the_parser_passes_no_byte_twice(
    it: Guarded, work: Work, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned: list[range] = []

    class Counting(json.JSONDecoder):
        def raw_decode(self, text: str, idx: int = 0) -> tuple[Any, int]:
            value, end = super().raw_decode(text, idx)
            scanned.append(range(idx, end))
            return value, end

    known = pure_json._DECODER
    counting = Counting(
        object_pairs_hook=known.object_pairs_hook,
        parse_float=known.parse_float,
        parse_int=known.parse_int,
        parse_constant=known.parse_constant,
    )
    token = it.token("read")
    (await it.gate.decide(authorization=f"Bearer {token}", body=body_of("ping"))).close()
    monkeypatch.setattr(pure_json, "_DECODER", counting)
    (await it.gate.decide(authorization=f"Bearer {token}", body=body)).close()
    assert sum(map(len, scanned)) <= len(body)
    assert all(before.stop <= after.start for before, after in pairwise(scanned))


# --- what the record says of arguments that were not hashed -----------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "has_hash"), [(MAX_HASHED, True), (LARGE, False)], ids=["as many as are hashed", "one more"]
)
async def test_a_refused_call_is_recorded_with_a_hash_or_with_what_its_arguments_were(
    it: Guarded, work: Work, size: int, has_hash: bool
) -> None:
    body = tool("unknown", size)
    written = json.dumps(json.loads(body)["params"]["arguments"]).encode()
    await judged(it, body, work)
    record = it.records()[-1]
    expected = doorward.hash_arguments(json.loads(written)) if has_hash else None
    assert record["arguments_hash"] == expected
    said = f"arguments of {size} bytes, sha256:{hashlib.sha256(written).hexdigest()}"
    assert record["detail"] == ("no tool rule matches" if has_hash else f"no tool rule matches; {said}")


async def test_an_allowed_call_has_its_hash_however_large_it_is(it: Guarded, work: Work) -> None:
    body = tool("read_x", 1_000_000)
    (await judged(it, body, work)).close()
    record = it.records()[-1]
    assert (record["arguments_hash"], record["detail"]) == (
        doorward.hash_arguments(json.loads(body)["params"]["arguments"]),
        None,
    )


async def test_with_a_key_no_hash_is_recorded_that_others_can_make(tmp_path: Path) -> None:
    key = Secret(b"0123456789abcdef0123456789abcdef", id="2026-12")
    trail = tmp_path / "audit.jsonl"
    it = Guarded(trail, Issuer("https://as.example.com"), audit=doorward.Audit(path=str(trail), key=key))
    body = tool("unknown")
    await it.gate.decide(authorization=f"Bearer {it.token('read')}", body=body)
    record = it.records()[-1]
    written = json.dumps(json.loads(body)["params"]["arguments"]).encode()
    digest = hmac.new(key.value, written, "sha256").hexdigest()
    assert record["detail"].endswith(f"bytes, hmac-sha256:{digest}")
    assert (record["arguments_hash"], record["hash_key"]) == (None, "2026-12")
    it.gate.close()


# --- the bound of what calls nothing ----------------------------------------------------------------------------------


def padded(message: dict[str, Any], size: int) -> bytes:
    """The message in so many bytes."""
    text = json.dumps({"jsonrpc": "2.0"} | message).encode()
    return text[:-1] + b" " * (size - len(text)) + b"}"


CALLING: dict[str, tuple[dict[str, Any], bool]] = {
    "a request": ({"id": 1, "method": "ping"}, True),
    "a list": ({"id": 1, "method": "tools/list"}, True),
    "a notification": ({"method": "notifications/initialized"}, True),
    "a method nobody knows": ({"id": 1, "method": "no/such"}, True),
    "a response": ({"id": 1, "result": {}}, False),
    "a tool call": ({"id": 1, "method": "tools/call", "params": {"name": "read_x"}}, False),
    "a resource": ({"id": 1, "method": "resources/read", "params": {"uri": "docs://a"}}, False),
}


@pytest.mark.parametrize("max_message_bytes", [200, 131_072])
@pytest.mark.parametrize(("message", "is_bounded"), CALLING.values(), ids=CALLING)
async def test_what_calls_nothing_may_be_so_large(
    tmp_path: Path, message: dict[str, Any], is_bounded: bool, max_message_bytes: int
) -> None:
    it = Guarded(
        tmp_path / "audit.jsonl",
        Issuer("https://as.example.com"),
        resources=[doorward.ResourceRule("docs://*", scopes=["read"])],
        **({} if max_message_bytes == 131_072 else {"max_message_bytes": max_message_bytes}),
    )

    async def decided(size: int) -> doorward.Decision:
        return await it.gate.decide(authorization=f"Bearer {it.token('read')}", body=padded(message, size))

    within, beyond = await decided(max_message_bytes), await decided(max_message_bytes + 1)
    assert within.refusal is None or within.refusal.code == "unknown_method"
    assert (beyond.refusal is not None and beyond.refusal.code == "body_too_large") == is_bounded
    if beyond.refusal is not None:
        answer = it.gate.render(beyond)
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (413, -32600)
    within.close()
    beyond.close()
    it.gate.close()
