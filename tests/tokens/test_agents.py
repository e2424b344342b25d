"""Agents: who a token makes its caller, when it stops, and what the file's changes do."""

from __future__ import annotations

import gc
import logging
import os
import random
import statistics
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from agents import DAY, NOW, AgentsFile
from conftest import Proof, Tell

from toolgate.errors import Unauthenticated
from toolgate.settings import Agents
from toolgate.tokens import agents_file
from toolgate.tokens.agent_tokens import AGENTS_ISSUER, new_id, new_token
from toolgate.tokens.agents import AgentTokens
from toolgate.tokens.last_use import last_use_file, last_uses


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


# --- who --------------------------------------------------------------------------------------------------------------


def test_a_token_makes_its_caller_the_agent(agents: AgentsFile) -> None:
    token = agents.create("nightly report", scopes=["b", "a"], organization="acme")
    agent = agents.agent("nightly report")
    principal = agents.tokens().verify(token, now=NOW).principal
    assert principal.issuer == AGENTS_ISSUER == "urn:toolgate:agents"
    assert (principal.subject, principal.client_id) == (agent.id, "nightly report")
    assert (principal.organization, principal.scopes) == ("acme", ("b", "a"))
    assert principal.expires_at == NOW + 30 * DAY
    assert principal.token_id == f"{agent.id}-{agent.hashes[0].digest.hex()[:8]}"


def test_a_token_of_no_agent_and_one_of_another_secret_are_refused_alike(agents: AgentsFile) -> None:
    agents.create()
    tokens = agents.tokens()
    assert code(tokens, new_token(new_id()), now=NOW) == "unknown_agent"
    assert code(tokens, new_token(agents.agent().id), now=NOW) == "unknown_agent"
    assert code(tokens, "toolgate_agent_x", now=NOW) == "malformed_token"


def test_the_hash_itself_is_no_token(agents: AgentsFile) -> None:
    agents.create()
    digest = agents.agent().hashes[0].digest.hex()
    assert code(agents.tokens(), f"toolgate_agent_{agents.agent().id}_{digest[:49]}", now=NOW) == "malformed_token"


def test_a_token_ends_when_it_says(agents: AgentsFile) -> None:
    token = agents.create(lifetime=DAY)
    tokens = agents.tokens()
    assert code(tokens, token, now=NOW + DAY - 0.001) is None
    assert code(tokens, token, now=NOW + DAY) == "token_expired"


def test_a_revoked_agent_is_told_so_and_nobody_else_is(agents: AgentsFile) -> None:
    token = agents.create()
    agents.revoke(now=NOW)
    tokens = agents.tokens()
    assert code(tokens, token, now=NOW) == "token_revoked"
    assert code(tokens, token, now=NOW + 365 * DAY) == "token_revoked"
    assert code(tokens, new_token(agents.agent().id), now=NOW) == "unknown_agent"


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_both_tokens_count_during_the_overlap_and_then_one(agents: AgentsFile) -> None:
    first = agents.create()
    second = agents.rotate(now=NOW + 10 * DAY, overlap=DAY)
    tokens = agents.tokens()
    assert [code(tokens, token, now=NOW + 11 * DAY - 1) for token in (first, second)] == [None, None]
    assert [code(tokens, token, now=NOW + 11 * DAY) for token in (first, second)] == ["token_expired", None]
    # The new one lives as long as the first was to.
    assert tokens.verify(second, now=NOW + 39 * DAY).principal.expires_at == NOW + 40 * DAY


def test_both_are_one_caller_with_one_budget_and_two_token_ids(agents: AgentsFile) -> None:
    first, second = agents.create(), agents.rotate(now=NOW)
    principals = [agents.tokens().verify(token, now=NOW).principal for token in (first, second)]
    assert principals[0].identity == principals[1].identity
    assert principals[0].token_id != principals[1].token_id


