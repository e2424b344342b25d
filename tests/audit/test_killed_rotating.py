"""A process that is killed within a rotation, at every one of its steps: nothing that was answered is lost, nothing
looks as if somebody had deleted it, and whoever comes next goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from signing import KEY, PUBLIC_PEM
from trails import names_in, record

from doorward.audit import Trail
from doorward.audit.reading.follow import last_entries
from doorward.audit.reading.verify import load_public_keys, verify
from doorward.audit.sinks import FileSink, rotation
from doorward.settings import Audit, AuditSink, Checkpoint, Secret

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be killed so there")

VICTIMS = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from trails import record
from doorward.audit import Trail
from doorward.audit.sinks import FileSink
from doorward.settings import Audit, AuditSink, Checkpoint, Secret

directory, durability, links = sys.argv[2:]
with open(os.path.join(directory, "key"), "rb") as file:
    checkpoint = Checkpoint(Secret(file.read()), every=20)
write, fork, kill = os.write, os.fork, os.kill

def say(*words):
    write(1, (" ".join(map(str, words)) + "\\n").encode())

def live(step):
    left, rotating = step, False

    def dying(system):
        def call(*given, **named):
            nonlocal left
            left -= rotating
            if left < 0:
                kill(os.getpid(), signal.SIGKILL)
            return system(*given, **named)
        return call

    for name in ("open", "fchmod", "write", "link", "rename", "replace", "close", "fsync", "fdatasync", "unlink"):
        setattr(os, name, dying(getattr(os, name)))
    if links == "none":
        def no_links(*given, **named):
            raise PermissionError(1, "Operation not permitted")
        os.link = no_links
    rotate, rotations = FileSink._rotate, 0

    def rotate_watched(sink, data):
        nonlocal rotating, rotations
        rotating = rotations == 1
        try:
            return rotate(sink, data)
        finally:
            rotating = False
            rotations += 1

    FileSink._rotate = rotate_watched
    path = os.path.join(directory, str(step), "audit.jsonl")
    os.mkdir(os.path.dirname(path))
    place = AuditSink(path, max_bytes=12_000)
    trail = Trail(Audit(sinks=[place], durability=durability, checkpoint=checkpoint))
    number = 0
    while rotations < 3:
        trail.write(record(f"tool-{number}"))
        trail.flush()
        say(step, f"tool-{number}")
        number += 1
    os._exit(0)

for step in range(100):
    child = fork()
    if child == 0:
        live(step)
    if os.waitpid(child, 0)[1] == 0:
        say("lived", step)
        break
"""


class Victims:
    """Trails whose writers were killed in their second rotation, each one system call later than the one before; the
    last of them lived."""

    def __init__(self, directory: Path, *, durability: str = "written", links: str = "all") -> None:
        (directory / "key").write_bytes(KEY)
        (directory / "key.pub").write_bytes(PUBLIC_PEM)
        self._keys = load_public_keys([directory / "key.pub"])
        self.durability = durability
        given = [str(Path(__file__).parents[1]), str(directory), durability, links]
        done = subprocess.run(
            [sys.executable, "-c", VICTIMS, *given], capture_output=True, text=True, check=True, timeout=100
        )
        said = [line.split() for line in done.stdout.splitlines()]
        *_, (lived, last) = said
        assert lived == "lived", done.stderr
        self.steps = range(int(last) + 1)
        self.paths = [directory / str(step) / "audit.jsonl" for step in self.steps]
        self.answered = [[name for of, name in said if of == str(step)] for step in self.steps]

    def problems(self, path: Path) -> list[str]:
        return [str(found) for found in verify([path], public_keys=self._keys, pause=lambda: None).problems]

    def go_on(self, path: Path) -> None:
        """The next process."""
        place = AuditSink(str(path), max_bytes=12_000)
        trail = Trail(Audit(sinks=[place], durability=self.durability, checkpoint=Checkpoint(Secret(KEY), every=20)))
        for number in range(60):
            trail.write(record(f"next-{number}"))
        trail.close()


