"""What fails under a trail, and really fails here: a full disk, a pipe nobody reads, a file that is taken away, a sink
that hangs. In every mode a new call is refused within a second, or goes on and is counted; and it mends by itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from guarded import Guarded
from trails import check_chain, no_file_longer_than, records_in

import doorward

pytestmark = pytest.mark.anyio
MODES = ["buffered", "written", "durable"]

Make = Callable[..., Guarded]


BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Hanging:
    """A sink of one's own that takes nothing until it is told to."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.lines: list[bytes] = []

    def write(self, lines: Sequence[bytes]) -> None:
        self.may_go_on.wait(30)
        self.lines += lines

    def close(self) -> None:
        pass


async def refused_within_a_second(it: Guarded) -> None:
    """Call until a call is refused because nothing can be recorded."""
    with anyio.fail_after(5):
        began = anyio.current_time()
        while True:
            decision = await it.call("read_order", "read")
            await decision.aclose()
            if decision.refusal is not None:
                assert (decision.refusal.status, decision.refusal.code) == (503, "audit_unavailable")
                assert anyio.current_time() - began < 1.5  # a second, and a machine that is busy
                return
            await anyio.sleep(0.02)


async def let_in_again(it: Guarded) -> None:
    """Call until calls are let in."""
    with anyio.fail_after(10):
        while True:
            decision = await it.call("read_order", "read")
            await decision.aclose()
            if decision.allowed:
                return
            await anyio.sleep(0.02)


PLENTY = [doorward.ToolRule("read_*", scopes=["read"])]


def made(guarded: Make, tmp_path: Path, durability: str, **given: Any) -> Guarded:
    given.setdefault("path", str(tmp_path / "audit.jsonl"))
    return guarded(tools=PLENTY, audit=doorward.Audit(durability=durability, **given))


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    with no_file_longer_than(path.stat().st_size + 100):
        yield


@BOTH
@pytest.mark.parametrize("durability", MODES)
async def test_a_full_disk_lets_nobody_in_until_there_is_room(guarded: Make, tmp_path: Path, durability: str) -> None:
    it = made(guarded, tmp_path, durability)
    before = await it.call("read_order", "read")
    with full_disk(it.trail):
        await refused_within_a_second(it)
        await before.aclose("tool_error")  # was in flight when the disk filled up
        assert it.gate.alarms["audit_failing"] == 1
    await let_in_again(it)
    it.gate.close()
    results = [record["result"] for record in records_in(it.trail, "call")]
    assert results.count("tool_error") == 1
    assert "unavailable" in results
    assert (check_chain(it.trail), it.gate._steps.trail.dropped) == ([], 0)


