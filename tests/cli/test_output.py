"""A terminal that is not UTF-8, a reader that has gone and a full disk: none of them is a verdict."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from trails import record
from written import a_trail

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}

SERVER = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("shop")
server.tool(name="l\\u00f6schen")(lambda: "x")
"""


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    (tmp_path / "trail").mkdir()
    a_trail(tmp_path / "trail")
    return tmp_path / "trail"


def run(
    *arguments: str, at: Path, stdout: int = subprocess.PIPE, environment: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "doorward", *arguments],
        cwd=at,
        env={**os.environ, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_name_beyond_ascii_is_shown_as_an_escape(tmp_path: Path) -> None:
    pytest.importorskip("mcp.server.mcpserver")
    (tmp_path / "shop.py").write_text(SERVER)
    (tmp_path / "doorward.toml").write_text('[[tool]]\nmatch = "*"\nscopes = []\n')
    done = run("rules", "shop:server", "--config", "doorward.toml", at=tmp_path, environment=ASCII)
    assert done.returncode == 0, done.stderr
    assert "l\\xf6schen" in done.stdout


def test_tail_shows_such_a_name_too(tmp_path: Path) -> None:
    line = record("l\u00f6schen") + ',"instance":"a","sequence":1,"previous":null}'
    (tmp_path / "audit.jsonl").write_text(f"{line}\n", encoding="utf-8")
    for options in ([], ["--json"]):
        done = run("audit", "tail", *options, "audit.jsonl", at=tmp_path, environment=ASCII)
        assert (done.returncode, "schen" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["a table", "JSON"])
def test_a_reader_that_has_gone_does_not_change_the_verdict(trail: Path, options: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run("audit", "verify", *options, str(trail), at=trail, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


COMMANDS = (["audit", "verify", "--json"], ["audit", "verify"], ["audit", "tail"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "command", [["audit", "verify", "--json"], ["audit", "verify"], ["audit", "tail"]], ids=" ".join
)
def test_an_output_that_cannot_be_written_is_no_verdict_either(trail: Path, command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(*command, str(trail), at=trail, stdout=full.fileno())
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: the standard output cannot be written: No space left on device"
