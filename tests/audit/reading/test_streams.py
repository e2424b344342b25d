"""Several processes in one file, as collectors and a stream that outlives them leave it; and what power failures,
crashes and collectors do to lines."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from signing import KEY, PUBLIC_PEM
from trails import record
from written import NOW, Writer, event, lines_of

from doorward.audit import Trail
from doorward.audit.reading.findings import Findings
from doorward.audit.reading.verify import heads_of, load_public_keys, verify
from doorward.settings import Audit, AuditSink, Checkpoint, Secret

Check = Callable[..., Findings]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Verification with the public key."""
    key = tmp_path / "key.pem"
    key.write_bytes(PUBLIC_PEM)
    keys = load_public_keys([key])
    return lambda *paths, **given: verify(paths, public_keys=keys, **({"pause": lambda: None} | given))


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    """A file that a collector writes."""
    (tmp_path / "collected").mkdir()
    return tmp_path / "collected" / "collector.jsonl"


def process(directory: Path, name: str, *, at: float = NOW, calls: int = 7) -> list[bytes]:
    """The lines of one process."""
    writer = Writer(directory, name, name=f"{name}.jsonl", at=at)
    writer.calls(calls, intents=True)
    writer.sign()
    return lines_of(writer.path)


def write(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def said(findings: Findings) -> list[str]:
    return [str(problem).partition(": ")[2] for problem in findings.problems]


def kinds(findings: Findings) -> list[str]:
    return [problem.kind for problem in findings.problems]


# --- several processes ------------------------------------------------------------------------------------------------


def test_processes_whose_lines_are_mixed(tmp_path: Path, stream: Path, check: Check, seed: int) -> None:
    rng = random.Random(seed)
    lines = [process(tmp_path, name) for name in ("a", "b", "c")]
    order = [which for which, own in enumerate(lines) for _ in own]
    for _ in range(20):
        rng.shuffle(order)
        left = [list(own) for own in lines]
        write(stream, [left[which].pop(0) for which in order])
        found = check(stream)
        assert said(found) == []
        assert sorted(chain.instances[0] for chain in found.chains) == ["a", "b", "c"]
        assert [chain.unknown_outcomes.count for chain in found.chains] == [0, 0, 0]
        assert [chain.behind_last_checkpoint for chain in found.chains] == [0, 0, 0]
        assert check(stream, heads=heads_of(found)).intact


def test_mixed_lines_in_several_files(tmp_path: Path, stream: Path, check: Check) -> None:
    one, two = process(tmp_path, "a"), process(tmp_path, "b", at=NOW + 0.1)
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    write(stream, mixed[:11])
    write(stream.with_name("collector-2.jsonl"), mixed[11:])
    found = check(stream.parent)
    assert said(found) == []
    assert [len(chain.files) for chain in found.chains] == [2, 2]


def test_a_change_of_one_of_them_is_found_at_its_line(tmp_path: Path, stream: Path, check: Check) -> None:
    one, two = process(tmp_path, "a"), process(tmp_path, "b")
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    for number, line in enumerate(mixed):
        for changed in ([], [line.replace(b'"transport":"http"', b'"transport":"both"')]):
            if changed != [line] and number < len(mixed) - 2:
                write(stream, mixed[:number] + changed + mixed[number + 1 :])
                found = check(stream)
                assert found.changed or "missing_before" in found.kinds
                assert found.problems[0].place.line in range(number, number + 4)


def test_a_stream_that_outlives_a_process(tmp_path: Path, stream: Path, check: Check) -> None:
    write(stream, process(tmp_path, "a") + process(tmp_path, "b", at=NOW + 60))
    found = check(stream)
    assert said(found) == []
    assert [chain.instances for chain in found.chains] == [["a"], ["b"]]


def test_two_sinks_of_one_server_in_one_directory(tmp_path: Path, check: Check) -> None:
    directory = tmp_path / "trail"
    directory.mkdir()
    places = [AuditSink(str(directory / name)) for name in ("audit.jsonl", "copy.jsonl")]
    trail = Trail(Audit(sinks=places, checkpoint=Checkpoint(Secret(KEY), every=20)))
    for number in range(50):
        trail.write(record(f"tool-{number}"))
    trail.close()
    found = check(directory)
    assert said(found) == []
    assert len({chain.instances[0] for chain in found.chains}) == 2
    (directory / "copy.jsonl").write_bytes((directory / "audit.jsonl").read_bytes())
    assert kinds(check(directory)) == ["inserted"]


# --- crashes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["in the same line", "in a line of its own"])
@pytest.mark.parametrize("cut", [1, 9, 30, 400])
def test_a_process_that_is_killed_within_a_line_of_a_stream(
    tmp_path: Path, stream: Path, check: Check, cut: int, end: bytes
) -> None:
    one, two = process(tmp_path, "a"), process(tmp_path, "b", at=NOW + 60)
    stream.write_bytes(b"\n".join(one[:-1]) + b"\n" + one[-1][:cut] + end + b"\n".join(two) + b"\n")
    found = check(stream)
    assert said(found) == []
    assert sum(chain.torn.count for chain in found.chains) == 1
    assert [chain.instances for chain in found.chains] == [["a"], ["b"]]


ZEROS: dict[str, Callable[[bytes], bytes]] = {
    "the last record is zeros": lambda content: _without_last(content) + b"\0" * 700,
    "zeros behind the last record": lambda content: content + b"\0" * 700,
    "the last newline is a zero": lambda content: content[:-1] + b"\0" * 3,
    "half a record, then zeros": lambda content: _without_last(content) + _last(content)[:200] + b"\0" * 500,
    "one zero": lambda content: content + b"\0",
}


@pytest.mark.parametrize("restarts", [0, 1, 2])
@pytest.mark.parametrize("fail", [pytest.param(fail, id=name) for name, fail in ZEROS.items()])
def test_zeros_after_a_power_failure_are_a_crash(
    tmp_path: Path, check: Check, fail: Callable[[bytes], bytes], restarts: int
) -> None:
    directory = tmp_path / "trail"
    directory.mkdir()
    path = directory / "audit.jsonl"
    for number in range(restarts + 1):
        trail = Trail(Audit(str(path), checkpoint=Checkpoint(Secret(KEY), every=3)))
        for tool in range(5):
            trail.write(record(f"tool-{number}-{tool}"))
        trail.close()
        if number == 0:
            path.write_bytes(fail(path.read_bytes()))
    found = check(path)
    assert said(found) == []
    assert found.chains[0].torn.count == 1


def test_zeros_in_the_middle_are_a_change(tmp_path: Path, check: Check) -> None:
    process(tmp_path, "a")
    path = tmp_path / "a.jsonl"
    lines = lines_of(path)
    write(path, [*lines[:3], b"\0" * 700, *lines[3:]])
    assert not check(path).intact
    write(path, [*lines[:3], b"\0" * 700, *lines[4:]])
    assert not check(path).intact


# --- copies -----------------------------------------------------------------------------------------------------------


def test_a_copy_whose_end_was_cut_has_a_torn_line(tmp_path: Path, check: Check) -> None:
    process(tmp_path, "a")
    path = tmp_path / "a.jsonl"
    path.write_bytes(path.read_bytes()[:-300])
    found = check(path)
    assert said(found) == []
    assert found.chains[0].torn.count == 1


def test_a_copy_whose_beginning_was_cut_is_incomplete(tmp_path: Path, check: Check) -> None:
    process(tmp_path, "a")
    path = tmp_path / "a.jsonl"
    path.write_bytes(path.read_bytes()[300:])
    found = check(path)
    assert kinds(found) == ["incomplete", "missing_before"]
    assert found.incomplete
    assert not found.changed
    assert said(found)[0] == "the beginning of this line is missing: what it was cannot be verified"


@pytest.mark.parametrize("numbers", [[4], [4, 5], [4, 9]], ids=["one", "two in a row", "two"])
@pytest.mark.parametrize("mixed", [False, True], ids=["alone", "among those of another process"])
def test_a_line_that_a_collector_cut_is_incomplete(
    tmp_path: Path, stream: Path, check: Check, numbers: list[int], mixed: bool
) -> None:
    one, two = process(tmp_path, "a"), process(tmp_path, "b")
    for number in numbers:
        one[number] = one[number][:200]
    write(stream, [line for pair in zip(one, two, strict=True) for line in pair] if mixed else one)
    found = check(stream)
    assert kinds(found) == ["incomplete"] * len(numbers)
    assert not found.changed
    assert {problem.place.line for problem in found.problems} == {2 * n + 1 if mixed else n + 1 for n in numbers}


def test_a_cut_line_does_not_hide_another_one_that_was_removed(tmp_path: Path, check: Check) -> None:
    lines = process(tmp_path, "a")
    lines[4] = lines[4][:200]
    path = tmp_path / "a.jsonl"
    write(path, lines[:5] + lines[6:])
    assert kinds(check(path)) == ["incomplete", "deleted"]


def test_a_start_that_is_quoted_begins_nothing(tmp_path: Path, check: Check) -> None:
    """What a caller sends stands in a record as a JSON string."""
    writer = Writer(tmp_path, "a", name="a.jsonl")
    writer.write(record(event("start")[:60] + "x" * 20))
    writer.sign()
    found = check(tmp_path / "a.jsonl")
    assert said(found) == []
    assert len(found.chains) == 1


def _without_last(content: bytes) -> bytes:
    return content[: content[:-1].rfind(b"\n") + 1]


def _last(content: bytes) -> bytes:
    return content[content[:-1].rfind(b"\n") + 1 :]
