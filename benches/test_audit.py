"""What one record costs the event loop, beside what one would write it with; and what `durable` keeps of the calls."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from benches.contest import OURS, Measure

import doorward
from doorward.audit import SUCCESS, Trail, call_record, principal_fragment
from doorward.principal import Principal
from doorward.request import Call
from doorward.settings import Audit
from doorward.testing import Issuer

RECORDS = 100
IN_FLIGHT = 64

PRINCIPAL = principal_fragment(
    Principal("https://as.example.com", "user-1", "agent-1", None, ("mcp:tools:read",), "0b1f7c2e", 0.0)
)
CALL = Call("request", "tools/call", 1, "tool", "read_order", "sha256:" + "5" * 64)


def ours(trail: Trail) -> Callable[[], object]:
    def record() -> str:
        who, scopes = PRINCIPAL
        return call_record(
            "call",
            time.time(),
            "8c52af1e07b54a1a9c3b62d4",
            None,
            CALL.id,
            None,
            who,
            "http",
            "192.0.2.7",
            "POST",
            "/mcp",
            CALL.method,
            CALL.name,
            CALL.arguments_hash,
            None,
            scopes,
            SUCCESS,
            None,
            "read_*",
            (),
            False,
            1.5,
        )

    def write() -> None:
        for _ in range(RECORDS):
            trail.write(record)

    return write


def members() -> dict[str, Any]:
    """The same record, without a chain: what the others write."""
    return {
        "event": "call",
        "timestamp": time.time(),
        "request_id": "8c52af1e07b54a1a9c3b62d4",
        "rpc_id": CALL.id,
        "client_id": "agent-1",
        "subject": "user-1",
        "issuer": "https://as.example.com",
        "token_id": "0b1f7c2e",
        "verified": True,
        "transport": "http",
        "method": CALL.method,
        "tool_name": CALL.name,
        "arguments_hash": CALL.arguments_hash,
        "scopes": ["mcp:tools:read"],
        "result": "success",
        "rule": "read_*",
        "would_deny": [],
        "disconnected": False,
        "latency_ms": 1.5,
    }


def repeated(write: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(RECORDS):
            write()

    return run


class JsonFormatter(logging.Formatter):
    """As it is written everywhere."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({"level": record.levelname, "message": record.getMessage(), **record.__dict__["members"]})


def by_logging(path: Path, stack: ExitStack) -> Callable[[], object]:
    log = logging.getLogger(f"bench.{path.name}")
    log.propagate, handler = False, logging.FileHandler(path)
    stack.callback(handler.close)
    handler.setFormatter(JsonFormatter())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    return lambda: log.info("call", extra={"members": members()})


def by_structlog(path: Path, stack: ExitStack) -> Callable[[], object]:
    log = structlog.wrap_logger(
        structlog.BytesLogger(stack.enter_context(path.open("ab"))),
        processors=[structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        cache_logger_on_first_use=True,
    )
    return lambda: log.info(**members())


def by_orjson(path: Path, stack: ExitStack) -> Callable[[], object]:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    stack.callback(os.close, descriptor)
    return lambda: os.write(descriptor, orjson.dumps(members()) + b"\n")


PEERS = {
    "orjson and a plain write, no chain": by_orjson,
    "structlog and orjson, no chain": by_structlog,
    "logging with a JSON formatter, no chain": by_logging,
}


@pytest.mark.parametrize("name", [OURS, "doorward, buffered", *PEERS])
def test_a_record(measure: Measure, tmp_path: Path, name: str) -> None:
    path = tmp_path / "audit.jsonl"
    if name in PEERS:
        with ExitStack() as stack:
            peer = repeated(PEERS[name](path, stack))
            measure("one record, on the event loop's thread", name, peer, decisions=RECORDS)
        return
    trail = Trail(Audit(str(path), durability="written" if name == OURS else "buffered"))
    write = ours(trail)

    def contestant() -> None:
        if trail.waiting > 10_000:
            trail.flush()  # the bench writes faster than any server
        write()

    measure("one record, on the event loop's thread", name, contestant, decisions=RECORDS)
    trail.close()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("name", [OURS, "a sync for each of two lines a call"])
def test_durable(measure: Measure, tmp_path: Path, loop: asyncio.AbstractEventLoop, name: str) -> None:
    issuer = Issuer("https://as.example.com")
    resource = "https://mcp.example.com/mcp"
    gate = doorward.Gate(
        resource=resource,
        issuers=[doorward.Issuer(issuer.url, ["ES256"], issuer.jwks())],
        tools=[doorward.ToolRule("*", scopes=[])],
        audit=doorward.Audit(str(tmp_path / "audit.jsonl"), durability="durable" if name == OURS else "written"),
    )
    authorization = f"Bearer {issuer.token(audience=resource)}"
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read_order", "arguments": {"id": 7}}}
    ).encode()
    descriptor = os.open(tmp_path / "synced", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    line = b"x" * 700 + b"\n"

    async def call() -> None:
        for _ in range(4):
            decision = await gate.decide(authorization=authorization, body=body)
            if name != OURS:
                for _ in range(2):
                    os.write(descriptor, line)
                    os.fdatasync(descriptor)
            await decision.aclose()

    async def calls() -> None:
        await asyncio.gather(*(call() for _ in range(IN_FLIGHT)))

    group = f"one durable call, {IN_FLIGHT} in flight"
    measure(group, name, lambda: loop.run_until_complete(calls()), decisions=4 * IN_FLIGHT)
    os.close(descriptor)
    gate.close()
