"""Signed checkpoints: when one is due, what it signs, and whom it names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from signing import KEY, PUBLIC_KEY, checkpoints
from trails import record

from doorward.audit.chain import Chain
from doorward.audit.checkpoints import CONTEXT, Checkpoints, key_id
from doorward.audit.names import TrailName, instances_beside, names_of
from doorward.settings import Checkpoint, Secret

NOW = 1_800_000_000.0


def test_a_checkpoint_signs_its_own_line_and_with_it_the_chain() -> None:
    chain = Chain("i-1")
    before = chain.seal(record("a"))
    line = checkpoints().after(chain, at=NOW)
    assert line is not None
    made = json.loads(line)
    assert list(made)[-5:] == ["beside", "instance", "sequence", "previous", "signature"]
    assert (made["event"], made["sequence"], made["signing_key"]) == ("checkpoint", 2, "2026-11")
    assert made["timestamp"] == "2027-01-15T08:00:00.000Z"
    signed, _, _ = line.partition(b',"signature":"')
    PUBLIC_KEY.verify(bytes.fromhex(made["signature"]), CONTEXT + signed)  # raises where it does not
    assert json.loads(chain.seal(record("b")))["previous"] != made["previous"]
    assert json.loads(before)["sequence"] == 1


def test_it_has_every_member_of_a_record() -> None:
    chain = Chain("i-1")
    call = json.loads(chain.seal(record()))
    line = checkpoints().after(chain, at=NOW)
    assert line is not None
    assert set(call) < set(json.loads(line))


@pytest.mark.parametrize(
    ("every", "seconds", "at", "numbers"),
    [
        pytest.param(1000, 60.0, [0, 0, 0], [0], id="the first record of a process is signed at once"),
        pytest.param(2, 60.0, [0, 0, 0, 0, 0], [0, 2, 4], id="after so many records"),
        pytest.param(1000, 60.0, [0, 59.9, 60, 61, 120], [0, 2, 4], id="after so many seconds"),
        pytest.param(1000, 60.0, [100, 99, 99.5], [0, 1], id="when the clock went back"),
        pytest.param(1, 60.0, [0, 0], [0, 1], id="after every record"),
    ],
)
def test_when_one_is_due(every: int, seconds: float, at: list[float], numbers: list[int]) -> None:
    chain, made = Chain("i-1"), checkpoints(every=every, seconds=seconds)
    signed = []
    for number, offset in enumerate(at):
        chain.seal(record())
        if made.after(chain, at=NOW + offset) is not None:
            signed.append(number)
    assert signed == numbers


def test_a_timer_signs_what_has_nothing_behind_it() -> None:
    chain, made = Chain("i-1"), checkpoints()
    assert not made.due(NOW)
    for _ in range(2):
        chain.seal(record())
        made.after(chain, at=NOW)
    assert not made.due(NOW + 59)
    assert made.due(NOW + 60)
    assert made.now(chain, at=NOW + 60) is not None
    assert made.now(chain, at=NOW + 60) is None
    assert not made.due(NOW + 600)


def test_a_key_without_an_id_is_known_by_its_hash() -> None:
    chain = Chain("i-1")
    chain.seal(record())
    line = Checkpoints(Checkpoint(key=Secret(KEY))).after(chain, at=NOW)
    assert line is not None
    assert json.loads(line)["signing_key"] == key_id(PUBLIC_KEY)


@pytest.mark.parametrize("pem", [b"hunter2", b"-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----"])
def test_a_key_that_cannot_sign_is_refused_and_not_repeated(pem: bytes) -> None:
    with pytest.raises(ValueError, match=r"^key must be an Ed25519 key in PEM") as refused:
        Checkpoints(Checkpoint(key=Secret(pem)))
    assert "hunter2" not in str(refused.value)


# --- the others of a directory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("audit.jsonl", TrailName(None, None)),
        ("audit.ab12.jsonl", TrailName("ab12", None)),
        ("audit.ab12.20261120T213000123456Z.jsonl", TrailName("ab12", "20261120T213000123456Z")),
        ("audit.jsonl.gz", None),
        ("audit..jsonl", None),
        ("audit.a b.jsonl", None),
        ("other.jsonl", None),
        ("audit-2.jsonl", None),
        ("audit.ab12.2026Z.jsonl", None),
    ],
)
def test_what_a_name_says(name: str, says: TrailName | None) -> None:
    assert names_of(Path("/log/audit.jsonl"), name) == says


def test_who_writes_beside(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(Chain("main").seal(record()))
    for name in ("audit.one.jsonl", "audit.old.jsonl", "audit.self.jsonl", "audit.two.20261120T213000123456Z.jsonl"):
        (tmp_path / name).write_bytes(b"{}")
        os.utime(tmp_path / name, (NOW, NOW))
    os.utime(path, (NOW, NOW))
    os.utime(tmp_path / "audit.old.jsonl", (NOW - 1, NOW - 1))
    (tmp_path / "audit.killed.jsonl").touch()
    assert instances_beside(path, instance="self", since=NOW) == ("main", "one")
    assert instances_beside(tmp_path / "none" / "audit.jsonl", instance="self", since=0) == ()


def test_a_checkpoint_names_them() -> None:
    asked: list[float] = []

    def beside(since: float) -> tuple[str, ...]:
        asked.append(since)
        return ("one", "two")

    chain, made = Chain("i-1"), checkpoints(every=1, beside=beside)
    for later in (0, 5):
        chain.seal(record())
        line = made.after(chain, at=NOW + later)
        assert line is not None
        assert json.loads(line)["beside"] == ["one", "two"]
    assert asked == [NOW - 86_400, NOW], "those that lived since the checkpoint before, at first within a day"
