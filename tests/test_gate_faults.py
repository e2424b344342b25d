"""An unexpected error inside the gate: 503, one record, one line in the log, and nothing of what was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from guarded import Guarded, message

from doorward.adapters.asgi import GateASGI

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]

SECRET = "text-of-the-error"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def broken(*_: object, **__: object) -> Any:
    raise KeyError(SECRET)


FAULTS: dict[str, Callable[[Any], tuple[Any, str]]] = {
    "the fast path": lambda steps: (steps._callers, "recognise"),
    "the transport": lambda steps: (steps.transport, "check"),
    "the token": lambda steps: (steps.tokens, "authenticate"),
    "the rules": lambda steps: (steps.policy, "rule_for"),
    "the scopes": lambda steps: (steps.policy, "authorise"),
    "the budgets": lambda steps: (steps._admitting, "admit"),
}


async def answered(it: Guarded, body: bytes) -> tuple[int, bytes]:
    """The status and body of one request."""

    async def app(*_: object) -> None:
        raise AssertionError("the server was reached")

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(frame: Any) -> None:
        sent.append(frame)

    headers = [(b"host", b"mcp.example.com"), (b"authorization", f"Bearer {it.token('read')}".encode())]
    scope = {"type": "http", "scheme": "https", "method": "POST", "path": "/mcp", "query_string": b""}
    await GateASGI(it.gate, app)({**scope, "headers": headers, "client": ("192.0.2.1", 1)}, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_unexpected_error_leaves_the_app(
    guarded: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    it = guarded()
    monkeypatch.setattr(*FAULTS[fault](it.gate._steps), broken)
    caplog.clear()
    status, body = await answered(it, message())
    assert (status, b"internal_error" in body or b"judged now" in body, SECRET.encode() in body) == (503, True, False)
    [record] = it.records()
    assert (record["reason"], record["detail"]) == ("internal_error", "unexpected KeyError")
    [line] = caplog.messages
    assert line.startswith(f"request {record['request_id']} is refused: unexpected KeyError at ")
    assert SECRET not in line


@pytest.mark.parametrize("fault", ["the rules", "the budgets"])
async def test_nor_one_of_a_message_that_a_call_led_to(
    guarded: Make, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    it = guarded()
    parent = await it.call("read_order", "read")
    monkeypatch.setattr(*FAULTS[fault](it.gate._steps), broken)
    call = it.gate.call_of_message("tools/call", 2, {"name": "read_item", "arguments": {}}, under=parent)
    decision = await it.gate.judge_message(parent, call)
    assert decision.refusal is not None
    assert decision.refusal.code == "internal_error"
