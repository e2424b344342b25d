"""Where lines go: real files, devices, pipes and processes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from signing import KEY
from trails import check_chain, lines_of, names_in, record

from doorward.audit import Trail
from doorward.audit.sinks import FileSink, StderrSink, StdoutSink, open_sink
from doorward.settings import Audit, AuditSink


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to write to every file."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(before)


def write(sink: FileSink, *names: str) -> None:
    for name in names:
        line = sink.chain.seal(record(name))
        assert sink.write(line) == len(line)


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o377, 0o777], ids=oct)
def test_only_its_owner_reads_it_whatever_the_umask(path: Path, mask: int) -> None:
    with umask(mask):
        FileSink(str(path), "i-1").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_keeps_its_mode(path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    FileSink(str(path), "i-1").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_it_goes_on_where_the_last_process_stopped(path: Path) -> None:
    for instance in ("i-1", "i-2"):
        sink = FileSink(str(path), instance)
        write(sink, "a", "b")
        sink.close()
    assert check_chain(path) == []
    assert [json.loads(line)["sequence"] for line in lines_of(path)] == [1, 2, 3, 4]
    assert [json.loads(line)["instance"] for line in lines_of(path)] == ["i-1", "i-1", "i-2", "i-2"]


@pytest.mark.parametrize("kept", [1, 200, -2, -1], ids=["a byte", "half", "all but the brace", "all but the newline"])
def test_a_torn_last_line_stays_and_the_chain_goes_on_behind_it(path: Path, kept: int) -> None:
    sink = FileSink(str(path), "i-1")
    write(sink, "a", "torn")
    sink.close()
    first, torn = lines_of(path)
    left = first + b"\n" + (torn + b"\n")[:kept]
    path.write_bytes(left)

    sink = FileSink(str(path), "i-2")
    write(sink, "b")
    sink.close()
    assert path.read_bytes().startswith(left + b"\n")
    assert check_chain(path) == ([] if kept == -1 else [2])
    assert names_in(path) == (["a", "torn", "b"] if kept == -1 else ["a", "b"])


def test_the_end_of_a_large_file_is_found(path: Path) -> None:
    sink = FileSink(str(path), "i-1")
    write(sink, *(f"tool-{number}" for number in range(5_000)))
    sink.close()
    sink = FileSink(str(path), "i-2")
    write(sink, "after")
    sink.close()
    assert path.stat().st_size > 2 * 1024 * 1024
    assert check_chain(path) == []


def test_it_appends_wherever_others_have_written(path: Path) -> None:
    sink = FileSink(str(path), "i-1")
    write(sink, "a")
    with path.open("ab") as file:
        file.write(b"a line of somebody's\n")
    write(sink, "b")
    sink.close()
    assert names_in(path) == ["a", "b"]


# --- what cannot be opened --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(lambda path: path / "missing" / "audit.jsonl", FileNotFoundError, id="no directory"),
        pytest.param(lambda path: path, IsADirectoryError, id="a directory"),
        pytest.param(lambda path: path / "file" / "audit.jsonl", NotADirectoryError, id="below a file"),
        pytest.param(lambda path: path / ("x" * 300), OSError, id="too long a name"),
    ],
)
def test_the_error_names_the_path(tmp_path: Path, make: object, error: type[OSError]) -> None:
    (tmp_path / "file").touch()
    path = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(error) as failed:
        FileSink(str(path), "i-1")
    assert failed.value.filename == str(path)
    assert f"'{path}'" in str(failed.value)


def test_a_read_only_file_is_an_error_that_names_it(path: Path) -> None:
    path.touch(mode=0o400)
    with as_nobody(), pytest.raises(PermissionError, match=r"audit\.jsonl"):
        FileSink(str(path), "i-1")


# --- one writer -------------------------------------------------------------------------------------------------------


def test_a_second_writer_takes_a_file_beside_it(path: Path) -> None:
    first, second = FileSink(str(path), "i-1"), FileSink(str(path), "i-2")
    assert (first.path, second.path) == (path, path.with_name("audit.i-2.jsonl"))
    write(first, "a")
    write(second, "b")
    first.close()
    third = FileSink(str(path), "i-3")
    write(third, "c")
    assert (names_in(path), names_in(second.path)) == (["a", "c"], ["b"])
    assert check_chain(path) == check_chain(second.path) == []
    second.close()
    third.close()


def test_two_processes_never_mix_their_chains(path: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from trails import record
from doorward.audit import Trail
from doorward.settings import Audit
trail = Trail(Audit(path={str(path)!r}))
print("open", flush=True)
sys.stdin.readline()
for number in range(200):
    trail.write(record(f"{{sys.argv[1]}}-{{number}}"))
trail.close()
"""
    started = [
        subprocess.Popen([sys.executable, "-c", program, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in ("one", "two")
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
    for process in started:
        process.communicate(b"go\n", timeout=60)
        assert process.returncode == 0

    files = sorted(path.parent.glob("audit*.jsonl"))
    assert len(files) == 2
    assert path in files
    written = [names_in(file) for file in files]
    assert sorted(written) == [[f"{name}-{number}" for number in range(200)] for name in ("one", "two")]
    for file in files:
        assert check_chain(file) == []
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


# --- closing ----------------------------------------------------------------------------------------------------------


def test_closing_twice_closes_nobody_else_s_file(path: Path) -> None:
    sink = FileSink(str(path), "i-1")
    sink.close()
    with (path.parent / "other").open("wb") as other:  # most likely of the same number
        sink.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            sink.write(b"a line\n")
        other.write(b"mine")
    assert (path.parent / "other").read_bytes() == b"mine"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_device_is_nobody_s_and_has_no_neighbour() -> None:
    sinks = [FileSink("/dev/full", f"i-{number}") for number in range(2)]
    for sink in sinks:
        assert sink.path == Path("/dev/full")
        with pytest.raises(OSError, match="No space left"):
            sink.write(sink.chain.seal(record()))
        sink.close()
    assert not list(Path("/dev").glob("full.*"))


# --- the standard output ----------------------------------------------------------------------------------------------


def run(program: str, **given: Any) -> subprocess.CompletedProcess[bytes]:
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, timeout=60, **given
    )
    return done


def test_lines_stand_behind_what_was_printed_before() -> None:
    program = """
from doorward.audit.sinks import open_sink
from doorward.settings import AuditSink
print("before", flush=False)
sink = open_sink(AuditSink("stdout"), "i-1")
sink.write(b"a line\\n")
print("after")
sink.close()
print("still open")
"""
    assert run(program).stdout == b"before\na line\nafter\nstill open\n"


def test_a_reader_that_left_is_an_error_and_no_line_goes_out_twice() -> None:
    program = """
import os, sys
from doorward.audit.sinks import StdoutSink
read, write = os.pipe()
os.dup2(write, 1)
sink = StdoutSink("i-1")
os.close(read), os.close(write)
try:
    sink.write(b"a line\\n")
except BrokenPipeError:
    print("broken", file=sys.stderr)
read, write = os.pipe()
os.dup2(write, sink._descriptor)
sink.write(b"a line\\n")
print(os.read(read, 100), file=sys.stderr)
os._exit(0)
"""
    assert run(program).stderr == b"broken\nb'a line\\n'\n"


@pytest.mark.parametrize("durability", ["buffered", "written"])
def test_a_reader_that_takes_nothing_stops_nobody(durability: str) -> None:
    program = f"""
import sys, time; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from trails import record
from doorward.audit import Trail
from doorward.errors import Unavailable
from doorward.settings import Audit
trail = Trail(Audit(durability={durability!r}))
try:
    while True:
        trail.ensure_writable()
        trail.write(record("read_order"))
except Unavailable:
    print("refused", file=sys.stderr, flush=True)
sys.stdin.readline()
while trail.waiting:  # closed before its reader goes on, it would lose these
    time.sleep(0.01)
trail.close()
print(trail.dropped, file=sys.stderr)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        told = process.stderr.readline()
        while told and told != "refused\n":  # what the log says of it
            told = process.stderr.readline()
        assert told == "refused\n"
        process.stdin.write("go on\n")
        process.stdin.flush()
        lines = process.stdout.read().splitlines()
        assert process.stderr.read().splitlines()[-1] == "0"
    assert [json.loads(line)["sequence"] for line in lines] == list(range(1, len(lines) + 1))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("sys.stdout = None", id="taken away"),
        pytest.param("sys.stdout = io.StringIO()", id="replaced"),
        pytest.param("sys.stdout.close()", id="closed"),
    ],
)
def test_whatever_becomes_of_sys_stdout(change: str) -> None:
    program = f"""
import io, os, sys
from doorward.audit.sinks import StdoutSink
early = StdoutSink("i-1")
{change}
early.write(b"early\\n")
try:
    StdoutSink("i-2").write(b"late\\n")
except OSError:
    pass
"""
    done = run(program)
    assert (done.stderr, done.stdout.partition(b"late")[0]) == (b"", b"early\n")


def test_the_name_decides(path: Path) -> None:
    sinks = [open_sink(AuditSink(place), "i-1") for place in ("stdout", "stderr", str(path))]
    assert [type(sink) for sink in sinks] == [StdoutSink, StderrSink, FileSink]
    for sink in sinks:
        sink.close()


# --- where nobody has said where --------------------------------------------------------------------------------------

UNSAID = f"""
import os, sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from trails import record
from doorward.audit import Trail
from doorward.settings import Audit, Checkpoint, Secret
checkpoint = Checkpoint(Secret({KEY!r}), every=1) if sys.argv[2] == "signed" else None
trail = Trail(Audit(durability=sys.argv[1], checkpoint=checkpoint))
for what in sys.argv[3:]:
    if what == "leave":
        trail.leave_stdout()
    elif what == "fork" and (child := os.fork()):
        os.waitpid(child, 0)
        os._exit(0)
    elif what == "flush":
        trail.flush()
    elif what != "fork":
        trail.write(record(what))
        trail.flush()
trail.close()
"""
STREAMS: dict[str, tuple[list[str], list[str | None], list[str | None]]] = {
    "the standard output": (["a", "b"], [None, "a", "b"], []),
    "but the standard error, once it is a server's own": (["leave", "a", "b"], [], [None, "a", "b"]),
    "nothing goes out before that": (["flush", "leave", "a"], [], [None, "a"]),
    "nothing at all, where nothing happens": (["flush"], [], []),
    "what came before stays where it is": (["a", "leave", "b"], [None, "a"], ["b"]),
    "also in a process that was forked": (["leave", "fork", "a"], [], [None, "a"]),
}


@pytest.mark.parametrize("checkpoint", ["signed", "unsigned"])
@pytest.mark.parametrize("durability", ["buffered", "written"])
@pytest.mark.parametrize(("steps", "out", "errors"), STREAMS.values(), ids=STREAMS)
def test_where_nobody_has_said_where(
    durability: str, checkpoint: str, steps: list[str], out: list[str | None], errors: list[str | None]
) -> None:
    command = [sys.executable, "-c", UNSAID, durability, checkpoint, *steps]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True)
    streams = [[json.loads(line) for line in text.splitlines()] for text in (done.stdout, done.stderr)]
    lines = [[line for line in stream if line["event"] != "checkpoint"] for stream in streams]
    assert [[line.get("tool_name") for line in stream] for stream in lines] == [out, errors]
    assert {len(of) > len(those) for of, those in zip(streams, lines, strict=True) if those} <= {checkpoint == "signed"}
    assert [bool(stream) for stream in streams] == [bool(out), bool(errors)], "a signature alone is nothing, either"


@pytest.mark.parametrize("audit", [Audit("stdout"), Audit(sinks=[AuditSink("stdout")])], ids=["path", "sink"])
def test_whoever_says_stdout_is_told_what_to_say_instead(audit: Audit) -> None:
    trail = Trail(audit)
    with pytest.raises(ValueError, match=r'^audit goes to stdout.*write \[audit\] path = "stderr", or a file'):
        trail.leave_stdout()
    trail.close()


def test_whoever_says_another_place_keeps_it(path: Path) -> None:
    trail = Trail(Audit(str(path)))
    trail.leave_stdout()
    trail.write(record("a"))
    trail.close()
    assert names_in(path) == ["a"]
