"""The span of a decision: one for each, whose trace the record names; what hangs where, and what nobody may choose."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from guarded import Guarded, message
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from traced import Heard, attributes_of, parent_of, trace_of

import doorward

pytestmark = pytest.mark.anyio

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CLAIMED = f"00-{TRACE}-{SPAN}-01"
OTHER = f"00-{'ab' * 16}-{'cd' * 8}-01"


@pytest.fixture
def it(heard: Heard, guarded: Callable[..., Guarded]) -> Iterator[Guarded]:
    made = guarded()
    yield made
    made.gate.close()


def asking(it: Guarded, *, header: str | None = None, meta: str | None = None, token: str | None = None) -> Any:
    """One call, which says of which span it is part."""
    body = json.loads(message())
    if meta is not None:
        body["params"]["_meta"] = {"traceparent": meta}
    headers = [("authorization", f"Bearer {token or it.token('read')}")]
    headers += [] if header is None else [("traceparent", header)]
    return doorward.Request(host="mcp.example.com", path="/mcp", headers=headers, body=json.dumps(body).encode())


def the_span(heard: Heard) -> ReadableSpan:
    (span,) = heard.spans()
    return span


async def test_a_call_that_ran(it: Guarded, heard: Heard) -> None:
    decision = await it.call("read_order", "read")
    assert heard.spans() == []
    decision.close("tool_error")
    span = the_span(heard)
    assert span.name == "doorward tools/call"
    assert attributes_of(span) == {
        "mcp.method.name": "tools/call",
        "gen_ai.tool.name": "read_order",
        "doorward.request_id": decision.request_id,
        "doorward.transport": "http",
        "doorward.client_id": "agent-1",
        "doorward.rule": "read_*",
        "doorward.result": "tool_error",
        "error.type": "tool_error",
    }
    assert span.status.status_code is trace.StatusCode.ERROR
    assert it.records()[-1]["trace_id"] == trace_of(span) == decision.trace_id


REFUSED: dict[str, tuple[Callable[[Guarded], dict[str, Any]], dict[str, Any]]] = {
    "no credentials": (
        lambda it: {"body": message()},
        {"doorward.result": "denied_auth", "error.type": "missing_credentials"},
    ),
    "a bad token": (
        lambda it: {"authorization": "Bearer a.b.c", "body": message()},
        {"doorward.result": "denied_auth", "error.type": "malformed_token"},
    ),
    "no message": (
        lambda it: {"authorization": f"Bearer {it.token('read')}", "body": b"{"},
        {"doorward.result": "malformed", "error.type": "invalid_json", "doorward.client_id": "agent-1"},
    ),
    "no rule, so that its name may be made up": (
        lambda it: {"authorization": f"Bearer {it.token('read')}", "body": message("made_up")},
        {
            "doorward.result": "denied_policy",
            "error.type": "no_rule",
            "doorward.client_id": "agent-1",
            "mcp.method.name": "tools/call",
        },
    ),
    "a method that is made up": (
        lambda it: {
            "authorization": f"Bearer {it.token('read')}",
            "body": json.dumps({"jsonrpc": "2.0", "id": 1, "method": "made/up"}).encode(),
        },
        {
            "doorward.result": "denied_policy",
            "error.type": "unknown_method",
            "doorward.client_id": "agent-1",
            "mcp.method.name": "_OTHER",
        },
    ),
    "a scope is missing": (
        lambda it: {"authorization": f"Bearer {it.token('read')}", "body": message("delete_user")},
        {
            "doorward.result": "denied_scope",
            "error.type": "insufficient_scope",
            "doorward.client_id": "agent-1",
            "doorward.rule": "delete_*",
            "gen_ai.tool.name": "delete_user",
            "mcp.method.name": "tools/call",
        },
    ),
}


@pytest.mark.parametrize(("asked", "told"), REFUSED.values(), ids=REFUSED)
async def test_a_refused_request_has_its_span(
    it: Guarded, heard: Heard, asked: Callable[[Guarded], dict[str, Any]], told: dict[str, Any]
) -> None:
    decision = await it.gate.decide(**asked(it))
    span = the_span(heard)
    common = {"doorward.request_id": decision.request_id, "doorward.transport": "http"}
    assert attributes_of(span) == common | told
    assert span.status.status_code is trace.StatusCode.UNSET  # the caller's mistake is none of the server's
    assert it.records()[-1]["trace_id"] == trace_of(span)


async def test_a_call_about_which_somebody_is_asked_first_is_no_error(it: Guarded, heard: Heard) -> None:
    (await it.call("read_order", "read")).close("asked")
    told = attributes_of(the_span(heard))
    assert (told["doorward.result"], told.get("error.type")) == ("asked", None)


async def test_a_budget_that_is_spent_is_told(it: Guarded, heard: Heard) -> None:
    for _ in range(2):
        (await it.call("delete_user", "write")).close()
    await it.call("delete_user", "write")
    told = attributes_of(heard.spans()[-1])
    assert told["doorward.result"] == "denied_rate"
    assert (told["doorward.budget"], told["doorward.retry_after_ms"]) == ("delete_*", 30_000)


HUNG: dict[str, tuple[dict[str, str], str | None]] = {
    "by the header": ({"header": CLAIMED}, SPAN),
    "by the message": ({"meta": CLAIMED}, SPAN),
    "by the message rather than the header": ({"meta": CLAIMED, "header": OTHER}, SPAN),
    "by the header where the message tells nothing": ({"meta": "nothing", "header": CLAIMED}, SPAN),
    "by nothing": ({}, None),
    "by nothing that is one": ({"header": CLAIMED.upper(), "meta": f"{CLAIMED}-"}, None),
}


@pytest.mark.parametrize(("said", "above"), HUNG.values(), ids=HUNG)
async def test_what_a_span_hangs_from(it: Guarded, heard: Heard, said: dict[str, str], above: str | None) -> None:
    (await it.gate.decide(asking(it, **said))).close()
    span = the_span(heard)
    assert parent_of(span) == (None if above is None else int(above, 16))
    assert (trace_of(span) == TRACE) is (above is not None)
    assert it.records()[-1]["trace_id"] == trace_of(span)


async def test_what_the_process_traces_already_goes_before_the_header(it: Guarded, heard: Heard) -> None:
    with heard.tracer_provider.get_tracer("host").start_as_current_span("POST /mcp") as around:
        (await it.gate.decide(asking(it, header=CLAIMED))).close()
        (await it.gate.decide(asking(it, meta=CLAIMED))).close()
    of_header, of_message = heard.spans()
    host = around.get_span_context()
    assert parent_of(of_header) == host.span_id
    assert [link.context.span_id for link in of_header.links] == [int(SPAN, 16)]
    # As the span that the server makes of the message, which hangs there as well.
    assert parent_of(of_message) == int(SPAN, 16)
    assert [link.context.span_id for link in of_message.links] == [host.span_id]


async def test_a_stranger_chooses_no_trace(it: Guarded, heard: Heard) -> None:
    await it.gate.decide(asking(it, header=CLAIMED, meta=CLAIMED, token="a.b.c"))
    span = the_span(heard)
    assert parent_of(span) is None
    assert trace_of(span) != TRACE
    assert [trace.format_trace_id(link.context.trace_id) for link in span.links] == [TRACE]


async def test_a_caller_who_is_not_sampled_has_a_trace_in_its_record(it: Guarded, heard: Heard) -> None:
    (await it.gate.decide(asking(it, header=f"{CLAIMED[:-1]}0"))).close()
    assert heard.spans() == []
    assert it.records()[-1]["trace_id"] == TRACE


async def test_the_intent_names_the_trace_too(heard: Heard, guarded: Callable[..., Guarded]) -> None:
    it = guarded()
    it.gate.close()
    it = guarded(audit=doorward.Audit(str(it.trail), durability="durable"))
    await (await it.gate.decide(asking(it, meta=CLAIMED))).aclose()
    it.gate.close()
    lines = [json.loads(line) for line in it.trail.read_text().splitlines()]
    assert [line["trace_id"] for line in lines if line["event"] in ("intent", "call")] == [TRACE, TRACE]


async def test_a_decision_that_is_dropped_is_told_with_the_next_one(it: Guarded, heard: Heard) -> None:
    decision = await it.call("read_order", "read")
    identity = decision.request_id
    del decision
    gc.collect()
    # A finalizer may run while the exporter's own lock is held.
    assert heard.spans() == []
    (await it.call("read_order", "read")).close()
    dropped = attributes_of(heard.spans()[0])
    assert (dropped["doorward.request_id"], dropped["error.type"]) == (identity, "dropped")


async def test_a_gate_that_is_closed_tells_the_rest(it: Guarded, heard: Heard) -> None:
    await it.call("read_order", "read")
    gc.collect()
    it.gate.close()
    assert attributes_of(the_span(heard))["error.type"] == "dropped"


async def test_a_span_is_as_long_as_its_call(it: Guarded, heard: Heard) -> None:
    (await it.call("read_order", "read")).close()
    span = the_span(heard)
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < (span.end_time - span.start_time) / 1e6 == pytest.approx(it.records()[-1]["latency_ms"], abs=0.001)


async def test_a_client_s_name_is_cut(it: Guarded, heard: Heard) -> None:
    (await it.call("read_order", "read", client_id="c" * 900)).close()
    assert attributes_of(the_span(heard))["doorward.client_id"] == "c" * 256


class Broken(SpanProcessor):
    """Of somebody else, and with a bug."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("canary")

    def on_end(self, span: Any) -> None:
        raise RuntimeError("canary")