def test_without_overlap_the_one_before_ends_now(agents: AgentsFile) -> None:
    first = agents.create()
    second = agents.rotate(now=NOW + 1, overlap=0.0)
    tokens = agents.tokens()
    assert [code(tokens, token, now=NOW + 1) for token in (first, second)] == ["unknown_agent", None]


def test_an_overlap_never_prolongs_a_token(agents: AgentsFile) -> None:
    first = agents.create(lifetime=DAY)
    agents.rotate(now=NOW, overlap=7 * DAY)
    assert code(agents.tokens(), first, now=NOW + DAY) == "token_expired"


def test_of_three_tokens_the_two_newest_count(agents: AgentsFile) -> None:
    issued = [agents.create(), agents.rotate(now=NOW + 1), agents.rotate(now=NOW + 2)]
    tokens = agents.tokens()
    assert [code(tokens, token, now=NOW + 3) for token in issued] == ["unknown_agent", None, None]


def test_an_expired_agent_can_be_given_a_new_token(agents: AgentsFile) -> None:
    agents.create(lifetime=DAY)
    assert code(agents.tokens(), agents.rotate(now=NOW + 9 * DAY), now=NOW + 9 * DAY) is None


def test_a_revoked_agent_cannot(agents: AgentsFile) -> None:
    agents.create()
    agents.revoke(now=NOW)
    with pytest.raises(ValueError, match="create another"):
        agents.rotate(now=NOW)


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
    tokens.verify(token, now=NOW)
    generation = tokens.generation
    other = agents.create("other")
    assert code(tokens, other, now=NOW + 1) is None
    assert tokens.generation == generation


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda agents: agents.rotate(now=NOW), id="rotated"),
        pytest.param(lambda agents: agents.revoke(now=NOW), id="revoked"),
        pytest.param(lambda agents: agents.path.write_text("# nobody\n"), id="taken out"),
        pytest.param(
            lambda agents: agents.path.write_text(agents.path.read_text().replace("tools:read", "tools:none")),
            id="other scopes",
        ),
    ],
)
def test_whatever_changes_an_agent_changes_the_generation(
    agents: AgentsFile, change: Callable[[AgentsFile], object]
) -> None:
    token = agents.create()
    tokens = agents.tokens()
    tokens.verify(token, now=NOW)
    generation = tokens.generation
    change(agents)
    code(tokens, token, now=NOW + 1)
    assert tokens.generation > generation


def test_the_file_is_looked_at_once_a_second_at_most(agents: AgentsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    token = agents.create()
    tokens = agents.tokens()
    looks: list[object] = []
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **given: (looks.append(path), stat(path, **given))[1])
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
    with pytest.raises(ValueError, match="toolgate tokens create") as error:
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
    with pytest.raises(ValueError, match=r"nothere\.toml: there is no such file .*toolgate tokens create"):
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


# --- nothing secret anywhere ------------------------------------------------------------------------------------------


def test_neither_file_nor_repr_holds_a_token_or_its_secret(agents: AgentsFile) -> None:
    token = agents.create()
    tokens = agents.tokens()
    verified = tokens.verify(token, now=NOW)
    secret = token.split("_")[-1]
    shown = repr([agents.agent(), agents_file.read(agents.path), tokens, verified, verified.principal])
    kept = b"".join(path.read_bytes() for path in agents.path.parent.iterdir()).decode()
    assert secret[:16] not in shown + kept
    for other in (token, new_token(new_id()), token[:-1]):
        with pytest.raises(Unauthenticated) as refused:
            tokens.verify(other, now=NOW + 99 * DAY)
        assert other.split("_")[-1][:16] not in f"{refused.value!r} {refused.value} {refused.value.args}"


# --- last use ---------------------------------------------------------------------------------------------------------


def test_the_last_use_is_written_at_most_once_a_minute(agents: AgentsFile) -> None:
    token = agents.create()
    tokens = agents.tokens()
    file = last_use_file(agents.path)
    agent_id = agents.agent().id
    tokens.verify(token, now=NOW)
    assert last_uses(file) == {agent_id: NOW}
    assert file.stat().st_mode & 0o777 == 0o600
    tokens.verify(token, now=NOW + 59)
    assert last_uses(file) == {agent_id: NOW}
    tokens.verify(token, now=NOW + 60)
    assert last_uses(file) == {agent_id: NOW + 60}


