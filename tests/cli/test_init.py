"""``doorward init``, as somebody runs it whose server has no rules yet; and what it proposes for any names at all."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from adapters.serving import listening, served, url_of
from cli.commanding import HERE, SHOPS, here, in_a_process
from cli.shop import TOOLS, shop
from guarded import Guarded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doorward import Gate, ResourceRule, ToolRule
from doorward.cli.init.proposing import sections
from doorward.cli.init.writing import Settings, written
from doorward.cli.servers.catalogue import Catalogue, Item
from doorward.config import load, load_rules
from doorward.policy import Policy
from doorward.uris import is_disguised

SNAPSHOT = HERE / "first.toml"
GIVEN = ("--issuer", "https://auth.example.com", "--resource", "https://mcp.example.com/mcp")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the server lies and the file is to be."""
    for name in SHOPS:
        shutil.copy(HERE / name, tmp_path)
    return tmp_path


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_the_one_that_a_person_has_read(home: Path) -> None:
    done = in_a_process("init", "shop:shop", *GIVEN, at=home)
    assert done.code == 0, done.err
    if os.environ.get("DOORWARD_SNAPSHOT"):
        SNAPSHOT.write_text((home / "doorward.toml").read_text())
    assert (home / "doorward.toml").read_text() == SNAPSHOT.read_text()
    assert done.out == ""


def test_a_gate_starts_with_it_as_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here("init", "shop:shop", *GIVEN, "--audit", "stdout", at=home)
    gate = Gate.from_file(home / "doorward.toml")
    assert "allowed" in str(gate.explain("find_order", scopes=["mcp:read"]))
    assert "refused" in str(gate.explain("add_order", scopes=["mcp:read"]))
    assert "asking spends" in str(gate.explain("purge_orders", scopes=["mcp:write"]))
    assert "no rule" in str(gate.explain("glob*", scopes=["mcp:write"]))
    gate.close()


def test_without_issuer_and_resource_nothing_starts_until_they_are_filled_in(home: Path) -> None:
    done = here("init", "shop:shop", at=home)
    assert "fill in before a server starts with it: resource, issuer" in done.err
    with pytest.raises(ValueError, match=r"resource: is missing|url: is missing"):
        load(home / "doorward.toml")


def test_everybody_may_read_it_and_nobody_else_write_it(home: Path) -> None:
    here("init", "shop:shop", at=home)
    assert (home / "doorward.toml").stat().st_mode & 0o777 == 0o644


def test_a_file_that_is_there_stays_without_force(home: Path) -> None:
    (home / "doorward.toml").write_text("mine")
    done = here("init", "shop:shop", at=home)
    assert done.code == 2
    assert "--force replaces it" in done.err
    assert (home / "doorward.toml").read_text() == "mine"
    assert here("init", "shop:shop", "--force", at=home).code == 0
    assert "find_order" in (home / "doorward.toml").read_text()
    assert {path.name for path in home.iterdir() if path.is_file()} == {*SHOPS, "doorward.toml"}


def test_to_the_standard_output_goes_the_file_alone(home: Path) -> None:
    done = here("init", "shop:shop", "--output", "-", *GIVEN, at=home)
    assert done.out == SNAPSHOT.read_text()
    assert not (home / "doorward.toml").exists()


def test_the_scopes_are_those_that_the_issuer_knows(home: Path) -> None:
    here("init", "shop:shop", "--read-scope", "orders:r", "--write-scope", "orders:w", at=home)
    loaded = load_rules(home / "doorward.toml")
    assert loaded["scopes"] == {"orders:w": ("orders:r",)}
    assert {scope for rule in loaded["tools"] for scope in rule.scopes} == {"orders:r", "orders:w"}


# --- the server -------------------------------------------------------------------------------------------------------

NAMES = {
    "an object of a module": ["shop:shop"],
    "the app that the gate has made of it": ["shop_app:app"],
    "a file and an object": ["shop.py:shop"],
    "a file, and one of the usual names in it": ["shop_app.py"],
    "a command": ["--command", f"{sys.executable} shop.py"],
}


@pytest.mark.parametrize("named", NAMES.values(), ids=NAMES)
def test_a_server_is_named_as_elsewhere(home: Path, named: list[str]) -> None:
    done = here("init", *named, at=home)
    assert done.code == 0, done.err
    loaded = load_rules(home / "doorward.toml")
    assert {"find_order", "add_order", "mystery"} <= {rule.match for rule in loaded["tools"]}
    assert [rule.match for rule in loaded["resources"]] == [
        "shop://orders",
        "shop://orders/*/items/*",
        "shop://orders/*",
    ]
    assert [rule.match for rule in loaded["prompts"]] == ["greet"]


