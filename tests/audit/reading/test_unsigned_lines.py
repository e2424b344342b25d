"""What no signature covers proves nothing: not that an instance, a remembered line or a chain is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from signing import PUBLIC_PEM
from trails import record
from written import NOW, Writer, a_trail, event, lines_of, write_as_earlier

from doorward.audit.chain import Chain, chain_after
from doorward.audit.reading.findings import Findings
from doorward.audit.reading.heads import Head
from doorward.audit.reading.lines import hash_of
from doorward.audit.reading.verify import heads_of, load_public_keys, verify

Check = Callable[..., Findings]

SINCE = "2027-01-15T08:30:00.000Z"
LATER = NOW + 3600


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    path = tmp_path / "trail"
    path.mkdir()
    a_trail(path)
    return path


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Verification with the public key."""
    key = tmp_path / "key.pem"
    key.write_bytes(PUBLIC_PEM)
    keys = load_public_keys([key])
    return lambda *paths, **given: verify(paths, public_keys=keys, **({"pause": lambda: None} | given))


def kinds(findings: Findings) -> list[str]:
    return [problem.kind for problem in findings.problems]


def forge(lines: list[bytes], instance: str, count: int, *, at: float = NOW, start: bool = False) -> bytes:
    """These lines, and more behind them with right numbers and hashes, made without the key."""
    content = b"".join(line + b"\n" for line in lines)
    chain = chain_after(instance, content) if content else Chain(instance)
    more = [event("start", at=at)] if start else []
    more += [record("delete_user", at=at + number) for number in range(count - len(more))]
    return content + b"".join(map(chain.seal, more))


def checkpoints_in(path: Path) -> list[int]:
    """Positions of the checkpoints."""
    return [number for number, line in enumerate(lines_of(path)) if line.startswith(b'{"event":"checkpoint"')]


# --- a forged chain ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["audit2.jsonl", "audit.two.jsonl.jsonl", "0.jsonl"])
@pytest.mark.parametrize("from_start", [True, False], ids=["its start and first checkpoint", "its last checkpoint"])
def test_a_chain_forged_behind_a_copied_checkpoint(trail: Path, check: Check, name: str, from_start: bool) -> None:
    path = trail / "audit.two.jsonl"
    lines, signed = lines_of(path), checkpoints_in(path)
    seed = lines[: signed[0] + 1] if from_start else [lines[signed[-1]]]
    (trail / name).write_bytes(forge(seed, "two", 3))
    assert "inserted" in kinds(check(trail))


def test_a_chain_forged_behind_a_checkpoint_that_is_older_than_since(trail: Path, check: Check) -> None:
    """The genuine file was deleted on purpose: nothing else holds the numbers that the forged file uses."""
    path = trail / "audit.two.jsonl"
    checkpoint = lines_of(path)[-1]
    path.unlink()
    Writer(trail, "four", at=LATER).calls(3)
    assert check(trail, since=SINCE).intact
    path.write_bytes(forge([checkpoint], "two", 3, at=LATER))
    found = check(trail, since=SINCE)
    assert kinds(found) == ["unsigned"]
    assert "no line since 2027-01-15T08:30:00.000Z is signed" in str(found.problems[0])


@pytest.mark.parametrize("kind", ["call", "asked"])
@pytest.mark.parametrize("times", [(LATER, NOW), (NOW, LATER, NOW, NOW)], ids=["at its beginning", "in the middle"])
def test_the_last_line_of_a_forged_chain_does_not_hide_the_time_of_the_others(
    trail: Path, check: Check, times: tuple[float, ...], kind: str
) -> None:
    path = trail / "audit.two.jsonl"
    Writer(trail, "four", at=LATER).calls(3)
    content = lines_of(path)[-1] + b"\n"
    chain = chain_after("two", content)
    path.write_bytes(content + b"".join(chain.seal(event(kind, at=at)) for at in times))
    assert kinds(check(trail, since=SINCE)) == ["unsigned"]


def test_an_old_chain_with_an_unsigned_end_is_not_missed_since_later(trail: Path, check: Check) -> None:
    """Its process was killed before it signed its last records."""
    path = trail / "audit.two.jsonl"
    path.write_bytes(forge(lines_of(path), "two", 2))
    Writer(trail, "four", at=LATER).calls(3)
    assert check(trail, since=SINCE).intact


@pytest.mark.parametrize("count", [2, 5])
def test_an_instance_that_continues_a_chain_signs_it(trail: Path, check: Check, count: int) -> None:
    path = trail / "audit.two.jsonl"
    path.write_bytes(forge(lines_of(path), "evil", count, start=True))
    found = check(trail)
    assert kinds(found) == ["unsigned"]
    assert f"none of the {count} lines of instance evil is signed" in str(found.problems[0])


