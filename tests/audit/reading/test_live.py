"""Reading a trail while its writers go on, and rotate it many times a second."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import Tell
from signing import KEY, PUBLIC_PEM

from doorward.audit.reading.follow import Follower, last_entries
from doorward.audit.reading.verify import load_public_keys, verify

WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from trails import record
from doorward.audit import Trail
from doorward.settings import Audit, AuditSink, Checkpoint, Secret
path, name, key = sys.argv[2:]
checkpoint = Checkpoint(Secret(open(key, "rb").read()), every=20)
trail = Trail(Audit(sinks=[AuditSink(path, max_bytes=40_000)], checkpoint=checkpoint))
print("open", flush=True)
number = 0
while not sys.stdin.closed:
    trail.write(record(name, request_id=f"{name}-{number}"))
    number += 1
    if number % 20 == 0:
        import select
        if select.select([sys.stdin], [], [], 0.002)[0]:
            break
trail.close()
print(number, flush=True)
"""


class Writers:
    """Two processes on one trail."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.path = directory / "trail" / "audit.jsonl"
        self.path.parent.mkdir()
        self.key = directory / "key.pub"
        self.key.write_bytes(PUBLIC_PEM)
        (directory / "key").write_bytes(KEY)
        given = [str(Path(__file__).parents[2]), str(self.path)]
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, *given, name, str(directory / "key")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in ("one", "two")
        ]
        for process in self._processes:
            stack.callback(process.wait, 30)
            stack.callback(process.kill)
            stack.enter_context(process)
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
        time.sleep(0.1)  # the first records and their signature

    def stop(self) -> int:
        """How many records they wrote."""
        return sum(int(process.communicate("stop\n", timeout=30)[0]) for process in self._processes)


@contextmanager
def writers(directory: Path) -> Iterator[Writers]:
    with ExitStack() as stack:
        yield Writers(directory, stack)


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is open cannot be renamed there")
def test_a_trail_that_is_written_and_rotated_is_intact_at_any_moment(tmp_path: Path, tell: Tell) -> None:
    with writers(tmp_path) as writing:
        keys = load_public_keys([writing.key])
        sizes = []
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            found = verify([writing.path], public_keys=keys)
            assert [str(problem) for problem in found.problems] == []
            sizes.append(found.lines)
        count = writing.stop()
        assert verify([writing.path], public_keys=keys).intact
    tell(f"{len(sizes)} verifications while {count:,} records went into {found.files} files")
    assert sizes == sorted(sizes)


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is open cannot be renamed there")
def test_who_follows_it_sees_every_record_once(tmp_path: Path) -> None:
    def calls(members: dict[str, object]) -> bool:
        return members["event"] == "call"

    with writers(tmp_path) as writing:
        entries, files = last_entries([writing.path], 1_000_000, calls)
        follower = Follower([writing.path], files, calls)
        until = time.monotonic() + 0.7
        while time.monotonic() < until:
            entries += follower.poll()
        count = writing.stop()
        entries += follower.poll()
        follower.close()
    seen = [entry.members["request_id"] for entry in entries]
    assert len(seen) == len(set(seen)) == count
