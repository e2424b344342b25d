"""Verification: what an honest writer leaves is good, whatever happened to it; everything else is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing import KEY, PUBLIC_PEM
from written import NOW, Writer, a_trail, event, lines_of

from doorward.audit.reading.findings import Findings
from doorward.audit.reading.heads import Head
from doorward.audit.reading.lines import hash_of
from doorward.audit.reading.verify import heads_of, load_public_keys, verify


@pytest.fixture
def public_key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(PUBLIC_PEM)
    return path


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """The directory of a trail of every kind of file."""
    path = tmp_path / "trail"
    path.mkdir()
    a_trail(path)
    return path


@pytest.fixture
def check(public_key: Path) -> Callable[..., Findings]:
    """Verification with the public key."""
    keys = load_public_keys([public_key])
    return lambda *paths, **given: verify(paths, public_keys=keys, **({"pause": lambda: None} | given))


def kinds(findings: Findings) -> list[str]:
    return [problem.kind for problem in findings.problems]


# --- what is good -----------------------------------------------------------------------------------------------------


def test_what_servers_leave_is_intact(trail: Path, check: Callable[..., Findings]) -> None:
    found = check(trail)
    assert [str(problem) for problem in found.problems] == []
    main, two = found.chains
    assert [path.name for path in main.files][-1] == "audit.jsonl"
    assert len(main.files) == 3
    assert main.instances == ["one", "three"]
    assert main.torn.count == 1
    assert main.lost == 0
    assert main.behind_last_checkpoint == two.behind_last_checkpoint == 0
    assert two.instances == ["two"]
    assert found.lines == main.lines + two.lines == sum(len(lines_of(path)) for path in trail.iterdir())


@pytest.mark.parametrize("which", ["audit.jsonl", "audit.two.jsonl", "audit.one.20270115T080002250001Z.jsonl", "."])
def test_any_file_stands_for_its_trail(trail: Path, check: Callable[..., Findings], which: str) -> None:
    found = check(trail / which)
    assert found.intact
    assert found.files == 4


def test_without_a_public_key_the_chain_alone_is_checked(trail: Path) -> None:
    found = verify([trail])
    assert found.intact
    assert not found.with_key


def test_lost_records_are_a_gap_and_no_tampering(tmp_path: Path, check: Callable[..., Findings]) -> None:
    writer = Writer(tmp_path, "one")
    writer.calls(3)
    writer.chain.skip()
    writer.chain.skip()
    writer.calls(3)
    found = check(tmp_path / "audit.jsonl")
    assert found.intact
    assert found.chains[0].lost == 2
    assert [place.line for place in found.chains[0].gaps.places] == [6]


def test_an_intent_without_its_call_has_an_unknown_outcome(tmp_path: Path, check: Callable[..., Findings]) -> None:
    writer = Writer(tmp_path, "one", every=1000)
    writer.calls(2, intents=True)
    writer.write(event("intent", "r-lost"))
    writer.calls(2, intents=True)
    found = check(tmp_path / "audit.jsonl")
    assert found.intact
    assert [place.line for place in found.chains[0].unknown_outcomes.places] == [7]


def test_what_no_checkpoint_covers_is_counted(tmp_path: Path, check: Callable[..., Findings]) -> None:
    writer = Writer(tmp_path, "one", every=4)
    writer.calls(6)
    (chain,) = check(tmp_path / "audit.jsonl").chains
    assert (chain.checkpoints, chain.behind_last_checkpoint) == (2, 2)
    assert chain.last_checkpoint is not None
    assert chain.last_checkpoint.line == 7


@pytest.mark.parametrize("ended", [b"", b"\n"], ids=["", "ended by a process that was killed then"])
def test_a_torn_last_line_is_told_and_is_no_tampering(
    tmp_path: Path, check: Callable[..., Findings], ended: bytes
) -> None:
    writer = Writer(tmp_path, "one")
    writer.calls(3)
    writer.tear()
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(ended)
    found = check(tmp_path / "audit.jsonl")
    assert found.intact
    assert found.chains[0].torn.places[0].line == 6


def test_several_crashes_in_a_row_are_no_tampering(tmp_path: Path, check: Callable[..., Findings]) -> None:
    path = tmp_path / "audit.jsonl"
    writer = Writer(tmp_path, "one")
    writer.calls(3)
    for torn in (b'{"event":"call","time', b'{"event"', b"{"):
        path.write_bytes(path.read_bytes() + torn + b"\n")
    Writer(tmp_path, "two").calls(3)
    found = check(path)
    assert found.intact
    assert [place.line for place in found.chains[0].torn.places] == [6, 7, 8]
    lines = lines_of(path)
    path.write_bytes(b"".join(line + b"\n" for number, line in enumerate(lines) if number != 4))
    assert not check(path).intact, "the line in front of them was taken out"


def test_an_empty_file_is_good(tmp_path: Path, check: Callable[..., Findings]) -> None:
    (tmp_path / "audit.jsonl").touch()
    assert check(tmp_path / "audit.jsonl").intact


def test_it_tells_how_far_it_is(trail: Path) -> None:
    told: list[tuple[int, int]] = []
    verify([trail], progress=lambda done, size: told.append((done, size)))
    size = sum(path.stat().st_size for path in trail.iterdir())
    assert told[-1] == (size, size)


# --- what is missing --------------------------------------------------------------------------------------------------

FIRST, SECOND = "audit.one.20270115T080002250001Z.jsonl", "audit.one.20270115T080004250002Z.jsonl"


@pytest.mark.parametrize(
    ("gone", "kind", "place"),
    [
        pytest.param([FIRST], "missing_before", f"{SECOND}", id="the first file"),
        pytest.param([SECOND], "deleted", "audit.jsonl:1", id="a file in between"),
        pytest.param(["audit.jsonl"], "missing_after", SECOND, id="the last file"),
        pytest.param(["audit.two.jsonl"], "missing_instance", "audit.jsonl:", id="an instance"),
        pytest.param([FIRST, SECOND, "audit.jsonl"], "missing_instance", "audit.two.jsonl:", id="the other instance"),
    ],
)
def test_a_missing_file_is_noticed(
    trail: Path, check: Callable[..., Findings], gone: list[str], kind: str, place: str
) -> None:
    for name in gone:
        (trail / name).unlink()
    found = check(trail)
    assert kind in kinds(found)
    told = next(problem for problem in found.problems if problem.kind == kind)
    assert str(told).startswith(f"{trail}/{place}")


def test_a_writer_that_rotates_right_now_is_waited_for(trail: Path, check: Callable[..., Findings]) -> None:
    away = (trail / "audit.jsonl").rename(trail / "away")
    assert check(trail, pause=lambda: away.rename(trail / "audit.jsonl")).intact


def test_what_is_older_than_what_is_kept_is_not_missed(trail: Path, check: Callable[..., Findings]) -> None:
    (trail / FIRST).unlink()
    assert check(trail, since="2027-01-15T08:00:02.500Z").intact
    assert kinds(check(trail, since="2027-01-15T08:00:02.000Z")) == ["missing_before"]


def test_a_chain_that_was_followed_by_a_new_one_long_ago_is_not_missed(
    trail: Path, check: Callable[..., Findings]
) -> None:
    """Its writer was killed while it rotated, or the file was deleted and somebody knows."""
    (trail / "audit.jsonl").unlink()
    assert kinds(check(trail, since="2027-02-01T00:00:00.000Z")) == ["missing_after"]
    Writer(trail, "four", at=NOW + 3600).calls(3)
    assert kinds(check(trail, since="2027-01-15T08:30:00.000Z")) == ["missing_after"]
    assert check(trail, since="2027-01-15T09:30:00.000Z").intact


def test_an_instance_that_ended_before_is_not_missed(trail: Path, check: Callable[..., Findings]) -> None:
    (trail / "audit.two.jsonl").unlink()
    assert check(trail, since="2028-01-01T00:00:00.000Z").intact


def test_what_was_there_at_the_last_verification_must_be_there_still(
    trail: Path, check: Callable[..., Findings]
) -> None:
    heads = heads_of(check(trail))
    assert {head.instance for head in heads} == {"three", "two"}
    Writer(trail, "four", at=NOW + 900).calls(3)
    assert check(trail, heads=heads).intact, "it may go on"
    path = trail / "audit.two.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines_of(path)[:13]))
    assert check(trail).intact, "cut off right behind a checkpoint: alone, the trail cannot show it"
    assert kinds(check(trail, heads=heads)) == ["missing_remembered"]
    path.unlink()
    assert "missing_remembered" in kinds(check(trail, heads=heads))
    assert "missing_remembered" not in kinds(check(trail, heads=heads, since="2028-01-01T00:00:00.000Z"))
    assert kinds(check(trail, heads=[Head("five", 3, "0" * 64, "2027-01-15T08:00:00.000Z")]))[-1:] == [
        "missing_remembered"
    ]


@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([b'{"event":"call"', b'"sequence":1,', b"}", b"\n"]), max_size=12)
)
def test_anything_else_is_no_trail_and_no_error(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("trail") / "audit.jsonl"
    Writer(path.parent, "one", every=None).calls(1)
    path.write_bytes(path.read_bytes() + b"#\n" + b"".join(parts))
    assert not verify([path]).intact


# --- the key ----------------------------------------------------------------------------------------------------------


def test_a_whole_chain_made_up_is_not_signed(trail: Path, check: Callable[..., Findings]) -> None:
    Writer(trail, "evil", name="audit.evil.jsonl", every=None).calls(3)
    found = check(trail)
    assert kinds(found) == ["unsigned"]
    assert "audit.evil.jsonl" in str(found.problems[0])


@pytest.mark.parametrize("kept", [5, 18], ids=["its beginning", "all of it"])
def test_a_chain_that_stands_there_twice_is_a_copy(trail: Path, check: Callable[..., Findings], kept: int) -> None:
    lines = lines_of(trail / "audit.two.jsonl")
    (trail / "audit.zwei.jsonl").write_bytes(b"".join(line + b"\n" for line in lines[:kept]))
    found = check(trail)
    assert kinds(found) == ["inserted"]
    assert str(found.problems[0]).startswith(f"{trail}/audit.zwei.jsonl: number 1 of instance two was read already")


@pytest.mark.parametrize("name", ["audit2.jsonl", "other.jsonl", "audit-2.jsonl", "0.jsonl"])
def test_a_copy_under_any_name_is_found(trail: Path, check: Callable[..., Findings], name: str) -> None:
    (trail / name).write_bytes((trail / "audit.two.jsonl").read_bytes())
    assert kinds(check(trail)) == ["inserted"]


def test_another_key_is_not_the_key(
    tmp_path: Path, check: Callable[..., Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    other = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    monkeypatch.setattr("written.KEY", other)
    Writer(tmp_path, "one").calls(3)
    found = check(tmp_path / "audit.jsonl")
    assert kinds(found) == ["bad_signature", "unsigned"]
    assert found.problems[0].place.line == 2


def test_a_chain_computed_anew_without_the_key_is_found(tmp_path: Path, check: Callable[..., Findings]) -> None:
    """What the hash chain alone cannot show."""
    Writer(tmp_path, "one").calls(9)
    path = tmp_path / "audit.jsonl"
    forged = rechained(path, lambda lines: [line for number, line in enumerate(lines) if number != 4])
    path.write_bytes(forged)
    assert verify([path]).intact
    found = check(path)
    assert found.problems[0].kind == "bad_signature"


@pytest.mark.parametrize("content", [b"", b"hunter2", KEY], ids=["nothing", "text", "a private key"])
def test_what_is_no_public_key_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "not-a-key.pem"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not-a-key\.pem is not an Ed25519 public key in PEM"):
        load_public_keys([path])


def rechained(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """What an attacker without the key can do: change lines, and number and chain everything anew."""
    made, previous = [], b"null"
    for number, line in enumerate(change(lines_of(path)), 1):
        line = re.sub(
            rb'"sequence":[0-9]+,"previous":(null|"[^"]*")', b'"sequence":%d,"previous":%b' % (number, previous), line
        )
        previous = b'"sha256:%b"' % hash_of(line)
        made.append(line + b"\n")
    return b"".join(made)