@pytest.mark.parametrize(("instance", "start"), [("evil", False), ("one", True), ("one", False)])
def test_only_a_start_of_a_new_instance_continues_a_chain(
    trail: Path, check: Check, instance: str, start: bool
) -> None:
    path = trail / "audit.two.jsonl"
    path.write_bytes(forge(lines_of(path), instance, 1, start=start))
    assert not check(trail).intact
    path = trail / "audit.jsonl"  # of a chain that instance one began
    path.write_bytes(forge(lines_of(path), instance, 1, start=start))
    assert "changed" in kinds(check(trail))


def test_a_process_that_was_killed_at_its_start_has_signed_nothing(trail: Path, check: Check) -> None:
    path = trail / "audit.two.jsonl"
    path.write_bytes(forge(lines_of(path), "five", 1, start=True))
    found = check(trail)
    assert found.intact
    assert sum(chain.behind_last_checkpoint for chain in found.chains) == 1


# --- an instance ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pretend",
    [
        pytest.param(lambda trail: (trail / "audit.two.jsonl").write_bytes(b""), id="an empty file"),
        pytest.param(
            lambda trail: (trail / "audit.two.jsonl").write_bytes(forge([], "two", 1, start=True)), id="a start"
        ),
        pytest.param(
            lambda trail: (trail / "audit.two.jsonl").write_bytes(forge([], "two", 9, start=True)), id="a whole file"
        ),
        pytest.param(
            lambda trail: (trail / "audit.jsonl").write_bytes(
                forge(lines_of(trail / "audit.jsonl"), "two", 1, start=True)
            ),
            id="a start behind another chain",
        ),
    ],
)
def test_forged_lines_do_not_stand_for_an_instance_that_was_removed(
    trail: Path, check: Check, pretend: Callable[[Path], object]
) -> None:
    (trail / "audit.two.jsonl").unlink()
    pretend(trail)
    assert "missing_instance" in kinds(check(trail))


def test_a_file_that_appears_before_the_second_look_is_verified(trail: Path, check: Check) -> None:
    path = trail / "audit.two.jsonl"
    genuine = path.read_bytes()
    path.unlink()
    found = check(trail, pause=lambda: path.write_bytes(forge([], "two", 1, start=True)))
    assert "missing_instance" in kinds(found)
    path.unlink()
    assert check(trail, pause=lambda: path.write_bytes(genuine)).intact


# --- a remembered head ------------------------------------------------------------------------------------------------


def test_a_line_that_carries_the_hash_of_a_remembered_one_is_not_that_line(trail: Path, check: Check) -> None:
    path = trail / "audit.two.jsonl"
    heads = heads_of(check(trail))
    head = next(head for head in heads if head.instance == "two")
    lines = lines_of(path)
    cut = lines[: checkpoints_in(path)[-2] + 1]
    path.write_bytes(b"".join(line + b"\n" for line in cut))
    assert check(trail).intact, "a chain that was cut off at a checkpoint cannot show it alone"
    chain = Chain("two", sequence=head.sequence, previous=f"sha256:{head.hash}")
    for name in ("audit.two.jsonl", "audit.zwei.jsonl", "unrelated.jsonl"):
        target = trail / name
        before = target.read_bytes() if target.exists() else b""
        target.write_bytes(before + chain.seal(record()))
        for since in (None, "2027-01-15T08:00:00.000Z"):
            assert "missing_remembered" in kinds(check(trail, heads=heads, since=since))
        target.write_bytes(before)


@pytest.mark.parametrize("change", [{"sequence": 17}, {"instance": "three"}, {"hash": "0" * 64}], ids=str)
def test_a_remembered_line_counts_with_its_instance_number_and_hash(
    trail: Path, check: Check, change: dict[str, object]
) -> None:
    heads = heads_of(check(trail))
    assert check(trail, heads=heads).intact
    changed = [replace(head, **change) if head.instance == "two" else head for head in heads]  # type: ignore[arg-type]
    assert kinds(check(trail, heads=changed)) == ["missing_remembered"]


@pytest.mark.parametrize("number", range(18))
def test_any_line_that_was_read_may_be_the_remembered_one(trail: Path, check: Check, number: int) -> None:
    line = lines_of(trail / "audit.two.jsonl")[number]
    said = json.loads(line)
    head = Head("two", said["sequence"], hash_of(line).decode(), said["timestamp"])
    assert check(trail, heads=[head]).intact


def test_a_torn_line_is_not_remembered(trail: Path, check: Check) -> None:
    writer = Writer(trail, "five", at=LATER)
    heads = heads_of(check(trail))
    writer.tear()
    assert heads_of(check(trail)) == heads
    assert check(trail, heads=heads).intact


