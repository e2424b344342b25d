"""The official conformance suite from npm, run against one URL; what it says is read from the files it leaves."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Final

from interop.npm import MODULES, NODE

__all__ = ["REVISIONS", "Checks", "start", "verdict"]

REVISIONS: Final = ("2025-11-25", "2026-07-28")
"""For each the suite has a frozen list of the scenarios that a server needs to pass."""

_PROGRAM: Final = MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
_SUITE_SECONDS: Final = 240
"""Of which ten are usual."""

_TIME: Final = re.compile(r"-\d{4}-\d\d-\d\dT.*")
"""What the suite appends to a scenario's name for the folder of its results."""

Checks = dict[str, list[tuple[str, str]]]
"""By scenario: each check it made, and how that ended."""


def start(url: str, revision: str, results: Path) -> subprocess.Popen[bytes]:
    """Begin to run what the revision requires, and what the suite reports without scoring."""
    results.mkdir(parents=True)
    with (results / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [NODE, _PROGRAM, "server", "--url", url, "--requirements", revision, "-o", results],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def verdict(suite: subprocess.Popen[bytes], results: Path) -> Checks:
    """Wait for the end, and read every check of every scenario."""
    try:
        suite.wait(_SUITE_SECONDS)
    finally:
        suite.kill()
    found: Checks = {}
    for path in sorted(results.glob("**/checks.json")):
        scenario = _TIME.sub("", path.parent.name.removeprefix("server-"))
        found[scenario] = [(check["id"], check["status"]) for check in json.loads(path.read_text())]
    return found
