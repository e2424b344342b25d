"""The file in the course of time: rotated by size and by day, moved by somebody else, shared by several processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from audit.test_sinks import as_nobody
from trails import lines_of, names_in, record, records_in

from doorward.audit.sinks import FileSink, files

BESIDE = str(Path(__file__).parents[1])
DAY = 86_400.0
NOON = 1_800_014_400.0  # 2027-01-15T12:00:00Z


class Clocks:
    """A wall clock and a monotonic one that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = NOON
        self.ticks = count()

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        # Every look at it finds the file looked at long ago.
        return float(next(self.ticks))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def opened(path: Path, clocks: Clocks, instance: str = "i1", **given: Any) -> FileSink:
    return FileSink(str(path), instance, clock=lambda: clocks.now, monotonic=clocks.monotonic, **given)


def write(sink: FileSink, *names: str) -> None:
    for name in names:
        line = sink.chain.seal(record(name))
        while line:
            line = line[sink.write(line) :]


def rotated(path: Path) -> list[Path]:
    """The files that were rotated away, the oldest first; what they are called is a promise."""
    named = re.compile(rf"{re.escape(path.stem)}\.[0-9a-z]+\.[0-9]{{8}}T[0-9]{{12}}Z{re.escape(path.suffix)}")
    return sorted(file for file in path.parent.iterdir() if named.fullmatch(file.name))


def test_a_file_that_grew_is_rotated_and_its_chain_goes_on(path: Path, clocks: Clocks) -> None:
    sink = opened(path, clocks, max_bytes=5_000)
    names = [f"tool-{number}" for number in range(50)]
    for name in names:
        clocks.pass_by(1.5)
        write(sink, name)
    sink.close()
    files = [*rotated(path), path]
    assert len(files) > 3
    assert files[0].name == "audit.i1.20270115T120012000000Z.jsonl"
    assert [name for file in files for name in names_in(file)] == names
    assert max(file.stat().st_size for file in files) <= 5_000
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}
    whole = path.with_name("whole")
    whole.write_bytes(b"".join(file.read_bytes() for file in files))
    previous = [json.loads(line)["previous"] for line in lines_of(whole)]
    assert [json.loads(line)["sequence"] for line in lines_of(whole)] == list(range(1, 51))
    assert len(set(previous)) == 50


def test_two_rotations_in_one_moment_have_two_names(path: Path, clocks: Clocks) -> None:
    sink = opened(path, clocks, max_bytes=4_096)
    write(sink, *(f"tool-{number}" for number in range(40)))
    sink.close()
    names = [name for file in [*rotated(path), path] for name in names_in(file)]
    assert sorted(names) == sorted(f"tool-{number}" for number in range(40))


def test_a_new_day_begins_a_new_file(path: Path, clocks: Clocks) -> None:
    sink = opened(path, clocks, daily=True)
    write(sink, "a")
    clocks.pass_by(DAY / 2 - 1)
    write(sink, "b")
    clocks.pass_by(1)
    write(sink, "c")
    sink.close()
    assert [names_in(file) for file in [*rotated(path), path]] == [["a", "b"], ["c"]]


def test_yesterday_s_file_is_rotated_by_whoever_opens_it_today(path: Path, clocks: Clocks) -> None:
    sink = opened(path, clocks, daily=True)
    write(sink, "yesterday")
    sink.close()
    os.utime(path, (NOON - DAY, NOON - DAY))
    sink = opened(path, clocks, "i2", daily=True)
    write(sink, "today")
    sink.close()
    assert [names_in(file) for file in [*rotated(path), path]] == [["yesterday"], ["today"]]


def test_a_line_is_never_torn_in_two_by_a_rotation(path: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = opened(path, clocks, max_bytes=4_096)
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: whole(descriptor, data[:100]))  # a disk nearly full
    write(sink, *(f"tool-{number}" for number in range(30)))
    monkeypatch.undo()
    sink.close()
    files = [*rotated(path), path]
    assert len(files) > 2
    assert sorted(name for file in files for name in names_in(file)) == sorted(f"tool-{number}" for number in range(30))


def test_what_cannot_be_rotated_is_written_on(clocks: Clocks, caplog: pytest.LogCaptureFixture) -> None:
    with tempfile.TemporaryDirectory() as directory:  # below tmp_path nobody else may go
        change_mode(directory, 0o777)
        path = Path(directory) / "audit.jsonl"
        with as_nobody():
            sink = opened(path, clocks, max_bytes=4_096)
        change_mode(directory, 0o555)
        with as_nobody():
            write(sink, *(f"tool-{number}" for number in range(30)))
        assert names_in(path) == [f"tool-{number}" for number in range(30)]
        told = [entry.message for entry in caplog.records if "cannot be rotated" in entry.message]
        assert len(told) == 1
        assert "Permission denied; it is written on" in told[0]
        change_mode(directory, 0o777)
        for _ in range(60):
            clocks.monotonic()  # it does not try again at once
        with as_nobody():
            write(sink, "after")
            sink.close()
        assert names_in(path) == ["after"]