@pytest.mark.parametrize("durability", MODES)
async def test_with_allow_calls_go_on_and_what_was_dropped_is_said(
    guarded: Make, tmp_path: Path, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorward.audit.direct.MAX_WAITING_BYTES", 10_000)
    monkeypatch.setattr("doorward.audit.threaded.MAX_QUEUED", 10)
    it = made(guarded, tmp_path, durability, on_failure="allow")
    with full_disk(it.trail), anyio.fail_after(20):
        while it.gate._steps.trail.dropped < 20:
            decision = await it.call("read_order", "read")
            assert decision.allowed
            await decision.aclose()
        assert it.gate.alarms["audit_records_lost"] >= 1
    with anyio.fail_after(10):
        while not [record for record in records_in(it.trail, "start") if record["lost"]]:
            await (await it.call("read_order", "read")).aclose()
            await anyio.sleep(0.02)
    it.gate.close()
    told = sum(record["lost"] for record in records_in(it.trail, "start"))
    assert told == it.gate._steps.trail.dropped == len(check_chain(it.trail))


@pytest.mark.parametrize("durability", MODES)
async def test_a_pipe_that_nobody_reads(guarded: Make, tmp_path: Path, durability: str) -> None:
    pipe = tmp_path / "audit.pipe"
    os.mkfifo(pipe)
    if durability == "durable":
        with pytest.raises(OSError, match=r"audit\.pipe"):  # nobody has opened it
            made(guarded, tmp_path, durability, path=str(pipe))
        return
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    it = made(guarded, tmp_path, durability, path=str(pipe))
    await refused_within_a_second_of_filling(it)
    read = b""
    with anyio.fail_after(10):
        while True:
            try:
                read += os.read(reader, 65_536)
            except BlockingIOError:
                if (await it.call("read_order", "read")).allowed:
                    break
            await anyio.sleep(0.01)
    os.close(reader)
    assert b'"result":"unavailable"' in read or it.gate.alarms["audit_failing"]


async def refused_within_a_second_of_filling(it: Guarded) -> None:
    with anyio.fail_after(20):
        while (await it.call("read_order", "read")).allowed:
            pass
    await refused_within_a_second(it)


@BOTH
async def test_a_sink_that_hangs_stops_neither_the_other_nor_the_loop(guarded: Make, tmp_path: Path) -> None:
    hanging = Hanging()
    path = tmp_path / "audit.jsonl"
    it = made(
        guarded,
        tmp_path,
        "written",
        path="stdout",
        sinks=[doorward.AuditSink(str(path)), doorward.AuditSink(sink=hanging, on_failure="allow")],
    )
    for _ in range(20):
        decision = await it.call("read_order", "read")
        assert decision.allowed
        await decision.aclose()
    assert len(records_in(path, "call")) == 20
    assert hanging.lines == []
    hanging.may_go_on.set()
    it.gate.close()
    assert sum(b'"event":"call"' in line for line in hanging.lines) == 20


@pytest.mark.parametrize("durability", MODES)
async def test_a_sink_that_hangs_and_denies_lets_nobody_in(guarded: Make, tmp_path: Path, durability: str) -> None:
    hanging = Hanging()
    path = tmp_path / "audit.jsonl"
    places = [doorward.AuditSink(str(path)), doorward.AuditSink(sink=hanging)]
    it = made(guarded, tmp_path, durability, path="stdout", sinks=places)
    await refused_within_a_second(it)
    hanging.may_go_on.set()
    await let_in_again(it)
    it.gate.close()
    lines = [line for line in hanging.lines if b'"event":"call"' in line]
    assert len(lines) == len(records_in(path, "call"))


@contextmanager
def moved(path: Path) -> Iterator[None]:
    path.rename(path.with_suffix(".old"))
    yield


@contextmanager
def removed(path: Path) -> Iterator[None]:
    path.unlink()
    yield


@pytest.mark.parametrize("durability", MODES)
@pytest.mark.parametrize("take", [removed, moved])
async def test_a_file_that_is_taken_away_is_made_anew(
    guarded: Make, tmp_path: Path, durability: str, take: Callable[[Path], AbstractContextManager[None]]
) -> None:
    it = made(guarded, tmp_path, durability)
    await (await it.call("read_order", "read")).aclose()
    it.gate._steps.trail.flush()
    with take(it.trail):
        await anyio.sleep(0.3)  # more than the quarter of a second between two looks at the file
        await (await it.call("read_order", "read")).aclose("tool_error")
    it.gate.close()
    assert "tool_error" in [record["result"] for record in records_in(it.trail, "call")]
    first = records_in(it.trail)[0]
    assert first["sequence"] > 1  # the chain goes on
    assert it.trail.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("durability", MODES)
async def test_a_directory_that_is_gone_lets_nobody_in_until_it_is_back(
    guarded: Make, tmp_path: Path, durability: str
) -> None:
    directory = tmp_path / "trails"
    directory.mkdir()
    it = made(guarded, tmp_path, durability, path=str(directory / "audit.jsonl"))
    await (await it.call("read_order", "read")).aclose()
    it.gate._steps.trail.flush()
    directory.rename(tmp_path / "elsewhere")
    await anyio.sleep(0.3)
    await refused_within_a_second(it)
    directory.mkdir()
    await let_in_again(it)
    it.gate.close()
    assert "unavailable" in [record["result"] for record in records_in(directory / "audit.jsonl", "call")]
