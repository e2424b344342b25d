"""``doorward check``: what a configuration does, and what in it will fail at the first call, without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from agents import AgentsFile
from cli.commanding import here

GOOD = """\
resource = "https://mcp.example.com/mcp"

[[issuer]]
url = "https://auth.example.com"
algorithms = ["ES256"]
max_token_lifetime = "24h"

[[tool]]
match = "*"
scopes = ["read"]
"""

ENDS = {
    "good": (GOOD, 0, "no problems found"),
    "a note": (GOOD.replace('max_token_lifetime = "24h"', ""), 0, "note      unbounded_lifetime: issuer https://auth"),
    "a problem": (GOOD.replace('"*"', '"read_?"'), 1, "problem   match_never_fits: [[tool]] match = 'read_?'"),
    "refused": (GOOD + '\n[limits]\norganization = ["1/minute"]\n', 1, "organization_claim: is missing: [limits]"),
    "shadowed": (GOOD + '\n[[tool]]\nmatch = "a"\nscopes = []\n', 1, "doorward.toml:13: [[tool]] match: 'a' can never"),
    "not TOML": ("resource", 1, "doorward.toml:1: "),
    "no secret": (GOOD + '\n[audit]\nkey = { env = "NOT_SET" }\n', 1, "no environment variable of that name is set"),
    "no agents": (GOOD + '\n[agents]\nfile = "agents.toml"\n', 1, "[agents] file: "),
}


@pytest.mark.parametrize(("text", "code", "words"), ENDS.values(), ids=ENDS)
def test_it_ends_by_what_it_found(tmp_path: Path, text: str, code: int, words: str) -> None:
    (tmp_path / "doorward.toml").write_text(text)
    done = here("check", "--config", "doorward.toml", at=tmp_path)
    assert (done.code, words in done.out + done.err) == (code, True), done


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    done = here("check", at=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: doorward.toml cannot be read: ")


def test_it_makes_no_file_and_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "doorward.toml").write_text(GOOD + '\n[audit]\npath = "audit.jsonl"\n')
    assert here("check", at=tmp_path).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["doorward.toml"]


def test_agents_are_compared_with_the_rules(tmp_path: Path) -> None:
    AgentsFile(tmp_path / "agents.toml").create(scopes=["raed"])
    (tmp_path / "doorward.toml").write_text(GOOD + '\n[agents]\nfile = "agents.toml"\n')
    done = here("check", "--json", at=tmp_path)
    found = json.loads(done.out)
    assert done.code == 1
    assert found["facts"]["agents"].startswith("1 in ")
    assert [each["code"] for each in found["problems"]] == ["scope_without_rule"]
    assert found["problems"][0]["message"].endswith("which no rule asks for; did you mean read?")
