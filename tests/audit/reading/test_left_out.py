"""What an attacker without the key leaves out or puts in where no signature covers it, and where there is nothing to
verify at all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from signing import PUBLIC_PEM
from trails import record
from written import NOW, Writer, lines_of

from doorward.audit.reading.findings import Findings
from doorward.audit.reading.lines import hash_of
from doorward.audit.reading.verify import load_public_keys, verify

Check = Callable[..., Findings]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Verification with the public key."""
    key = tmp_path / "key.pem"
    key.write_bytes(PUBLIC_PEM)
    keys = load_public_keys([key])
    return lambda *paths, **given: verify(paths, public_keys=keys, **({"pause": lambda: None} | given))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "trail"
    path.mkdir()
    return path


def at(seconds: float) -> str:
    """A time after the beginning of the trail, as a record has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(NOW + seconds))


# --- the file after a rotated one -------------------------------------------------------------------------------------


def two_processes(directory: Path, *, named: bool = True) -> Path:
    """Process "one" rotates its file after 2 s and goes on; "two" starts after 5 s, and its checkpoints name "one". The
    file in which "one" goes on."""
    one = Writer(directory, "one", every=5)
    one.calls(9)
    one.sign()
    one.rotate()
    one.calls(40)
    one.sign()
    beside = ("one",) if named else ()
    two = Writer(directory, "two", name="audit.two.jsonl", every=6, beside=lambda since: beside, at=NOW + 5)
    two.calls(40)
    two.sign()
    return one.path


@pytest.mark.parametrize("since", [None, at(6), at(10)], ids=["all of it", "since then", "since later"])
def test_the_last_file_of_a_process_that_others_saw_is_missed(directory: Path, check: Check, since: str | None) -> None:
    last = two_processes(directory)
    assert check(directory, since=since).intact
    last.unlink()
    found = check(directory, since=since)
    assert [problem.kind for problem in found.problems] == ["missing_after"]


def test_a_chain_whose_beginning_was_deleted_explains_no_missing_file(directory: Path, check: Check) -> None:
    last = two_processes(directory, named=False)
    two = directory / "audit.two.jsonl"
    two.write_bytes(b"".join(line + b"\n" for line in lines_of(two)[9:]))
    assert check(directory, since=at(9)).intact
    last.unlink()
    assert "missing_after" in check(directory, since=at(9)).kinds


def test_a_process_that_was_killed_while_it_rotated_is_not_missed_since_the_next_one(
    directory: Path, check: Check
) -> None:
    one = Writer(directory, "one", every=5)
    one.calls(9)
    one.sign()
    one.rotate()
    two = Writer(directory, "two", every=6, at=NOW + 5)
    two.calls(40)
    two.sign()
    assert check(directory).kinds == {"missing_after"}
    assert check(directory, since=at(6)).intact


# --- lines that are read in two ways ----------------------------------------------------------------------------------


def forged(line: bytes, members: bytes) -> bytes:
    """A call that continues the chain after this line; it begins with these members."""
    before = json.loads(line)
    link = b'"instance":"one","sequence":%d,"previous":"sha256:%b"' % (before["sequence"] + 1, hash_of(line))
    return b'{"event":"call",%b,"tool_name":"delete_user",%b}' % (members, link)


OLD, LATER = b'"timestamp":"2027-01-15T08:00:01.000Z"', b'"2027-02-01T08:00:00.000Z"'


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(b'"timestamp":' + LATER, id="one time"),
        pytest.param(OLD + b',"timestamp":' + LATER, id="two times"),
        pytest.param(OLD + b',"time\\u0073tamp":' + LATER, id="the second one with an escape in its name"),
        pytest.param(OLD + b',"timestamp" : ' + LATER, id="the second one with white space"),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_a_line_that_a_parser_reads_as_later_is_later(
    directory: Path, check: Check, members: bytes, count: int
) -> None:
    since = "2027-01-31T00:00:00.000Z"
    one, two = Writer(directory, "one", every=5), Writer(directory, "two", name="audit.two.jsonl", at=NOW + 20 * 86_400)
    one.calls(9)
    one.sign()
    two.calls(9)
    two.sign()
    assert check(directory, since=since).intact
    lines = lines_of(one.path)
    for _ in range(count):
        lines.append(forged(lines[-1], members))
    one.path.write_bytes(b"".join(line + b"\n" for line in lines))
    assert json.loads(lines[-1])["timestamp"].encode() == LATER.strip(b'"')
    assert check(directory, since=since).kinds == {"unsigned"}


def test_a_value_that_looks_like_a_member_is_none(directory: Path, check: Check) -> None:
    two = Writer(directory, "two", name="audit.two.jsonl", at=NOW + 20 * 86_400)
    two.sign()
    one = Writer(directory, "one", every=5)
    one.calls(9)
    one.sign()
    for name in ("timestamp", '"timestamp":"2027-02-01T08:00:00.000Z"', "\\", "\x01"):
        one.write(record(name, at=one.at))
    assert check(directory, since="2027-01-31T00:00:00.000Z").intact


@pytest.mark.parametrize("zeros", [b"", b"\0" * 64], ids=["as it is", "with zeros after it"])
@pytest.mark.parametrize("newline", [b"", b"\n"], ids=["no newline", "a newline"])
def test_a_whole_object_is_no_line_that_a_crash_tore(
    directory: Path, check: Check, zeros: bytes, newline: bytes
) -> None:
    one = Writer(directory, "one", every=5)
    one.calls(9)
    one.sign()
    with one.path.open("ab") as file:
        file.write(record("delete_user").encode() + b"}" + zeros + newline)
    assert check(directory).kinds == {"not_a_line"}


# --- nothing to verify ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 500, b'{"event":"call","timestamp":"2027-'], ids=["no byte", "zeros", "a torn line"]
)
@pytest.mark.parametrize("since", [None, at(0)])
def test_a_trail_without_a_record_was_not_checked(
    directory: Path, check: Check, content: bytes, since: str | None
) -> None:
    (directory / "audit.jsonl").write_bytes(content)
    assert check(directory, since=since).nothing_to_check


@pytest.mark.parametrize("is_named", [True, False], ids=["by its name", "in a directory"])
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_trail(directory: Path, check: Check, is_named: bool) -> None:
    """It has no size, so it would count as an empty file."""
    pipe = directory / "audit.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="not a regular file" if is_named else "has no"):
        check(pipe if is_named else directory)
