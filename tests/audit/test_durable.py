"""``durable``: the intent is on disk before the tool runs and the record before the answer, by syncs that are shared;
and ``buffered``: nothing waits, and the process's end loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from guarded import Guarded, message
from trails import names_in, no_file_longer_than, record, records_in

import doorward
from doorward.audit import Trail
from doorward.audit.direct import DirectLane
from doorward.audit.sinks import FileSink
from doorward.settings import Audit, AuditSink

pytestmark = pytest.mark.anyio
PLENTY = [doorward.ToolRule("read_*", scopes=["read"])]
BESIDE = str(Path(__file__).parents[1])

Make = Callable[..., Guarded]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How long the file was at each sync that succeeded."""
    lengths: list[int] = []
    sync = os.fdatasync

    def noted(descriptor: int) -> None:
        length = os.fstat(descriptor).st_size
        sync(descriptor)
        lengths.append(length)

    monkeypatch.setattr(os, "fdatasync", noted)
    return lengths


def on_disk(it: Guarded, syncs: list[int], event: str) -> set[str]:
    """The requests whose lines were in the file when it was synced last."""
    synced = it.trail.read_bytes()[: syncs[-1] if syncs else 0]
    path = it.trail.with_name("synced")
    path.write_bytes(synced)
    return {line["request_id"] for line in records_in(path, event)}


async def test_before_the_tool_runs_and_before_the_answer(guarded: Make, tmp_path: Path, syncs: list[int]) -> None:
    it = guarded(tools=PLENTY, audit=doorward.Audit(str(tmp_path / "audit.jsonl"), durability="durable"))
    for _ in range(5):
        decision = await it.call("read_order", "read")
        assert decision.request_id in on_disk(it, syncs, "intent")
        await decision.aclose()
        assert decision.request_id in on_disk(it, syncs, "call")
        refused = await it.call("read_order")
        await refused.kept()
        assert refused.request_id in on_disk(it, syncs, "call")
        assert refused.request_id not in on_disk(it, syncs, "intent")
    it.gate.close()


async def test_those_in_flight_share_their_syncs(guarded: Make, tmp_path: Path, syncs: list[int]) -> None:
    audit = doorward.Audit(str(tmp_path / "audit.jsonl"), durability="durable")
    it = guarded(tools=PLENTY, audit=audit, limits=doorward.Limits(concurrency=None))

    async def call() -> None:
        await (await it.call("read_order", "read")).aclose()

    async with anyio.create_task_group() as tasks:
        for _ in range(64):
            tasks.start_soon(call)
    assert len(records_in(it.trail, "call")) == len(records_in(it.trail, "intent")) == 64
    assert len(syncs) < 64
    it.gate.close()


async def test_two_loops_in_two_threads_wait_each_on_their_own(guarded: Make, tmp_path: Path) -> None:
    it = guarded(tools=PLENTY, audit=doorward.Audit(str(tmp_path / "audit.jsonl"), durability="durable"))

    async def calls() -> None:
        for _ in range(20):
            await (await it.call("read_order", "read")).aclose()

    threads = [
        threading.Thread(target=anyio.run, args=(calls,), kwargs={"backend": name}) for name in ("asyncio", "trio")
    ]
    for thread in threads:
        thread.start()
    await calls()
    for thread in threads:
        await anyio.to_thread.run_sync(thread.join)
    assert len(records_in(it.trail, "call")) == 60
    it.gate.close()


async def test_a_call_that_is_cancelled_while_it_waits_is_recorded(guarded: Make, tmp_path: Path) -> None:
    it = guarded(tools=PLENTY, audit=doorward.Audit(str(tmp_path / "audit.jsonl"), durability="durable"))
    decision = await it.call("read_order", "read")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await decision.aclose("cancelled")
    it.gate.close()
    assert [line["result"] for line in records_in(it.trail, "call")] == ["cancelled"]


