"""One trail of each schema that a release has written, as that release wrote it: this one reads them all.

`schemas/schema-0.jsonl` has no number: the first releases wrote none. `schemas/changing.jsonl` was continued twice by a
later release, so that its schema changes in the middle of the file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from doorward.audit.reading.verify import verify
from doorward.audit.record import SCHEMA

pytest.importorskip("typer")

from typer.testing import CliRunner

from doorward.cli.audit import app

SCHEMAS = Path(__file__).parent / "schemas"
TRAILS = {**{f"schema-{number}.jsonl": 1 for number in range(SCHEMA + 1)}, "changing.jsonl": SCHEMA + 1}
"""How many processes wrote each trail. All made the same five calls."""

each_trail = pytest.mark.parametrize(("name", "processes"), TRAILS.items(), ids=TRAILS)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, env={"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"})
    assert done.exit_code == 0, (done.stdout, done.exception)
    return done.stdout


def test_the_trails_are_of_the_schemas_that_they_are_named_after() -> None:
    found = {name: re.findall(r'"schema":(\d+)', (SCHEMAS / name).read_text()) for name in TRAILS}
    numbered = [str(number) for number in range(1, SCHEMA + 1)]
    assert found == {"schema-0.jsonl": [], "changing.jsonl": numbered} | {f"schema-{n}.jsonl": [n] for n in numbered}


@each_trail
def test_verify_finds_it_intact(name: str, processes: int) -> None:
    found = verify([SCHEMAS / name])
    assert found.intact, found.problems
    assert found.lines == 6 * processes


@each_trail
def test_verify_finds_a_change_in_each_line(name: str, processes: int, tmp_path: Path) -> None:
    lines = (SCHEMAS / name).read_bytes().splitlines(keepends=True)
    path = tmp_path / "audit.jsonl"
    for number in range(len(lines) - 1):  # nothing vouches for the last line yet
        changed = lines[number].replace(b'"timestamp":"2', b'"timestamp":"1', 1)
        path.write_bytes(b"".join([*lines[:number], changed, *lines[number + 1 :]]))
        assert verify([path]).changed, number


@each_trail
def test_report_counts_its_calls(name: str, processes: int) -> None:
    pytest.importorskip("duckdb")
    made = json.loads(run("report", str(SCHEMAS / name), "--json"))
    assert (made["calls"], made["denials"], made["unreadable"]) == (5 * processes, 3 * processes, 0)
    assert made["results"] == {
        **dict.fromkeys(("success", "tool_error", "denied_rate", "denied_policy", "denied_auth"), processes)
    }


@each_trail
def test_tail_shows_its_records(name: str, processes: int) -> None:
    shown = [line.split() for line in run("tail", str(SCHEMAS / name)).splitlines()]
    assert [line[1] for line in shown] == [
        *("start", "success", "tool_error", "denied_rate", "denied_policy", "denied_auth")
    ] * processes
    narrowed = run("tail", str(SCHEMAS / name), "--tool", "delete_*", "--client", "agent-7")
    assert len(narrowed.splitlines()) == processes