def names_read(path: Path) -> list[str]:
    """Of the calls that a reader finds, in the order of their numbers."""
    entries, _ = last_entries([path], 10_000, lambda members: members["event"] == "call")
    return [entry.members["tool_name"] for entry in sorted(entries, key=lambda entry: entry.sequence)]


def left_behind(path: Path) -> list[str]:
    """Files that are of no trail, and names of files that have another."""
    return [file.name for file in path.parent.iterdir() if file.suffix != ".jsonl" or file.stat().st_nlink > 1]


@pytest.mark.parametrize("durability", ["buffered", "written", "durable"])
def test_killed_at_every_step_of_a_rotation(tmp_path: Path, durability: str) -> None:
    it = Victims(tmp_path, durability=durability)
    assert len(it.steps) > 6
    left = []
    for path, answered in zip(it.paths, it.answered, strict=True):
        assert it.problems(path) == []
        before = names_read(path)
        assert set(answered) <= set(before)
        assert len(before) == len(set(before)) <= len(answered) + 1
        left += left_behind(path)
        it.go_on(path)
        assert it.problems(path) == []
        assert left_behind(path) == []
        assert names_read(path) == [*before, *(f"next-{number}" for number in range(60))]
    assert {name.rpartition(".")[2] for name in left} == {"next", "jsonl"}  # both kinds were there to be swept away


def test_a_newer_file_that_was_deleted_is_still_missed(tmp_path: Path) -> None:
    it = Victims(tmp_path)
    deleted = 0
    for path in it.paths:
        newest = max(path.parent.glob("*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
        if newest == path and newest.stat().st_nlink == 1:
            deleted += 1
            path.write_bytes(b"")
            (problem,) = it.problems(path)
            assert "the file after this one is missing" in problem
    assert deleted > 2


def test_without_hard_links_a_kill_between_two_names_leaves_a_gap_and_no_other_does(tmp_path: Path) -> None:
    it = Victims(tmp_path, links="none")
    gaps = 0
    for path, answered in zip(it.paths, it.answered, strict=True):
        if not path.exists():
            gaps += 1
            path.touch()
            assert ["the file after this one is missing" in problem for problem in it.problems(path)] == [True]
        else:
            assert it.problems(path) == []
        it.go_on(path)
        assert set(answered) <= {name for file in path.parent.glob("*.jsonl") for name in names_in(file)}
    assert gaps == 1


@pytest.mark.parametrize("every", [1, 7, 1000])
@pytest.mark.parametrize("durability", ["buffered", "written", "durable"])
def test_a_rotated_file_ends_with_its_checkpoint(tmp_path: Path, durability: str, every: int) -> None:
    path = tmp_path / "audit.jsonl"
    checkpoint = Checkpoint(Secret(KEY), every=every)
    for _ in range(2):  # the second one goes on where the first one ended
        trail = Trail(
            Audit(sinks=[AuditSink(str(path), max_bytes=12_000)], durability=durability, checkpoint=checkpoint)
        )
        for number in range(60):
            trail.write(record(f"tool-{number}"))
            if number % 5 == 0:
                trail.flush()
        trail.close()
    rotated = [file for file in tmp_path.iterdir() if file != path]
    assert len(rotated) > 3
    for file in [*rotated, path]:
        assert file.read_bytes().splitlines()[-1].startswith(b'{"event":"checkpoint"')
        assert file.stat().st_size <= 12_000
    # Whoever takes a file's end away takes its signature, whatever is gone behind it.
    last = max(rotated, key=lambda file: file.name)
    last.write_bytes(last.read_bytes().replace(b"tool-", b"fool-"))
    path.unlink()
    last.rename(path)
    (tmp_path / "key.pub").write_bytes(PUBLIC_PEM)
    assert not verify([path], public_keys=load_public_keys([tmp_path / "key.pub"]), pause=lambda: None).intact


def test_what_another_process_is_about_to_go_on_in_is_not_swept_away(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    descriptor, begun = rotation.begin(path, "other")
    (tmp_path / ".audit.jsonl.dead.next").write_bytes(b"of a process that is gone")
    FileSink(str(path), "mine").close()
    assert sorted(file.name for file in tmp_path.iterdir()) == [begun.name, path.name]
    os.close(descriptor)
