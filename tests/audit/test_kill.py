"""What each mode promises when the process dies: it is killed at random moments, and the trail compared with what its
client saw."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Proof
from trails import check_chain, lines_of, records_in

from doorward.audit import Trail
from doorward.audit.threaded import INTERVAL_SECONDS
from doorward.settings import Audit

TESTS = Path(__file__).parents[1]
SLACK_SECONDS = 0.6
"""For a thread to get its turn on a machine that is busy."""


def killed(path: Path, durability: str, *, after: float) -> list[list[str]]:
    """What a client saw of a server that was killed so long after its first answer."""
    with subprocess.Popen(
        [sys.executable, str(TESTS / "victim.py"), str(path), durability],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))},
        stdout=subprocess.PIPE,
        bufsize=0,  # what a buffer read ahead would come in behind what is read past it
    ) as victim:
        assert victim.stdout is not None
        seen = victim.stdout.readline()
        timer = time.monotonic() + after
        while time.monotonic() < timer:
            seen += os.read(victim.stdout.fileno(), 65_536)
        victim.kill()
        seen += victim.stdout.read()
    # What the kill cut short was never seen.
    return [line.split() for line in seen.decode().split("\n")[:-1]]


@pytest.mark.parametrize("durability", ["buffered", "written", "durable"])
def test_the_promise_is_kept_by_a_process_that_is_killed(
    tmp_path: Path, durability: str, proof: Proof, seed: int
) -> None:
    moments = random.Random(seed)
    for number in range(proof("kills", small=5, large=100)):
        path = tmp_path / f"{number}.jsonl"
        seen = killed(path, durability, after=moments.uniform(0.0, 0.3) + (0.9 if durability == "buffered" else 0.0))
        answered = {int(words[1]): float(words[2]) for words in seen if words[0] == "answered"}
        ran = {int(words[1]) for words in seen if words[0] == "ran"}
        recorded = {record["rpc_id"] for record in records_in(path, "call")}
        intended = {record["rpc_id"] for record in records_in(path, "intent")}
        assert [words for words in seen if words[0] == "refused"] == []
        if durability == "buffered":
            last = max(answered.values(), default=0.0)
            owed = {rpc_id for rpc_id, at in answered.items() if at < last - INTERVAL_SECONDS - SLACK_SECONDS}
            assert owed
        else:
            owed = set(answered)
        assert owed <= recorded
        if durability == "durable":
            assert ran <= intended
            assert recorded <= intended
        # Whoever comes next goes on behind whatever the kill left: at most a line that it cut, whose number is taken.
        Trail(Audit(str(path))).close()
        cut = len(lines_of(path)) - len(records_in(path))
        assert cut <= 1
        assert len(check_chain(path)) == cut
