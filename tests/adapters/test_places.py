"""Where a protected server may stand: under a public name, below a path of another app, in several workers, in traces
of somebody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from adapters.desk import LEGACY, MODERN, RULES, Desk, modern, modern_headers, tools
from adapters.serving import listening, served, url_of
from guarded import Guarded
from mcp import MCPError
from opentelemetry import trace

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_a_public_name_is_served_where_the_sdk_alone_answers_421(guarded: Callable[..., Guarded]) -> None:
    headers = {"Host": "mcp.example.com", "X-Forwarded-Proto": "https", **modern_headers("read_caller")}
    with listening() as bare, listening() as gated:
        it = guarded(resource="https://mcp.example.com/mcp", tools=RULES, trusted_proxies=["127.0.0.1"])
        it.now = time.time()
        headers |= {"Authorization": f"Bearer {it.token('read')}", "Content-Type": "application/json"}
        headers["Accept"] = "application/json, text/event-stream"
        answers = []
        for app, listener in ((tools([]).streamable_http_app(), bare), (it.gate.protect(tools([])), gated)):
            with served(app, listener):
                content = modern("read_caller")
                answers.append(httpx2.post(url_of(listener), content=content, headers=headers).status_code)
    assert answers == [421, 200]


async def test_the_server_s_spans_are_still_its_own(
    guarded: Callable[..., Guarded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's span is outside the gate's part: a refusal of the message tier shows in it, and nothing of ours is
    added or lost."""
    told = {}
    for name in ("bare", "gate"):
        spans = Spans()
        monkeypatch.setattr("mcp.shared._otel._tracer", spans)
        with listening() as listener:
            it = guarded(resource=url_of(listener), tools=RULES)
            it.now = time.time()
            server = tools([])
            app = it.gate.protect(server) if name == "gate" else server.streamable_http_app()
            with served(app, listener):
                async with Desk(it, server, []).client(MODERN, "read") as client:
                    await client.call_tool("read_failing", {})
                    with pytest.raises(MCPError):
                        await client.call_tool("read_refusing", {})
        told[name] = [span for span in spans.ended if span[1] == trace.SpanKind.SERVER]
    assert told["gate"] == told["bare"]
    assert [name for name, *_ in told["bare"] if name.startswith("tools/call")] == [
        "tools/call read_failing",
        "tools/call read_refusing",
    ]


class Spans(trace.NoOpTracer):
    """Keeps what the SDK says of each message."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, Any, dict[str, Any], Any]] = []

    @contextmanager
    def start_as_current_span(  # type: ignore[override] # a generator stands for the context manager it makes
        self, name: str, *args: Any, **settings: Any
    ) -> Iterator[Any]:
        span = Span(dict(settings.get("attributes") or {}))
        try:
            yield span
        finally:
            self.ended.append((name, settings.get("kind"), span.attributes, span.status))


class Span(trace.NonRecordingSpan):
    """One of them."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self.attributes = attributes
        self.status: Any = None

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def set_attributes(self, attributes: Any) -> None:
        self.attributes.update(attributes)

    def set_status(self, status: Any, description: str | None = None) -> None:
        self.status = (status, description)