async def test_what_a_sync_failed_for_is_written_once_more(
    guarded: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = guarded(tools=PLENTY, audit=doorward.Audit(str(tmp_path / "audit.jsonl"), durability="durable"))
    it.gate._steps.trail.flush()
    sync, left = os.fdatasync, [1]

    def failing(descriptor: int) -> None:
        if left:
            left.pop()
            raise OSError(5, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", failing)
    decision = await it.call("read_order", "read")
    await decision.aclose()
    it.gate.close()
    assert decision.allowed
    assert len(records_in(it.trail, "intent")) == 2
    assert len(records_in(it.trail, "call")) == 1


async def test_a_call_that_cannot_be_put_on_disk_is_refused_and_spends_nothing(
    guarded: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [doorward.ToolRule("read_*", scopes=["read"], limit=["1/hour"])]
    it = guarded(tools=rules, audit=doorward.Audit(str(tmp_path / "audit.jsonl"), durability="durable"))
    it.gate._steps.trail.flush()
    may_go_on = threading.Event()
    sync = os.fdatasync

    def hanging(descriptor: int) -> None:
        may_go_on.wait(10)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", hanging)
    refused = await it.call("read_order", "read")
    assert refused.refusal is not None
    assert refused.refusal.code == "audit_unavailable"
    may_go_on.set()
    with anyio.fail_after(5):
        while it.gate._steps.trail._lanes[0].is_failing():
            await anyio.sleep(0.01)
    assert (await it.call("read_order", "read")).allowed
    it.gate.close()


async def test_an_app_of_whatever_kind_answers_when_the_disk_has_it(
    guarded: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = doorward.Audit(str(tmp_path / "audit.jsonl"), durability="durable")
    it = guarded(tools=PLENTY, audit=audit)
    it.gate._steps.trail.flush()
    happened: list[str] = []
    sync = os.fdatasync

    def noted(descriptor: int) -> None:
        sync(descriptor)
        happened.append("synced")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        happened.append("ran")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": message("read_order")}

    async def send(frame: dict[str, Any]) -> None:
        happened.append(frame["type"])

    headers = [(b"host", b"mcp.example.com"), (b"authorization", f"Bearer {it.token('read')}".encode())]
    scope = {"type": "http", "method": "POST", "scheme": "https", "path": "/mcp", "headers": headers}
    monkeypatch.setattr(os, "fdatasync", noted)
    await it.gate.protect(app)(scope, receive, send)
    assert happened == ["synced", "ran", "http.response.start", "synced", "http.response.body"]
    it.gate.close()


# --- written: an append that takes too long ---------------------------------------------------------------------------


class Slow(FileSink):
    """A file on a file system that does not answer for a while."""

    seconds = 0.0

    def write(self, data: bytes) -> int:
        """As late as it likes."""
        time.sleep(self.seconds)
        return super().write(data)


def test_an_append_that_took_too_long_is_the_last_that_a_call_waits_for(tmp_path: Path) -> None:
    trail = Trail(Audit(str(tmp_path / "other.jsonl")))
    notes = trail._lanes[0]._notes
    sink = Slow(str(tmp_path / "audit.jsonl"), "i1")
    lane = DirectLane(sink, notes, denies=True)
    lane.put(record("quick"))
    sink.seconds = 0.3
    began = time.monotonic()
    lane.put(record("slow"))
    assert time.monotonic() - began >= 0.3
    assert lane.is_failing()
    began = time.monotonic()
    for number in range(100):
        lane.put(record(f"meanwhile-{number}"))
    assert time.monotonic() - began < 0.2
    sink.seconds = 0.0
    deadline = time.monotonic() + 20
    while lane.is_failing():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lane.put(record("after"))
    lane.close()
    trail.close()
    assert names_in(sink.path) == ["quick", "slow", *(f"meanwhile-{number}" for number in range(100)), "after"]


def test_nor_does_a_call_wait_for_those_that_wait_themselves(tmp_path: Path) -> None:
    trail = Trail(Audit(str(tmp_path / "other.jsonl")))
    sink = Slow(str(tmp_path / "audit.jsonl"), "i1")
    lane = DirectLane(sink, trail._lanes[0]._notes, denies=True)
    with no_file_longer_than(sink.path.stat().st_size):
        lane.put(record("first"))
        sink.seconds = 0.3
    names = [f"tool-{number}" for number in range(20)]
    began = time.monotonic()
    for name in names:
        lane.put(record(name))
    assert time.monotonic() - began < len(names) * sink.seconds / 2
    sink.seconds = 0.0
    deadline = time.monotonic() + 20
    while lane.is_failing():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lane.close()
    trail.close()
    assert names_in(sink.path) == ["first", *names]


# --- buffered ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["buffered", "written", "durable"])
@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "1 / 0", "del trail"])
def test_the_end_of_the_interpreter_loses_nothing(tmp_path: Path, durability: str, end: str) -> None:
    program = f"""
import sys; sys.path.insert(0, {BESIDE!r})
from trails import record
from doorward.audit import Trail
from doorward.settings import Audit
trail = Trail(Audit({str(tmp_path / "audit.jsonl")!r}, durability={durability!r}))
for number in range(500):
    trail.write(record(f"tool-{{number}}"))
{end}
"""
    subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, timeout=60)
    assert names_in(tmp_path / "audit.jsonl") == [f"tool-{number}" for number in range(500)]


def test_a_trail_that_nobody_holds_lets_go_of_its_file_and_its_thread(tmp_path: Path) -> None:
    path = str(tmp_path / "audit.jsonl")
    before = threading.active_count()
    for _ in range(3):
        trail = Trail(Audit(path, durability="buffered"))
        trail.write(record("a"))
        del trail
    assert names_in(tmp_path / "audit.jsonl") == ["a", "a", "a"]
    assert threading.active_count() == before


def test_durable_needs_a_file() -> None:
    for places in ((), (AuditSink("stdout"),), (AuditSink(syslog="/dev/log"),)):
        with pytest.raises(ValueError, match="durability is 'durable': that needs a file"):
            Audit(durability="durable", sinks=places)
