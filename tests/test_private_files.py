"""Files that are written whole or not at all, whoever writes and whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from agents import AgentsFile
from conftest import Proof, Tell

from doorward import private_files
from doorward.tokens import agents_file

WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from agents import AgentsFile
agents = AgentsFile(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(10_000):
    agents.create(f"{{sys.argv[2]}}-{{number}}")
    print(number, flush=True)
"""

DYING = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from agents import AgentsFile
from doorward import private_files
from doorward.tokens import agents_file
path = Path(sys.argv[1])
AgentsFile(path).create("first")

def die_at(step):
    def trace(frame, event, argument):
        nonlocal step
        if frame.f_code.co_filename != private_files.__file__:
            return None
        step -= event == "line"
        if step < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    return trace

for step in range(1000):
    before = agents_file.read(path)
    if not (child := os.fork()):
        sys.settrace(die_at(step))
        AgentsFile(path).create(str(step))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    after = agents_file.read(path)
    assert after[:len(before)] == before and len(after) - len(before) in (0, 1), step
    if not os.WIFSIGNALED(status):
        break
print(step)
"""


def writer(path: Path, name: str) -> subprocess.Popen[str]:
    """A process that adds agents until it is killed."""
    source = WRITER.format(tests=str(Path(__file__).parent))
    return subprocess.Popen([sys.executable, "-c", source, str(path), name], stdout=subprocess.PIPE, text=True)


def test_a_file_is_replaced_as_a_whole_with_mode_0600(tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = os.umask(0)
    try:
        private_files.replace(path, [b"one"])
    finally:
        os.umask(before)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"one", 0o600)
    inode = path.stat().st_ino
    private_files.replace(path, [b"two"])
    assert path.read_bytes() == b"two"
    assert path.stat().st_ino != inode
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_server_that_reads_it_by_its_group_goes_on_to_do_so(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o660)
    private_files.replace(path, [b""])
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_file_that_root_changes_stays_its_owner_s(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(mode=0o600)
    os.chown(path, 12345, 23456)
    private_files.replace(path, [b""])
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)
    with pytest.raises(ValueError, match="belongs to another user"):
        private_files.read(path)
    assert private_files.read(path, anybodys=True)[0] == b""


def test_behind_a_link_the_file_is_replaced_and_not_the_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    private_files.replace(tmp_path / "link", [b"one"])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"one"


def test_where_it_cannot_be_written_nothing_changes_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    private_files.replace(path, [b"one"])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        private_files.replace(path, [b"two"])
    assert path.read_bytes() == b"one"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_two_writers_at_once_lose_nothing(tmp_path: Path, proof: Proof) -> None:
    count = proof("changes by each of four writers", small=10, large=100)
    agents = AgentsFile(tmp_path / "agents.toml")

    def write(writer: int) -> None:
        for number in range(count):
            agents.create(f"{writer}-{number}")

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(agents_file.read(agents.path)) == 4 * count


def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path: Path, proof: Proof) -> None:
    path = tmp_path / "agents.toml"
    for number in range(proof("writers killed", small=4, large=200)):
        process = writer(path, str(number))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.002 + number % 17 / 1000)
        process.send_signal(signal.SIGKILL)
        told = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        names = {agent.name for agent in agents_file.read(path)}
        # Whatever was reported as done is there; one more may be.
        assert names >= {f"{number}-{done}" for done in told}
        if len(names) > 300:
            path.unlink()
    AgentsFile(path).create("after all of them")
    assert {each.name for each in tmp_path.iterdir()} == {"agents.toml", ".agents.toml.lock"}


def test_a_writer_that_dies_at_any_line_leaves_a_whole_file(tmp_path: Path, tell: Tell) -> None:
    source = DYING.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", source, str(tmp_path / "agents.toml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    deaths = int(done.stdout)
    tell(f"a writer died at each of {deaths} lines")
    assert deaths > 20
    assert {each.name for each in tmp_path.iterdir()} == {"agents.toml", ".agents.toml.lock"}