def test_every_page_of_a_list_is_read(home: Path) -> None:
    here("init", "shop:lowlevel", at=home)
    assert [rule.match for rule in load_rules(home / "doorward.toml")["tools"]] == ["page_0", "page_1", "page_2"]


def test_a_server_that_wants_its_callers_token_at_the_start_is_read_without_one(home: Path) -> None:
    (home / "local.py").write_text(
        "import doorward\nfrom shop import shop\n"
        "server = doorward.Gate.from_file('doorward.toml').protect_stdio(shop)\n"
        "if __name__ == '__main__':\n    server.run('stdio')\n"
    )
    done = here("init", "local.py", at=home)
    assert done.code == 0, done.err
    assert "find_order" in (home / "doorward.toml").read_text()


@pytest.mark.parametrize("name", ["fastmcp_shop:mcp", "fastmcp_shop:app", "fastmcp_shop.py"])
def test_what_is_mounted_and_what_asks_for_scopes_of_its_own_is_there_too(home: Path, name: str) -> None:
    pytest.importorskip("fastmcp")
    done = here("init", name, at=home)
    assert done.code == 0, done.err
    assert [rule.match for rule in load_rules(home / "doorward.toml")["tools"]] == ["cellar_look", "hidden"]


def test_a_server_that_runs_is_asked_over_http_with_a_token(tmp_path: Path, guarded: Any) -> None:
    with listening() as listener:
        rules = [ToolRule("find_*", scopes=["read"]), ToolRule("add_*", scopes=["write"])]
        it: Guarded = guarded(resource=url_of(listener), tools=rules)
        it.now = time.time()
        with served(it.gate.protect(shop), listener):
            named = ("--url", it.gate.resource)
            token = it.token("read")
            done = here("init", *named, "--token-env", "SHOP_TOKEN", at=tmp_path, SHOP_TOKEN=token)
            refused = here("init", *named, "--force", at=tmp_path, DOORWARD_TOKEN=token)
    assert done.code == 0, done.err
    assert [rule.match for rule in load_rules(tmp_path / "doorward.toml")["tools"]] == ["find_order"]
    assert refused.code == 2
    assert "no token was sent: --token-env NAME sends the one" in refused.err


MISTAKES = {
    "no server": ([], "name one server"),
    "two": (["shop:shop", "--url", "http://127.0.0.1:1/mcp"], "name one server"),
    "no object": (["shop"], "write module:object"),
    "no such module": (["shoop:shop"], "there is no module 'shoop'"),
    "no such file": (["shoop.py"], "there is no file shoop.py"),
    "no such object": (["shop:shopp"], "shop has no 'shopp'"),
    "no server of either SDK": (["shop_app:gate"], "name the server itself"),
    "a module that fails": (["broken:x"], "broken cannot be imported: ZeroDivisionError"),
    "a module that ends the process": (["ending:x"], "ending cannot be imported: SystemExit"),
    "nobody there": (["--url", "http://127.0.0.1:1/mcp"], "cannot be read"),
    "no such program": (["--command", "./nothing-of-that-name"], "cannot be read"),
    "no command": (["--command", ""], "is no command"),
    "a resource that is none": (["shop:shop", "--resource", "mcp.example.com"], "is not a URL"),
    "an issuer that is none": (["shop:shop", "--issuer", "auth"], "--issuer"),
    "one scope for both": (["shop:shop", "--read-scope", "mcp:write"], "must be two"),
}


