"""Faults of a whole file system: one that is full, and one that hangs. They need the right to mount one."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from audit.test_faults import MODES, Make, let_in_again, made, refused_within_a_second
from conftest import PROVING
from trails import check_chain, records_in

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except OSError:
        return False


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    if not run("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(directory)):
        pytest.skip("nothing can be mounted here")
    try:
        yield directory
    finally:
        run("umount", "--lazy", str(directory))


@pytest.mark.parametrize("durability", MODES)
async def test_a_file_system_that_is_full(guarded: Make, small: Path, durability: str) -> None:
    it = made(guarded, small, durability)
    it.trail = small / "audit.jsonl"
    (small / "others").write_bytes(b"x" * (32 * 1024 * 1024 - 100_000))
    with anyio.fail_after(30):
        decision = await it.call("read_order", "read")
        while decision.allowed:
            await decision.aclose()
            decision = await it.call("read_order", "read")
    await refused_within_a_second(it)
    (small / "others").unlink()
    await let_in_again(it)
    it.gate.close()
    assert check_chain(it.trail) == []
    assert it.gate._steps.trail.dropped == 0


@pytest.fixture
def freezing(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None], Callable[[], None]]]:
    """A file system that can be frozen, which is what a disk or a server that went away looks like: a write does not
    return, and no signal ends it."""
    if not PROVING:
        pytest.skip("only by `make prove`: it freezes a file system")
    image, directory = tmp_path / "image", tmp_path / "freezing"
    directory.mkdir()
    image.write_bytes(b"\0" * 8_000_000)
    if not (run("mkfs.ext4", "-q", str(image)) and run("mount", "-o", "loop", str(image), str(directory))):
        pytest.skip("nothing can be mounted here")
    try:
        yield directory, lambda: freeze("--freeze", directory), lambda: freeze("--unfreeze", directory)
    finally:
        run("fsfreeze", "--unfreeze", str(directory))
        run("umount", "--lazy", str(directory))


def freeze(what: str, directory: Path) -> None:
    assert run("fsfreeze", what, str(directory))


@pytest.mark.parametrize("durability", ["buffered", "durable"])
async def test_a_file_system_that_hangs_stops_no_event_loop(
    guarded: Make, freezing: tuple[Path, Callable[[], None], Callable[[], None]], durability: str
) -> None:
    directory, stop, go_on = freezing
    it = made(guarded, directory, durability)
    await (await it.call("read_order", "read")).aclose()
    stop()
    try:
        await refused_within_a_second(it)
    finally:
        go_on()
    await let_in_again(it)
    it.gate.close()
    assert "unavailable" in [record["result"] for record in records_in(directory / "audit.jsonl", "call")]


async def test_in_written_mode_it_stops_the_loop_once(
    guarded: Make, freezing: tuple[Path, Callable[[], None], Callable[[], None]]
) -> None:
    directory, stop, go_on = freezing
    it = made(guarded, directory, "written")
    await (await it.call("read_order", "read")).aclose()
    stop()
    timer = threading.Timer(0.5, go_on)
    timer.start()
    began = time.monotonic()
    await (await it.call("read_order", "read")).aclose()  # does not return before the file system does
    assert time.monotonic() - began > 0.3
    assert not (await it.call("read_order", "read")).allowed
    await let_in_again(it)
    timer.join()
    it.gate.close()
    results = [record["result"] for record in records_in(directory / "audit.jsonl", "call")]
    assert results[:3] == ["success", "success", "unavailable"]
    assert check_chain(directory / "audit.jsonl") == []