def test_processes_do_not_forget_each_other_s(agents: AgentsFile) -> None:
    tokens = {name: agents.create(name) for name in ("one", "two")}
    for step, name in enumerate(tokens):
        agents.tokens().verify(tokens[name], now=NOW + step)
    assert set(last_uses(last_use_file(agents.path)).values()) == {NOW, NOW + 1}


def test_a_refused_token_is_no_use(agents: AgentsFile) -> None:
    token = agents.create(lifetime=DAY)
    assert code(agents.tokens(), token, now=NOW + DAY) == "token_expired"
    assert last_uses(last_use_file(agents.path)) == {}


@pytest.mark.parametrize("spoil", ["directory", "garbage"])
def test_where_it_cannot_be_kept_calls_go_on(agents: AgentsFile, spoil: str) -> None:
    token = agents.create()
    if spoil == "directory":
        last_use_file(agents.path).mkdir()
    else:
        last_use_file(agents.path).write_bytes(b"\xff\x00 = 99999999999999\n" * 9)
    tokens = agents.tokens()
    for now in (NOW, NOW + 100, 1e15):
        assert code(tokens, token, now=now) == (None if now < 1e15 else "token_expired")


# --- timing -----------------------------------------------------------------------------------------------------------


def test_how_long_a_refusal_takes_tells_nothing(agents: AgentsFile, proof: Proof, tell: Tell) -> None:
    """Welch's t of two kinds of wrong tokens: below 4.5 nobody can tell them apart."""
    count = proof("calls timed", small=20_000, large=1_000_000)
    token = agents.create()
    tokens = agents.tokens()
    # One id for each kind: a processor is quicker with what repeats, whatever it is.
    known, unknown = agents.agent().id, new_id()
    pools = {
        "first byte wrong": [_wrong(token, 0) for _ in range(500)],
        "last byte wrong": [_wrong(token, 42) for _ in range(500)],
        "unknown agent": [new_token(unknown) for _ in range(500)],
        "known agent": [new_token(known) for _ in range(500)],
    }
    for one, other in (("first byte wrong", "last byte wrong"), ("unknown agent", "known agent")):
        for _ in range(3):  # a busy machine may spoil a run: what is there shows in each
            found = _welch(*_timed(tokens, pools[one], pools[other], count))
            if abs(found) < 4.5:
                break
        tell(f"{one} against {other}: t = {found:.2f} over {count:,} calls")
        assert abs(found) < 4.5


def _wrong(token: str, position: int) -> str:
    """The token with another character of its secret at a position, and the checksum that goes with it."""
    from toolgate.tokens import agent_tokens

    start = token.rindex("_") + 1
    begin, end = token[: start + position], token[start + position + 1 : -6]
    character = random.choice([each for each in "0123456789ABCDEFabcdef" if each != token[start + position]])
    body = f"{begin}{character}{end}"
    return body + agent_tokens._checksum(body)


def _timed(tokens: AgentTokens, one: list[str], other: list[str], count: int) -> tuple[list[int], list[int]]:
    samples: tuple[list[int], list[int]] = ([], [])
    chosen = random.Random(7)
    pools = (one, other)
    clock = time.perf_counter_ns
    gc.disable()
    try:
        for _ in range(count):
            which = chosen.getrandbits(1)
            token = pools[which][chosen.randrange(500)]
            begin = clock()
            with suppress(Unauthenticated):
                tokens.verify(token, now=NOW)
            samples[which].append(clock() - begin)
    finally:
        gc.enable()
    return samples


def _welch(one: list[int], other: list[int]) -> float:
    # The slowest hundredth is the machine's, not ours: interrupts and other processes.
    limit = statistics.quantiles(one + other, n=100)[-1]
    one, other = ([each for each in samples if each <= limit] for samples in (one, other))
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / spread**0.5
