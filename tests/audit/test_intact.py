"""What really happened to a trail is not tampering: verification passes whatever kills, several processes, rotation and
a full disk leave behind, with every checkpoint that the writing side made."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from audit.test_kill import killed
from signing import KEY, PUBLIC_PEM
from trails import no_file_longer_than, record, records_in

from doorward.audit import Trail
from doorward.audit.reading.findings import Findings
from doorward.audit.reading.verify import load_public_keys, verify
from doorward.settings import Audit, AuditSink, Checkpoint, Secret

MODES = ["buffered", "written", "durable"]
CHECKPOINT = Checkpoint(Secret(KEY), every=20)
BESIDE = str(Path(__file__).parents[1])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "trail"
    made.mkdir()
    return made


def verified(directory: Path) -> Findings:
    key = directory.parent / "key.pem"
    key.write_bytes(PUBLIC_PEM)
    found = verify([directory], public_keys=load_public_keys([key]))
    assert [str(problem) for problem in found.problems] == []
    return found


PROCESS = f"""
import sys; sys.path.insert(0, {BESIDE!r})
from pathlib import Path
from trails import record
from doorward.audit import Trail
from doorward.settings import Audit, AuditSink, Checkpoint, Secret
path, name, durability, key = sys.argv[1:]
sink = AuditSink(path, max_bytes=30_000)
checkpoint = Checkpoint(Secret(Path(key).read_bytes()), every=20)
trail = Trail(Audit(sinks=[sink], durability=durability, checkpoint=checkpoint))
for number in range(150):
    trail.write(record(f"{{name}}-{{number}}"))
trail.close()
"""


@pytest.mark.parametrize("durability", MODES)
def test_several_processes_that_rotate(directory: Path, durability: str) -> None:
    path, key = str(directory / "audit.jsonl"), directory.parent / "private.pem"
    key.write_bytes(KEY)
    for _ in range(2):  # the second ones come upon what the first ones left
        command = [sys.executable, "-c", PROCESS, path]
        processes = [subprocess.Popen([*command, name, durability, str(key)]) for name in "ab"]
        assert [process.wait(60) for process in processes] == [0, 0]
    found = verified(directory)
    assert sum(chain.checkpoints for chain in found.chains) >= 4 * 7
    assert [chain.behind_last_checkpoint for chain in found.chains] == [0] * len(found.chains)
    assert [chain.lost for chain in found.chains] == [0] * len(found.chains)


@pytest.mark.parametrize("durability", MODES)
def test_kills(directory: Path, durability: str) -> None:
    path = directory / "audit.jsonl"
    for _ in range(2):
        killed(path, durability, after=0.1)
    found = verify([directory])
    assert [str(problem) for problem in found.problems] == []
    unknown = sum(chain.unknown_outcomes.count for chain in found.chains)
    calls = {line["request_id"] for line in records_in(path, "call")}
    intents = {line["request_id"] for line in records_in(path, "intent")}
    assert unknown == len(intents - calls)


@pytest.mark.parametrize("durability", MODES)
def test_a_full_disk_that_cost_records(directory: Path, durability: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("doorward.audit.direct.MAX_WAITING_BYTES", 10_000)
    monkeypatch.setattr("doorward.audit.threaded.MAX_QUEUED", 10)
    path = directory / "audit.jsonl"
    trail = Trail(Audit(str(path), durability=durability, checkpoint=CHECKPOINT))
    trail.write(record("before"))
    trail.flush()
    with no_file_longer_than(path.stat().st_size + 100):
        for number in range(200):
            trail.write(record(f"tool-{number}"))
        assert trail.dropped > 0
    deadline = time.monotonic() + 10
    while trail.waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    trail.close()
    [chain] = verified(directory).chains
    assert chain.lost == trail.dropped


def test_the_last_records_are_signed_though_none_comes_behind_them(directory: Path) -> None:
    path = directory / "audit.jsonl"
    for durability in ("written", "buffered"):
        trail = Trail(
            Audit(str(path), durability=durability, checkpoint=Checkpoint(Secret(KEY), every=1000, seconds=1))
        )
        trail.write(record("a"))
        deadline = time.monotonic() + 10
        while records_in(path)[-1]["event"] != "checkpoint":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        trail.close()
    verified(directory)


def test_a_copy_for_somebody_else_has_a_chain_of_its_own(directory: Path) -> None:
    other = directory.parent / "other"
    other.mkdir()
    places = [AuditSink(str(directory / "audit.jsonl")), AuditSink(str(other / "audit.jsonl"))]
    trail = Trail(Audit(sinks=places, checkpoint=CHECKPOINT))
    for number in range(50):
        trail.write(record(f"tool-{number}"))
    trail.close()
    verified(directory)
    verified(other)