def change_mode(directory: str, mode: int) -> None:
    os.chmod(directory, mode)


PROCESS = f"""
import sys, time; sys.path.insert(0, {BESIDE!r})
from trails import record
from doorward.audit import Trail
from doorward.settings import Audit, AuditSink
path, name, durability = sys.argv[1:]
trail = Trail(Audit(sinks=[AuditSink(path, max_bytes=20_000)], durability=durability))
for number in range(200):
    trail.write(record(f"{{name}}-{{number}}"))
    if number % 20 == 0:
        time.sleep(0.001)
trail.close()
"""


@pytest.mark.parametrize("durability", ["buffered", "written"])
def test_several_processes_share_a_directory_and_lose_nothing(path: Path, durability: str) -> None:
    names = "abcde"
    processes = [subprocess.Popen([sys.executable, "-c", PROCESS, str(path), name, durability]) for name in names]
    assert [process.wait(60) for process in processes] == [0] * len(names)
    by_instance: dict[str, list[dict[str, Any]]] = {}
    for file in path.parent.iterdir():
        for line in records_in(file):
            by_instance.setdefault(line["instance"], []).append(line)
    assert len(by_instance) == len(names)
    for lines in by_instance.values():
        lines.sort(key=lambda line: int(line["sequence"]))
        first = lines[0]["sequence"]
        assert [line["sequence"] for line in lines] == list(range(first, first + len(lines)))
        called = [line["tool_name"] for line in lines if line["event"] == "call"]
        assert called == [f"{called[0][0]}-{number}" for number in range(200)]


HANGING_UP = f"""
import sys; sys.path.insert(0, {BESIDE!r})
import os, signal
from pathlib import Path
from trails import record
from doorward.audit import Trail
from doorward.settings import Audit
path = Path(sys.argv[1])
heard = []
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may ignore it, and what they start then does
HANDLER
trail = Trail(Audit(path=str(path)))
trail.write(record("before"))
path.rename(path.with_suffix(".1"))
os.kill(os.getpid(), signal.SIGHUP)
trail.write(record("after"))
print(heard)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no such signal")
@pytest.mark.parametrize(
    ("handler", "heard"),
    [
        pytest.param("", "[]", id="nobody's"),
        pytest.param("signal.signal(signal.SIGHUP, lambda *given: heard.append('host'))", "['host']", id="the host's"),
    ],
)
def test_a_hang_up_reopens_the_file_and_the_host_still_hears_it(path: Path, handler: str, heard: str) -> None:
    program = HANGING_UP.replace("HANDLER", handler)
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False, start_new_session=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, heard), done.stderr
    assert (names_in(path.with_suffix(".1")), names_in(path)) == (["before"], ["after"])


def test_without_a_signal_a_moved_file_is_found_in_a_quarter_of_a_second(path: Path) -> None:
    sink = FileSink(str(path), "i1")
    write(sink, "before")
    path.rename(path.with_suffix(".1"))
    time.sleep(0.26)
    write(sink, "after")
    sink.close()
    assert names_in(path) == ["after"]


def test_it_does_not_go_on_in_the_middle_of_somebody_else_s_chain(path: Path, clocks: Clocks) -> None:
    sink = opened(path, clocks)
    write(sink, "a")
    path.rename(path.with_suffix(".1"))
    other = FileSink(str(path), "i2")
    write(other, "b")
    other.close()
    write(sink, "c")
    sink.close()
    assert names_in(path) == ["b"]
    assert names_in(path.with_name("audit.i1.jsonl")) == ["c"]


def test_a_file_that_is_rotated_away_while_it_is_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = files._open
    rotated_away: list[Path] = []

    def open_and_lose(at: Path) -> int:
        descriptor = opening(at)
        if not rotated_away:  # by its writer, which lets go of it then
            rotated_away.append(at.rename(at.with_suffix(".1")))
        return descriptor

    monkeypatch.setattr(files, "_open", open_and_lose)
    sink = FileSink(str(path), "i1")
    write(sink, "a")
    sink.close()
    assert (names_in(path), names_in(rotated_away[0])) == (["a"], [])
