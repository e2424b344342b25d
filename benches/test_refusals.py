"""What a refusal costs next to one strict parse of the same body, by kind of refusal and by what the body is full of.

The goal is 1.5: a caller who is refused must not cost the gate much more than reading what was sent. Counted instead of
measured in `tests/test_gate_cost.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from benches.contest import Tell
from pytest_benchmark.fixture import BenchmarkFixture

import doorward
from doorward import _core as core
from doorward.testing import Issuer

RESOURCE = "https://mcp.example.com/mcp"
SIZE = 4 * 1024 * 1024 - 500 if doorward.IMPLEMENTATION == "rust" else 512 * 1024
"""Of a body: the largest, and in pure Python one that the bench does not take minutes for."""


def _array(item: str) -> str:
    return f"[{','.join([item] * (SIZE // (len(item) + 1) - 10))}]"


SHAPES = {
    "flat": _array("[]"),
    "nested": _array("[" * 100 + "]" * 100),
    "ints": _array("1"),
    "strings": _array('"abcdefgh"'),
    "one string": f'"{"a" * (SIZE - 10)}"',
}


def _body(method: str, params: str) -> bytes:
    return f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}'.encode()


KINDS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "no rule": (lambda junk: _body("tools/call", f'"name":"unknown","arguments":{{"x":{junk}}}'), "no_rule"),
    "no scope": (
        lambda junk: _body("tools/call", f'"name":"scoped","arguments":{{"x":{junk}}}'),
        "insufficient_scope",
    ),
    "over a limit": (lambda junk: _body("tools/call", f'"name":"spent","arguments":{{"x":{junk}}}'), "rate_limited"),
    "no human": (
        lambda junk: _body("tools/call", f'"name":"confirmed","arguments":{{"x":{junk}}}'),
        "confirmation_unavailable",
    ),
    "junk in _meta": (
        lambda junk: _body("tools/call", f'"name":"unknown","_meta":{{"traceparent":1,"x":{junk}}}'),
        "no_rule",
    ),
    "disguised resource": (lambda junk: _body("resources/read", f'"uri":"docs://../a","x":{junk}'), "no_rule"),
    "subscription": (
        lambda junk: _body("subscriptions/listen", f'"notifications":{{"resourceSubscriptions":{junk}}}'),
        "body_too_large",
    ),
    "unknown method": (lambda junk: _body("no/such", f'"x":{junk}'), "body_too_large"),
}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[doorward.Gate, str]]:
    """A gate, and the credentials of a caller whom it knows and who has spent what may be spent."""
    issuer = Issuer("https://as.example.com")
    gate = doorward.Gate(
        resource=RESOURCE,
        issuers=[doorward.Issuer(issuer.url, ["ES256"], issuer.jwks())],
        tools=[
            doorward.ToolRule("scoped", scopes=["write"]),
            doorward.ToolRule("spent", scopes=[], limit=["1/day"]),
            doorward.ToolRule("confirmed", scopes=[], confirm=True),
        ],
        resources=[doorward.ResourceRule("docs://*", scopes=[])],
        audit=doorward.Audit(path=str(tmp_path_factory.mktemp("refusals") / "audit.jsonl")),
    )
    authorization = f"Bearer {issuer.token(audience=RESOURCE)}"
    first = asyncio.run(gate.decide(authorization=authorization, body=KINDS["over a limit"][0]("1")))
    assert first.allowed
    first.close()
    yield gate, authorization
    gate.close()


def strictly_parsed(body: bytes) -> object:
    """One strict parse by the same core."""
    if doorward.IMPLEMENTATION == "rust":
        return core.read_envelope(body)
    from doorward._pure.json import parse

    return parse(body)


def _fastest(run: Callable[[], Any], rounds: int = 5) -> float:
    times = []
    for _ in range(rounds):
        began = time.process_time()
        made = run()
        times.append(time.process_time() - began)
        del made  # taking objects apart takes time, too
    return min(times)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal(
    benchmark: BenchmarkFixture, tell: Tell, gate: tuple[doorward.Gate, str], kind: str, shape: str
) -> None:
    made, code = KINDS[kind]
    guard, authorization = gate
    body = made(SHAPES[shape])
    loop = asyncio.new_event_loop()

    def refused() -> doorward.Decision:
        return loop.run_until_complete(guard.decide(authorization=authorization, body=body))

    decision = refused()
    assert decision.refusal is not None
    assert decision.refusal.code == code
    parsed, took = _fastest(lambda: strictly_parsed(body)), _fastest(refused)
    benchmark.group, benchmark.name = f"a refusal: {kind}", shape
    benchmark.pedantic(refused, rounds=3)
    tell(
        f"refused ({doorward.IMPLEMENTATION}), {kind}, {len(body):,} bytes of {shape}: {took * 1e3:.1f} ms, "
        f"{took / parsed:.2f} strict parses"
    )
    loop.close()
