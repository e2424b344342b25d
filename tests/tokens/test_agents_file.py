"""The file of agents: what its changes do, and what a bad one does not do."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agents import NOW, AgentsFile
from hypothesis import given
from hypothesis import strategies as st

from doorward.errors import Unauthenticated
from doorward.settings import Agents
from doorward.tokens.agents import AgentTokens
from doorward.tokens.agents_file import Agent, Hash, parse, render


@pytest.fixture
def agents(tmp_path: Path) -> AgentsFile:
    return AgentsFile(tmp_path / "agents.toml")


def code(tokens: AgentTokens, token: str, *, now: float) -> str | None:
    """Why a token is refused, or None where it is not."""
    try:
        tokens.verify(token, now=now)
    except Unauthenticated as refused:
        return refused.code
    return None


# --- the file changes -------------------------------------------------------------------------------------------------


def test_a_change_is_seen_within_a_second_and_outdates_what_was_remembered(agents: AgentsFile) -> None:
    token = agents.create()
    tokens = agents.tokens()
    remembered = tokens.verify(token, now=NOW)
    agents.revoke(now=NOW)
    assert code(tokens, token, now=NOW + 0.9) is None
    assert code(tokens, token, now=NOW + 1.0) == "token_revoked"
    assert not remembered.holds(now=NOW + 0.5, certificate_sha256=None)


def test_what_is_remembered_asks_again_when_the_next_look_is_due(agents: AgentsFile) -> None:
    token = agents.create()
    remembered = agents.tokens().verify(token, now=NOW)
    assert remembered.holds(now=NOW + 0.9, certificate_sha256=None)
    assert not remembered.holds(now=NOW + 1.0, certificate_sha256=None)
    assert not remembered.holds(now=NOW - 3600, certificate_sha256=None), "the clock was set back"


def test_a_new_agent_disturbs_nobody(agents: AgentsFile) -> None:
    token = agents.create()
    tokens = agents.tokens()
    verified = tokens.verify(token, now=NOW)
    other = agents.create("other")
    assert code(tokens, other, now=NOW + 1) is None
    assert not verified.standing.withdrawn


@pytest.mark.parametrize(
    ("change", "withdrawn", "lives"),
    [
        pytest.param(lambda agents: agents.rotate("changed", now=NOW, overlap=60), [], 60, id="rotated"),
        pytest.param(lambda agents: agents.rotate("changed", now=NOW, overlap=0), ["changed"], None, id="no overlap"),
        pytest.param(lambda agents: agents.revoke("changed", now=NOW), ["changed"], None, id="revoked"),
        pytest.param(
            lambda agents: agents.path.write_text("# nobody\n"), ["changed", "other"], None, id="all taken out"
        ),
        pytest.param(
            lambda agents: agents.path.write_text(agents.path.read_text().replace("tools:read", "tools:none", 1)),
            ["changed"],
            None,
            id="other scopes",
        ),
    ],
)
def test_a_change_withdraws_the_tokens_that_it_is_about_and_no_others(
    agents: AgentsFile, change: Callable[[AgentsFile], object], withdrawn: list[str], lives: float | None
) -> None:
    issued = {name: agents.create(name) for name in ("changed", "other")}
    tokens = agents.tokens()
    verified = {name: tokens.verify(token, now=NOW) for name, token in issued.items()}
    change(agents)
    tokens.keep_up(NOW + 1)
    assert [name for name, each in verified.items() if each.standing.withdrawn] == withdrawn
    if lives is not None:
        assert verified["changed"].standing.good_until == NOW + lives


def test_a_token_that_was_rotated_holds_until_its_overlap_ends(agents: AgentsFile) -> None:
    token = agents.create()
    tokens = agents.tokens()
    agents.rotate(now=NOW, overlap=60)
    tokens.keep_up(NOW + 1)
    verified = tokens.verify(token, now=NOW + 1)
    agents.rotate(now=NOW, overlap=60)
    assert verified.holds(now=NOW + 1.5, certificate_sha256=None)
    tokens.keep_up(NOW + 2)
    assert verified.standing.withdrawn, "a second rotation ends the token before the last"


def test_the_file_is_looked_at_once_a_second_at_most(agents: AgentsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    token = agents.create()
    tokens = agents.tokens()
    looks: list[object] = []
    stat = Path.stat

    def looking(path: Path, **given: Any) -> Any:
        looks.append(path)
        return stat(path, **given)

    monkeypatch.setattr(Path, "stat", looking)
    tokens.verify(token, now=NOW)
    before = len([path for path in looks if path == agents.path])
    for step in range(100):
        tokens.verify(token, now=NOW + step / 101)
    assert len([path for path in looks if path == agents.path]) == before == 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda good: good[: len(good) // 2], id="half written"),
        pytest.param(lambda good: b"", id="truncated"),
        pytest.param(lambda good: good + good, id="an id twice"),
        pytest.param(lambda good: good.replace(b"scopes", b"scope"), id="an unknown key"),
        pytest.param(lambda good: b"\xff" + good, id="not UTF-8"),
        pytest.param(lambda good: b"[" * 100_000, id="nested"),
        pytest.param(lambda good: good + b"#" * 1024 * 1024, id="too large"),
    ],
)
def test_a_bad_file_never_replaces_a_good_one(
    agents: AgentsFile, content: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    token = agents.create()
    alarms: list[str] = []
    tokens = agents.tokens(alarm=alarms.append)
    good = agents.path.read_bytes()
    agents.path.write_bytes(content(good))
    for step in range(1, 4):
        assert code(tokens, token, now=NOW + step) is None
    assert alarms == ["agents_file_unreadable"], "told once"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert str(agents.path) in caplog.text
    assert "nightly" not in caplog.text
    agents.path.write_bytes(good)
    agents.revoke(now=NOW)
    assert code(tokens, token, now=NOW + 5) == "token_revoked", "and once it is good again it counts"


def test_a_file_that_goes_away_goes_on_to_count(agents: AgentsFile) -> None:
    token = agents.create()
    alarms: list[str] = []
    tokens = agents.tokens(alarm=alarms.append)
    agents.path.unlink()
    assert code(tokens, token, now=NOW + 1) is None
    assert alarms == ["agents_file_unreadable"]


def test_two_changes_within_one_tick_of_the_file_system_are_both_seen(agents: AgentsFile) -> None:
    token = agents.create(scopes=["aaaa"])
    status = agents.path.stat()
    tokens = agents.tokens()
    text = agents.path.read_text()
    agents.path.write_text(text.replace("aaaa", "bbbb"))
    os.utime(agents.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert tokens.verify(token, now=NOW + 1).principal.scopes == ("bbbb",)


# --- a file that cannot be right at start -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        pytest.param(lambda text: text.replace("[[agent]]", "[[agent]"), ":3: not TOML", id="not TOML"),
        pytest.param(lambda text: text.replace("name =", "nmae ="), ":3: [[agent]]: unknown key nmae", id="a key"),
        pytest.param(lambda text: text.replace('id = "', 'id = "-'), ":3: [[agent]]: id must be", id="an id"),
        pytest.param(lambda text: text.replace("sha256:", "sha512:"), "hash must be", id="a hash"),
        pytest.param(lambda text: text.replace("Z\nhashes", "\nhashes"), "created must be", id="a local time"),
        pytest.param(lambda text: text.replace('"mcp:tools:read"', '"a b"'), "scopes must be", id="a scope"),
        pytest.param(lambda text: text.replace('"nightly"', '"night\\u001bly"'), "printable", id="a control character"),
        pytest.param(lambda text: f"version = 1\n{text}", "only [[agent]] may stand here", id="something else"),
        pytest.param(lambda text: text.replace("[[agent]]", "[agent]"), "array of tables", id="one table"),
    ],
)
def test_a_bad_file_is_an_error_that_names_file_and_line(
    agents: AgentsFile, broken: Callable[[str], str], told: str
) -> None:
    agents.create()
    agents.path.write_text(broken(agents.path.read_text()))
    with pytest.raises(ValueError, match="doorward tokens create") as error:
        agents.tokens()
    assert str(error.value).startswith(f"{agents.path}:")
    assert told in str(error.value)


def test_a_token_pasted_into_the_file_does_not_show_in_the_error(agents: AgentsFile) -> None:
    token = agents.create()
    text = agents.path.read_text()
    for place in ("mcp:tools:read", agents.agent().id, "nightly", "sha256:", "organization"):
        agents.path.write_text(text.replace(f"{place} =", f"{token} =").replace(place, token))
        assert token not in _complaint(agents)


def _complaint(agents: AgentsFile) -> str:
    try:
        agents.tokens()
    except ValueError as error:
        return "".join(traceback.format_exception_only(error))
    return ""


def test_a_missing_file_is_an_error_that_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothere\.toml: there is no such file .*doorward tokens create"):
        AgentTokens(Agents(str(tmp_path / "nothere.toml")))


def test_a_file_that_others_may_write_is_not_believed(agents: AgentsFile) -> None:
    token = agents.create()
    tokens = agents.tokens()
    agents.path.chmod(0o620)
    with pytest.raises(ValueError, match="chmod 600"):
        agents.tokens()
    with pytest.raises(ValueError, match="chmod 600"):
        agents.revoke(now=NOW)
    assert code(tokens, token, now=NOW + 1) is None


def test_a_file_that_everybody_may_read_is_worth_a_warning(
    agents: AgentsFile, caplog: pytest.LogCaptureFixture
) -> None:
    agents.create()
    agents.path.chmod(0o644)
    agents.tokens()
    assert "chmod 600" in caplog.text


def test_a_pipe_of_that_name_stops_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "agents.toml", 0o600)
    with pytest.raises(ValueError, match="not a regular file"):
        AgentTokens(Agents(str(tmp_path / "agents.toml")))


# --- written and read -------------------------------------------------------------------------------------------------

printable = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128).filter(str.isprintable)
instants = st.integers(0, 250_000_000_000).map(float)
hashes = st.builds(Hash, digest=st.binary(min_size=32, max_size=32), created=instants, expires=instants)
agents_of_any_kind = st.builds(
    Agent,
    id=st.from_regex(r"[0-9a-z]{12}", fullmatch=True),
    name=printable,
    scopes=st.lists(st.from_regex(r"[!#-\[\]-~]{1,9}", fullmatch=True), unique=True, max_size=4).map(tuple),
    organization=st.none() | printable,
    created=instants,
    hashes=st.lists(hashes, min_size=1, max_size=2, unique_by=lambda each: each.digest).map(tuple),
    revoked=st.none() | instants,
)


@given(agents_of_any_kind)
def test_what_is_written_is_read_as_it_was(agent: Agent) -> None:
    assert parse(render([agent])) == (agent,)


@given(st.binary(max_size=200))
def test_any_bytes_are_agents_or_an_error(data: bytes) -> None:
    try:
        parse(b"[[agent]]\n" + data)
    except ValueError:
        return
    raise AssertionError("an agent out of nothing")