async def test_whoever_listens_badly_breaks_no_call(
    it: Guarded, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    heard.tracer_provider.add_span_processor(Broken())
    for _ in range(3):
        decision = await it.call("read_order", "read")
        assert decision.allowed
        decision.close()
    assert [record["result"] for record in it.records()] == ["success"] * 3
    told = [entry.getMessage() for entry in caplog.records if entry.name == "doorward"]
    assert told == ["OpenTelemetry failed with RuntimeError: spans or metrics are missing"]


async def test_a_provider_that_is_set_later_is_found(
    guarded: Callable[..., Guarded], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = guarded()
    (await it.call("read_order", "read")).close()
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr("doorward.telemetry.telemetry._LOOK_NS", 0)
    it.gate._telemetry._look_at = 0
    (await it.call("read_order", "read")).close()
    it.gate.close()
    assert [record["trace_id"] is None for record in it.records()] == [True, False]


async def test_without_a_provider_there_is_nothing(guarded: Callable[..., Guarded]) -> None:
    assert "opentelemetry.trace" in sys.modules  # the API is there: it is what nobody listens to
    it = guarded()
    decision = await it.gate.decide(asking(it, header=CLAIMED, meta=CLAIMED))
    decision.close()
    it.gate.close()
    assert decision.trace is None
    assert decision.trace_id is None
    assert it.records()[-1]["trace_id"] is None