# --- what only a remembered head shows --------------------------------------------------------------------------------


def cut_at_a_checkpoint(trail: Path) -> None:
    path = trail / "audit.two.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines_of(path)[: checkpoints_in(path)[-2] + 1]))


def forge_the_tail(trail: Path) -> None:
    cut_at_a_checkpoint(trail)
    path = trail / "audit.two.jsonl"
    path.write_bytes(forge(lines_of(path), "two", 5))


def forge_the_tail_and_restart(trail: Path) -> None:
    forge_the_tail(trail)
    Writer(trail, "five", name="audit.two.jsonl", at=LATER).calls(6)


def remove_the_last_file(trail: Path) -> None:
    (trail / "audit.jsonl").unlink()
    last = max(trail.glob("audit.one.*"))
    last.rename(trail / "audit.jsonl")


@pytest.mark.parametrize(
    "attack", [cut_at_a_checkpoint, forge_the_tail, forge_the_tail_and_restart, remove_the_last_file]
)
def test_what_only_a_remembered_head_shows(trail: Path, check: Check, attack: Callable[[Path], None]) -> None:
    """As docs/audit-reading.md says of each option."""
    heads = heads_of(check(trail))
    attack(trail)
    assert check(trail).intact
    assert kinds(check(trail, heads=heads)) == ["missing_remembered"]


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ("doorward.audit.reading.chain_verifier.MAX_INSTANCES", "more than 1 instances: verify fewer files at a time"),
        ("doorward.audit.reading.checkpoint_lines.MAX_NAMED", "checkpoints name more than 1 instances"),
    ],
)
def test_more_instances_than_fit_into_memory_are_refused(
    trail: Path, check: Check, monkeypatch: pytest.MonkeyPatch, bound: str, said: str
) -> None:
    monkeypatch.setattr(bound, 1)
    with pytest.raises(ValueError, match=said):
        check(trail)


# --- records of other releases ----------------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "trail"
    made.mkdir()
    return made


def test_the_trail_of_an_earlier_release_is_read_and_its_signatures_are_refused(directory: Path, check: Check) -> None:
    write_as_earlier(directory)
    assert verify([directory]).intact
    found = check(directory)
    assert kinds(found) == ["other_release"]
    assert not found.changed
    assert "verify this trail with the release that wrote it" in str(found.problems[0])
    assert kinds(check(directory, since="2028-01-01T00:00:00.000Z")) == ["other_release"], "it may be made up"


def test_the_trail_of_an_earlier_release_whose_beginning_was_deleted_is_recognised(
    directory: Path, check: Check
) -> None:
    write_as_earlier(directory)
    path = directory / "audit.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines_of(path)[3:]))
    assert kinds(check(directory, since="2027-01-16T00:00:00.000Z")) == ["other_release"]


def test_a_change_of_an_earlier_trail_is_found(directory: Path, check: Check) -> None:
    write_as_earlier(directory)
    path = directory / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"read"', b'"send"', 1))
    assert kinds(check(directory)) == ["changed", "other_release"]
    assert kinds(verify([directory])) == ["changed"]


def test_what_this_release_wrote_behind_an_earlier_one_is_verified_since_then(directory: Path, check: Check) -> None:
    write_as_earlier(directory)
    Writer(directory, "now", at=LATER).calls(6)
    found = check(directory)
    assert kinds(found) == ["other_release"]
    assert "after 2027-01-15T08:00:01.750Z with --since" in str(found.problems[0])
    assert check(directory, since=SINCE).intact
    path = directory / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"read"', b'"send"', 1))
    assert kinds(check(directory, since=SINCE)) == ["changed"]


def test_a_checkpoint_of_this_release_is_not_made_one_of_an_earlier(directory: Path, check: Check) -> None:
    Writer(directory, "one").calls(7)
    path = directory / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"schema":2,"signing_key"', b'"signing_key"'))
    found = check(directory)
    assert found.changed
    assert "bad_signature" in kinds(found)


@pytest.mark.parametrize("schema", [b"3", b'"2"', b"true", b"[1]"])
def test_a_schema_that_is_not_known_is_refused(directory: Path, check: Check, schema: bytes) -> None:
    Writer(directory, "one", every=None).calls(2)
    path = directory / "audit.jsonl"
    first = lines_of(path)[0]
    chain = Chain("one")
    made = first.partition(b',"instance"')[0].replace(b'"schema":2', b'"schema":' + schema)
    path.write_bytes(chain.seal(made.decode()) + chain.seal(record()))
    for found in (verify([path]), check(path)):
        assert "other_release" in kinds(found)
        assert "this release knows 2" in str(found.problems[0])
