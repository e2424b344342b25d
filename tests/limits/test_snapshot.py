"""What was spent outlives the process: a day's budget does not begin anew with each restart."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from doorward import Charge, Limiter
from doorward.errors import Limited
from doorward.limits.snapshot import Snapshot

SECOND = 1_000_000_000
DAY = 86_400
CHARGE = Charge("client", "24/day")


class Server:
    """One life of a process that keeps its budgets in a file."""

    def __init__(self, file: Path, *, wall: float = 1_800_000_000.0, tick: int = 0) -> None:
        self.limiter = Limiter()
        self.wall, self.tick = wall, tick
        self.alarms: list[str] = []
        self.snapshot = Snapshot(
            str(file),
            self.limiter,
            max_keys=100_000,
            clock=lambda: self.wall,
            tick=lambda: self.tick,
            alarm=self.alarms.append,
        )

    def admitted(self, calls: int) -> int:
        """How many of so many calls at once go through."""
        return sum(self._is_admitted() for _ in range(calls))

    def _is_admitted(self) -> bool:
        try:
            self.limiter.admit(domain="acme", charges=[CHARGE], tick=self.tick)
        except Limited:
            return False
        return True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "budgets.snapshot"


@pytest.mark.parametrize(
    ("away", "left"),
    [
        pytest.param(0, 4, id="at once"),
        pytest.param(3600, 5, id="an hour later: a token more"),
        pytest.param(DAY, 24, id="a day later: all of them"),
        pytest.param(-3600, 4, id="by a clock that went back: none"),
    ],
)
def test_a_restart_gives_nothing_back_but_the_time_it_took(file: Path, away: int, left: int) -> None:
    before = Server(file)
    assert before.admitted(20) == 20
    before.snapshot.close()
    # The machine was restarted as well: its monotonic clock begins anew.
    after = Server(file, wall=before.wall + away, tick=7 * SECOND)
    assert after.admitted(30) == left
    assert after.alarms == []


def test_nobody_else_can_read_it(file: Path) -> None:
    Server(file)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:-1], id="torn"),
        pytest.param(lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:], id="a flipped bit"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"[limits]\n", id="another file"),
        pytest.param(lambda data: data + bytes(20_000_000), id="longer than any"),
    ],
)
def test_what_cannot_be_read_is_told_and_not_believed(file: Path, damage: Callable[[bytes], bytes]) -> None:
    before = Server(file)
    before.admitted(20)
    before.snapshot.close()
    file.write_bytes(damage(file.read_bytes()))
    after = Server(file)
    assert after.alarms == ["snapshot_unreadable"]
    assert after.admitted(30) == 24


def test_a_file_has_one_process(file: Path) -> None:
    server = Server(file)
    made = subprocess.run([sys.executable, "-c", OTHER, str(file)], capture_output=True, text=True, check=False)
    assert "is another process's: several workers share budgets through a store only" in made.stderr
    server.snapshot.close()
    made = subprocess.run([sys.executable, "-c", OTHER, str(file)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


OTHER = """
import sys, time, doorward
from doorward.limits.snapshot import Snapshot
Snapshot(sys.argv[1], doorward.Limiter(), max_keys=10, clock=time.time, tick=time.monotonic_ns, alarm=print)
"""


def test_a_file_that_can_never_be_written_is_a_mistake_at_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        Server(tmp_path / "missing" / "budgets.snapshot")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full, a disk that is always full")
def test_a_full_disk_is_told_once_and_the_old_file_stays(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(file)
    server.admitted(20)
    server.snapshot.save()
    kept = file.read_bytes()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))"
    told = subprocess.run(
        [sys.executable, "-c", limit + FULL, str(file.with_name("other"))], capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout) == ["snapshot_unwritable"]
    assert file.read_bytes() == kept


FULL = """
import json, signal, sys, time, doorward
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from doorward.limits.snapshot import Snapshot
alarms = []
try:
    Snapshot(sys.argv[1], doorward.Limiter(), max_keys=10, clock=time.time, tick=time.monotonic_ns, alarm=alarms.append)
except OSError:
    pass
print(json.dumps(alarms))
"""


def test_a_killed_process_forgets_no_more_than_since_the_last_snapshot(file: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    assert killed.returncode == -9
    assert Server(file, wall=1_800_000_000.0).admitted(30) == 24 - 10


KILLED = """
import os, signal, sys, doorward
from doorward.limits.snapshot import Snapshot
limiter = doorward.Limiter()
snapshot = Snapshot(sys.argv[1], limiter, max_keys=10, clock=lambda: 1_800_000_000.0, tick=lambda: 0, alarm=print)
for call in range(15):
    limiter.admit(domain="acme", charges=[doorward.Charge("client", "24/day")], tick=0)
    if call == 9:
        snapshot.save()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_ends_forgets_nothing(file: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", ""), str(file)], check=True
    )
    assert Server(file).admitted(30) == 24 - 15


def test_a_dropped_gate_leaves_no_thread_behind(file: Path) -> None:
    server = Server(file)
    assert any(thread.name == "doorward-snapshot" for thread in threading.enumerate())
    server.snapshot.close()
    del server
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "doorward-snapshot":
            thread.join(10)
    assert not any(thread.name == "doorward-snapshot" for thread in threading.enumerate())
    assert os.path.exists(file)
