"""``doorward demo``, as a newcomer runs it."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

import doorward

ATTEMPTS = {
    "a good call": "200",
    "the same, older protocol": "200",
    "a broader scope": "200",
    "no token": "401",
    "a forged signature": "401",
    "a token for another server": "401",
    "an expired token": "401",
    "a missing scope": "403",
    "a call no rule allows": "403",
    "a runaway loop": "429",
    "the loop again": "200",
}


def test_every_outcome_is_the_expected_one_and_a_pipe_gets_plain_text() -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "doorward", "demo"], capture_output=True, text=True, timeout=120, check=False
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert f"({doorward.IMPLEMENTATION} core)" in demo.stdout
    for attempt, status in ATTEMPTS.items():
        [row] = [line for line in demo.stdout.splitlines() if line.startswith((f"{attempt} ", f"{attempt},"))]
        assert f" {status} " in row
        assert row.endswith("yes")
    assert demo.stdout.isascii(), "no colours, no frames"
    assert max(map(len, demo.stdout.splitlines())) > 150, "nothing is wrapped or cut"


@pytest.mark.parametrize(
    ("port", "problem"),
    [
        (None, "port {} cannot be had: Address already in use: name another one, or none, and"),
        (99_999, "--port must be from 0 to 65535"),
        (-1, "--port must be from 0 to 65535"),
    ],
    ids=["busy", "too large", "negative"],
)
def test_a_port_that_cannot_be_had_is_told_in_one_line(port: int | None, problem: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = port if port is not None else busy.getsockname()[1]
        command = [sys.executable, "-m", "doorward", "demo", "--port", str(port)]
        demo = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (demo.returncode, demo.stdout) == (2, "")
    assert demo.stderr.startswith(f"error: {problem.format(port)}")
    assert demo.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_ends_nothing() -> None:
    command = f"{sys.executable} -m doorward demo | head -n 1; exit ${{PIPESTATUS[0]}}"
    demo = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert (demo.returncode, demo.stderr) == (0, "")
