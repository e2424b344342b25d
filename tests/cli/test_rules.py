"""``doorward rules``: what a server has, beside the rules that somebody wrote for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cli.commanding import HERE, SHOPS, here, in_a_process

RULES = """\
[[tool]]
match = "find_*"
scopes = ["read"]
limit = ["600/minute", { rate = "2000/day", strict = true, mode = "observe" }]
total_limit = ["6000/minute"]
concurrency = 4
cost = 2

[[tool]]
match = "purge_*"
scopes = ["write", "admin"]
confirm = true

[[tool]]
match = "add_order"
scopes = []
mode = "observe"

[[tool]]
match = "gone"
scopes = ["read"]

[[resource_rule]]
match = "shop://orders/1/*"
scopes = ["read"]

[[resource_rule]]
match = "shop://orders/*"
scopes = ["write"]

[[prompt]]
match = "gr\\u0065*"
scopes = []

[[method]]
match = "tools/list"
scopes = ["read"]
"""

SECRETS = """
[[issuer]]
url = "https://auth.example.com"
algorithms = ["ES256"]
introspection = { url = "https://auth.example.com/i", client_id = "mcp", secret = { env = "NOT_SET_HERE" } }

[limits]
store = { env = "NOT_SET_HERE_EITHER" }
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the server lies, and the rules."""
    for name in SHOPS:
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "doorward.toml").write_text(RULES)
    return tmp_path


def governed(home: Path, *arguments: str) -> dict[str, Any]:
    """What ``--json`` says."""
    done = here("rules", "shop:shop", "--json", *arguments, at=home)
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_each_thing_stands_beside_the_rule_that_governs_it(home: Path) -> None:
    found = {item["name"]: [rule["match"] for rule in item["rules"]] for item in governed(home)["items"]}
    assert found == {
        "find_order": ["find_*"],
        "add_order": ["add_order"],
        "purge_orders": ["purge_*"],
        "purge_customers": ["purge_*"],
        "purge_carts": ["purge_*"],
        "mystery": [],
        "change": [],
        "glob*": [],
        'say "hi"\n': [],
        "shop://orders": [],
        # A template stands for many resources, and more than one rule may govern some of them.
        "shop://orders/{id}": ["shop://orders/1/*", "shop://orders/*"],
        "shop://orders/{id}/items/{item}": ["shop://orders/1/*", "shop://orders/*"],
        "greet": ["gre*"],
    }


def test_a_rule_is_told_whole(home: Path) -> None:
    found = governed(home)
    [first] = next(item["rules"] for item in found["items"] if item["name"] == "find_order")
    assert first == {
        "table": "tool",
        "match": "find_*",
        "scopes": ["read"],
        "limit": ["600/minute", "2000/day strict"],
        "total_limit": ["6000/minute"],
        "cost": 2,
        "concurrency": 4,
        "confirm": False,
        "mode": "enforce",
    }
    assert [rule["match"] for rule in found["idle"]] == ["gone"], "and no rule for a method"


def test_people_get_a_table(home: Path) -> None:
    done = in_a_process("rules", "shop_app:app", at=home)
    assert done.code == 0, done.err
    rows = {row.split()[1]: " ".join(row.split()) for row in done.out.splitlines() if row.startswith("tool ")}
    assert rows["find_order"] == (
        "tool find_order reads find_* read"
        " 600/minute, 2000/day strict (observed), 6000/minute in total, 2 each, 4 at once enforce"
    )
    assert rows["purge_carts"] == "tool purge_carts destroys purge_* write admin yes enforce"
    assert rows["add_order"] == "tool add_order writes add_order none observe"
    assert rows["mystery"] == "tool mystery nothing NONE: nobody can call it"
    assert 'tool say "hi"\\n writes NONE' in " ".join(done.out.split()), "a name is no part of the table"
    assert "13 names, 5 of them without a rule" in done.out
    assert "governs nothing here: [[tool]] match = gone" in done.out


def test_looking_opens_no_trail_and_needs_no_secret(home: Path) -> None:
    (home / "doorward.toml").write_text(RULES + SECRETS)
    before = sorted(home.iterdir())
    assert in_a_process("rules", "shop_app:app", at=home).code == 0
    assert [path for path in sorted(home.iterdir()) if path.name != "__pycache__"] == before


CODED = """
import doorward
from shop import shop

gate = doorward.Gate(
    resource="https://mcp.example.com/mcp",
    issuers=[doorward.Issuer("https://auth.example.com", ["ES256"])],
    tools=[doorward.ToolRule("*_order", scopes=["code"])],
    audit=doorward.Audit(path="audit.jsonl"),
)
gate.protect(shop)
"""


def test_a_gate_that_is_made_in_code_has_its_rules_there(home: Path) -> None:
    (home / "coded.py").write_text(CODED)
    found = {
        item["name"]: item["rules"] for item in json.loads(here("rules", "coded:shop", "--json", at=home).out)["items"]
    }
    assert [rule["match"] for rule in found["find_order"]] == ["*_order"]
    named = here("rules", "coded:shop", "--json", "--config", "doorward.toml", at=home)
    found = {item["name"]: item["rules"] for item in json.loads(named.out)["items"]}
    assert [rule["match"] for rule in found["find_order"]] == ["find_*"]


def test_a_module_may_run_an_event_loop_of_its_own(home: Path) -> None:
    (home / "looping.py").write_text("import asyncio\nfrom shop import shop\nasyncio.run(asyncio.sleep(0))\n")
    assert here("rules", "looping:shop", at=home).code == 0


@pytest.mark.parametrize(
    ("added", "dropped", "code"),
    [("", "", 1), ('[[tool]]\nmatch = "*"\nscopes = []\n', "", 1), ("", 'match = "gone"', 1), (None, "", 0)],
    ids=["both", "a rule that governs nothing", "names without a rule", "neither"],
)
def test_strict_is_for_a_pipeline(home: Path, added: str | None, dropped: str, code: int) -> None:
    text = RULES.replace(dropped, 'match = "mystery"') if dropped else RULES
    if added is None:
        here("init", "shop:shop", "--force", at=home)
        text = (home / "doorward.toml").read_text()
        text += '[[tool]]\nmatch = "glob*"\nscopes = ["mcp:read"]\n'
    (home / "doorward.toml").write_text(text + (added or ""))
    assert here("rules", "shop:shop", "--strict", at=home).code == code
    assert here("rules", "shop:shop", at=home).code == 0


def test_what_init_writes_governs_everything_but_what_it_left_to_a_person(home: Path) -> None:
    here("init", "shop:shop", "--force", at=home)
    found = governed(home)
    assert [item["name"] for item in found["items"] if not item["rules"]] == ["glob*"]
    assert found["idle"] == []


MISTAKES = {
    "no file": ([], None, "`doorward init` writes a first one"),
    "an unknown key": ([], '[[tool]]\nmatch = "x"\nscope = []\n', "doorward.toml:3: [[tool]] scope: unknown key"),
    "a rule that can never match": (
        [],
        '[[tool]]\nmatch = "*"\nscopes = []\n[[tool]]\nmatch = "x"\nscopes = []\n',
        "doorward.toml:5: [[tool]] match: 'x' can never match",
    ),
    "another file": (["--config", "other.toml"], RULES, "other.toml cannot be read"),
}


@pytest.mark.parametrize(("arguments", "text", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_what_to_do(home: Path, arguments: list[str], text: str | None, told: str) -> None:
    (home / "doorward.toml").unlink()
    if text is not None:
        (home / "doorward.toml").write_text(text)
    done = here("rules", "shop:shop", *arguments, at=home)
    assert done.code == 2
    assert told in done.err
