"""The trail: order kept, nothing lost but what is counted, and one word in the log about a disk that is full."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from trails import check_chain, lines_of, names_in, no_file_longer_than, record, records_in

from doorward.audit import Trail
from doorward.audit.direct import MAX_WAITING_BYTES
from doorward.errors import Unavailable
from doorward.settings import Audit

BESIDE = str(Path(__file__).parents[1])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def trail(path: Path) -> Iterator[Trail]:
    made = Trail(Audit(path=str(path)))
    yield made
    made.close()


def numbered(count: int, prefix: str = "tool") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{entry.levelname}: {entry.message}" for entry in caplog.records if entry.name == "doorward.audit"]


# --- a sink that works ------------------------------------------------------------------------------------------------


def test_every_record_is_in_the_file_when_write_returns(trail: Trail, path: Path) -> None:
    for count, name in enumerate(numbered(3), 1):
        trail.ensure_writable()
        trail.write(record(name))
        assert names_in(path) == numbered(count)
    assert (trail.waiting, trail.dropped, check_chain(path)) == (0, 0, [])


def test_nothing_written_is_lost_when_the_process_is_killed(path: Path) -> None:
    program = f"""
import sys; sys.path.insert(0, {BESIDE!r})
import os, signal
from trails import record
from doorward.audit import Trail
from doorward.settings import Audit
trail = Trail(Audit(path={str(path)!r}))
for number in range(50):
    trail.write(record(f"tool-{{number}}"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert names_in(path) == numbered(50)
    Trail(Audit(path=str(path))).close()
    assert check_chain(path) == []


def test_a_trail_that_cannot_be_opened_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing/audit\.jsonl"):
        Trail(Audit(path=str(tmp_path / "missing" / "audit.jsonl")))


def test_threads_keep_one_chain(trail: Trail, path: Path) -> None:
    def work(name: str) -> None:
        for number, each in enumerate(numbered(200, name)):
            (trail.leave if number % 3 == 0 else trail.write)(record(each))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = names_in(path)
    assert check_chain(path) == []
    for name in "abcdefgh":
        assert [each for each in written if each.startswith(name)] == numbered(200, name)
    assert (len(written), trail.waiting, trail.dropped) == (1600, 0, 0)


# --- a sink that fails ------------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_for_a_while(trail: Trail, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trail.write(record("before"))
    size = path.stat().st_size
    with no_file_longer_than(size + 100):  # the next line goes in part of the way
        for name in numbered(20):
            trail.write(record(name))
        assert path.stat().st_size == size + 100
        assert (trail.waiting, trail.dropped) == (20, 0)
        for _ in range(3):
            with pytest.raises(Unavailable) as refused:
                trail.ensure_writable()
            assert (refused.value.code, refused.value.retryable) == ("audit_unavailable", True)
        assert told(caplog) == [
            f"ERROR: the audit trail cannot be written to {path}: File too large; records wait, no new call is let in"
        ]
    trail.ensure_writable()
    assert names_in(path) == ["before", *numbered(20)]
    assert (check_chain(path), trail.waiting, trail.dropped) == ([], 0, 0)
    assert told(caplog)[1:] == [f"WARNING: the audit trail is written to {path} again; 0 records were lost so far"]


def test_a_flood_does_not_become_a_flood_of_the_log(trail: Trail, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    size = len(record("x" * 256, method="m" * 256))
    room = MAX_WAITING_BYTES // size
    with no_file_longer_than(0):
        for _ in range(room + 1_000):
            trail.write(record("x" * 256, method="m" * 256))
        waiting, dropped = trail.waiting, trail.dropped
        assert waiting + dropped == room + 1_000
        assert dropped > 1_000
        assert waiting * size < MAX_WAITING_BYTES
        assert len(told(caplog)) == 1
    trail.write(record("after"))
    assert (trail.waiting, trail.dropped) == (0, dropped)
    assert check_chain(path) == list(range(waiting + 2, waiting + dropped + 2))
    # Before and behind what was recorded: that the trail was opened, and what it lacks.
    opened, lost = records_in(path, "start")
    assert (opened["reason"], opened["lost"], lost["reason"], lost["lost"]) == ("opened", 0, "lost", dropped)
    assert len(lines_of(path)) == 1 + waiting + 2
    assert told(caplog)[1:] == [
        f"WARNING: the audit trail is written to {path} again; {dropped} records were lost so far"
    ]


def test_it_is_told_again_when_it_fails_again(trail: Trail, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with no_file_longer_than(0):
            trail.write(record())
            trail.write(record())
        trail.write(record())
    assert [line.partition(":")[0] for line in told(caplog)] == ["ERROR", "WARNING"] * 3


def test_with_allow_calls_go_on_unrecorded(path: Path) -> None:
    trail = Trail(Audit(path=str(path), on_failure="allow"))
    with no_file_longer_than(0):
        trail.write(record("a"))
        trail.ensure_writable()
        assert trail.waiting == 1
    trail.close()
    assert names_in(path) == ["a"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_disk_that_stays_full(caplog: pytest.LogCaptureFixture) -> None:
    trail = Trail(Audit(path="/dev/full"))
    trail.write(record())
    with pytest.raises(Unavailable):
        trail.ensure_writable()
    trail.close()
    assert (trail.waiting, trail.dropped) == (0, 2)  # its start as well
    why = "No space left on device; records wait, no new call is let in"
    assert told(caplog) == [
        f"ERROR: the audit trail cannot be written to /dev/full: {why}",
        "ERROR: the audit trail is closed; 2 records were lost",
    ]


def test_a_log_that_fails_loses_no_record(trail: Trail, path: Path) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("the log is broken too")

    handler = Broken()
    logging.getLogger("doorward.audit").addHandler(handler)
    try:
        with no_file_longer_than(0), pytest.raises(RuntimeError):
            trail.write(record("a"))
    finally:
        logging.getLogger("doorward.audit").removeHandler(handler)
    trail.write(record("b"))
    assert names_in(path) == ["a", "b"]
    assert check_chain(path) == []


# --- finalizers -------------------------------------------------------------------------------------------------------


class Dropped:
    """Records itself when nobody holds it any more, as a decision does."""

    def __init__(self, trail: Trail, name: str) -> None:
        self.trail = trail
        self.name = name

    def __del__(self) -> None:
        self.trail.leave(record(self.name))


def test_what_is_dropped_in_the_middle_of_a_write_is_recorded_behind_it(trail: Trail, path: Path) -> None:
    held = [Dropped(trail, "first"), Dropped(trail, "second")]

    def outer() -> str:
        held.clear()
        return record("outer")

    worker = threading.Thread(target=trail.write, args=(outer,), daemon=True)
    worker.start()
    worker.join(timeout=10)
    assert not worker.is_alive(), "the finalizer waits for the write that it interrupts"
    assert sorted(names_in(path)) == ["first", "outer", "second"]
    assert names_in(path)[0] == "outer"
    assert check_chain(path) == []


def test_what_is_dropped_while_the_disk_is_full_waits_with_the_others(trail: Trail, path: Path) -> None:
    with no_file_longer_than(0):
        trail.write(record("a"))
        Dropped(trail, "b")
        trail.write(record("c"))
        assert trail.waiting == 3
    trail.ensure_writable()
    assert names_in(path) == ["a", "b", "c"]


def test_a_collector_that_runs_at_any_moment(trail: Trail, path: Path) -> None:
    class Knot:
        """Garbage that only the collector finds, at whatever point it runs."""

        def __init__(self, name: str) -> None:
            self.itself = self
            self.dropped = Dropped(trail, name)

    def work(name: str) -> None:
        for number in range(200):
            Knot(f"left-{name}-{number}")
            trail.write(record(f"written-{name}-{number}"))

    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert not any(thread.is_alive() for thread in threads)
    finally:
        gc.set_threshold(*before)
    gc.collect()
    written = names_in(path)
    assert len(written) == len(set(written)) == 800
    assert check_chain(path) == []
    for name in "ab":
        assert [each for each in written if each.startswith(f"written-{name}-")] == numbered(200, f"written-{name}")


# --- the end ----------------------------------------------------------------------------------------------------------


def test_after_the_end_no_call_is_let_in_and_what_comes_is_counted(trail: Trail, path: Path) -> None:
    trail.write(record("a"))
    trail.close()
    trail.close()
    with pytest.raises(Unavailable):
        trail.ensure_writable()
    trail.write(record("b"))
    trail.leave(record("c"))
    assert names_in(path) == ["a"]
    assert (trail.waiting, trail.dropped) == (0, 2)


def test_closing_hands_over_what_waits(trail: Trail, path: Path) -> None:
    with no_file_longer_than(0):
        trail.write(record("a"))
    trail.close()
    assert names_in(path) == ["a"]
    assert trail.dropped == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_fork_begins_a_chain_of_its_own(path: Path) -> None:
    program = f"""
import sys; sys.path.insert(0, {BESIDE!r})
import os
from trails import no_file_longer_than, record
from doorward.audit import Trail
from doorward.settings import Audit
trail = Trail(Audit(path={str(path)!r}))
trail.write(record("parent-1"))
with no_file_longer_than(0):
    trail.write(record("parent-2"))
    trail._lanes[0]._lock.acquire()  # as another thread may, at that very moment
    child = os.fork()
    if child:
        trail._lanes[0]._lock.release()
if not child:
    trail.ensure_writable()
    trail.write(record("child-1"))
    trail.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
trail.write(record("parent-3"))
trail.close()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    [other] = path.parent.glob("audit.*.jsonl")
    assert names_in(path) == ["parent-1", "parent-2", "parent-3"]
    assert names_in(other) == ["child-1"]
    assert check_chain(path) == check_chain(other) == []
    assert len({json.loads(lines_of(file)[0])["instance"] for file in (path, other)}) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
@pytest.mark.parametrize("durability", ["buffered", "durable"])
def test_a_fork_leaves_the_parent_its_thread_and_its_queue(path: Path, durability: str) -> None:
    program = f"""
import sys; sys.path.insert(0, {BESIDE!r})
import os
from trails import record
from doorward.audit import Trail
from doorward.settings import Audit
trail = Trail(Audit(path={str(path)!r}, durability={durability!r}))
for number in range(50):
    trail.write(record(f"parent-{{number}}"))
child = os.fork()
if not child:
    trail.ensure_writable()
    for number in range(50):
        trail.write(record(f"child-{{number}}"))
    trail.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
trail.write(record("parent-50"))
trail.close()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)
    [other] = path.parent.glob("audit.*.jsonl")
    assert names_in(path) == numbered(51, "parent")
    assert names_in(other) == numbered(50, "child")
    assert check_chain(path) == check_chain(other) == []


def test_a_record_that_cannot_be_made_is_lost_alone(tmp_path: Path) -> None:
    def broken() -> str:
        raise ValueError("not a record")

    path = tmp_path / "audit.jsonl"
    trail = Trail(Audit(path=str(path), durability="buffered"))
    for each in (record("before"), broken, record("after")):
        trail.write(each)
    trail.close()
    assert names_in(path) == ["before", "after"]
    assert trail.dropped == 1