@pytest.mark.parametrize(("arguments", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_what_to_do(home: Path, arguments: list[str], told: str) -> None:
    (home / "broken.py").write_text("1 / 0\n")
    (home / "ending.py").write_text("raise SystemExit('bye')\n")
    done = here("init", *arguments, at=home)
    assert (done.code, told in done.err) == (2, True), done.err
    assert "Traceback" not in done.err
    assert not (home / "doorward.toml").exists()


# --- any names at all -------------------------------------------------------------------------------------------------

# Hints and names that collide, share prefixes, hold stars, quotes, newlines and what no message can spell.
hints = st.sampled_from([None, True, False])
words = st.sampled_from(
    ["db_", "db.", "purge_", "a", "b", "*", "/", '"', "\\", "\n", "#", "\u202e", "\U0001f600", "\ud800"]
)
tool_names = st.one_of(st.lists(words, max_size=5).map("".join), st.text(max_size=12), st.just("x" * 300))
tools = st.builds(Item, st.just("tool"), tool_names, hints, hints)
segments = st.sampled_from(["a", "b", "/", "{x}", "{+y*}", "{", "*", "..", "%41", "A"])
uris = (
    st.lists(segments, max_size=5).map(lambda parts: "x://" + "".join(parts)) | st.just("{all}") | st.text(max_size=9)
)
others = st.builds(Item, st.sampled_from(["resource", "template", "prompt"]), uris)


def proposed(tmp_path: Path, catalogue: Catalogue) -> Policy:
    """The policy of the file that is written for the catalogue, read as a server would."""
    chosen = Settings("https://mcp.example.com/mcp", "https://auth.example.com")
    path = tmp_path / "doorward.toml"
    path.write_text(written(catalogue.server, sections(catalogue), chosen, command="x\x7f\n\udc80:y"), encoding="utf-8")
    arguments = load(path)
    rules = [*arguments.get("tools", ()), *arguments.get("resources", ()), *arguments.get("prompts", ())]
    return Policy(rules, arguments["scopes"])


@given(st.lists(tools | others, max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_names_make_a_file_that_gives_each_what_it_needs(tmp_path: Path, items: list[Item]) -> None:
    catalogue = Catalogue.of("any\nserver\u202e", items)
    policy = proposed(tmp_path, catalogue)
    for tool in catalogue.of_kind("tool"):
        rules = policy.rules_governing("tool", tool.name)
        if "*" in tool.name:
            assert all(rule.confirm for rule in rules), "only a group of the strictest may reach it"
        for rule in rules:
            assert rule.scopes == (("mcp:read",) if tool.effect == "read" else ("mcp:write",))
            assert rule.confirm is (tool.effect == "destroy")
        if not rules and "*" not in tool.name:
            assert _can_never_be_called(tool.name)
    for item in (*catalogue.of_kind("resource"), *catalogue.of_kind("prompt")):
        if "*" not in item.name and not _can_never_be_called(item.name) and not is_disguised(item.name):
            assert [rule.scopes for rule in policy.rules_governing(item.kind, item.name)] == [("mcp:read",)]
    listed = {tool.name for tool in catalogue.of_kind("tool")}
    for rule in policy.rules:
        if isinstance(rule, ToolRule):
            assert (rule.match in listed) is ("*" not in rule.match)
            assert rule.confirm or "*" not in rule.match
        if isinstance(rule, ResourceRule):
            assert not rule.match.startswith("*")


def _can_never_be_called(name: str) -> bool:
    return (
        not name or len(name.encode(errors="surrogatepass")) > 256 or any("\ud800" <= each <= "\udfff" for each in name)
    )


def test_a_group_is_of_the_strictest_alone(tmp_path: Path) -> None:
    def wiping(*names: str, **also: bool | None) -> list[str]:
        items = [Item("tool", name, destructive=True) for name in names]
        items += [Item("tool", name, destructive=hint) for name, hint in also.items()]
        return sorted(rule.match for rule in proposed(tmp_path, Catalogue.of("s", items)).rules)

    assert wiping("db_wipe_a", "db_wipe_b", "db_wipe_c") == ["db_*"]
    assert wiping("db_wipe_a", "db_wipe_b", "db_wipe_c", db_add=False) == ["db_add", "db_wipe_*"]
    assert wiping("db_wipe_a", "db_wipe_b") == ["db_wipe_a", "db_wipe_b"]
    assert wiping("db_wipe_a", "db_wipe_b", "db_wipe_c", db_wipe_d=None) == [f"db_wipe_{each}" for each in "abcd"]


def test_of_two_versions_the_one_that_may_do_more_counts() -> None:
    versions = [
        Item("tool", "t", read_only=True),
        Item("tool", "t", destructive=True),
        Item("tool", "t", read_only=True),
    ]
    [tool] = Catalogue.of("s", versions).items
    assert tool.effect == "destroy"


def test_each_tool_of_the_shop_is_what_it_says() -> None:
    items = [
        Item(
            "tool", name, None if said is None else said.read_only_hint, None if said is None else said.destructive_hint
        )
        for name, said in TOOLS.items()
    ]
    assert {item.name: (item.effect, item.is_told) for item in items} == {
        "find_order": ("read", True),
        "add_order": ("write", True),
        "purge_orders": ("destroy", True),
        "purge_customers": ("destroy", True),
        "purge_carts": ("destroy", True),
        "mystery": ("destroy", False),
        "change": ("destroy", False),
        "glob*": ("read", True),
        'say "hi"\n': ("write", True),
    }
