"""Agents: who a token makes its caller, when it stops, and what the file's changes do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from agents import DAY, NOW, AgentsFile

import doorward
from doorward.errors import Unauthenticated
from doorward.tokens import agents_file, last_use
from doorward.tokens.agent_tokens import AGENTS_ISSUER, new_id, new_token
from doorward.tokens.agents import AgentTokens
from doorward.tokens.last_use import last_use_file, last_uses


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
    assert principal.issuer == AGENTS_ISSUER == "urn:doorward:agents"
    assert (principal.subject, principal.client_id) == (agent.id, "nightly report")
    assert (principal.organization, principal.scopes) == ("acme", ("b", "a"))
    assert principal.expires_at == NOW + 30 * DAY
    assert principal.token_id == f"{agent.id}-{agent.hashes[0].digest.hex()[:8]}"


def test_a_token_of_no_agent_and_one_of_another_secret_are_refused_alike(agents: AgentsFile) -> None:
    agents.create()
    tokens = agents.tokens()
    assert code(tokens, new_token(new_id()), now=NOW) == "unknown_agent"
    assert code(tokens, new_token(agents.agent().id), now=NOW) == "unknown_agent"
    assert code(tokens, "doorward_agent_x", now=NOW) == "malformed_token"


def test_the_hash_itself_is_no_token(agents: AgentsFile) -> None:
    agents.create()
    digest = agents.agent().hashes[0].digest.hex()
    assert code(agents.tokens(), f"doorward_agent_{agents.agent().id}_{digest[:49]}", now=NOW) == "malformed_token"


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


def test_what_was_not_written_yet_is_written_when_the_gate_is_closed(agents: AgentsFile, tmp_path: Path) -> None:
    tokens = [agents.create(name) for name in ("one", "two")]
    ids = [agents.agent(name).id for name in ("one", "two")]
    gate = doorward.Gate(
        resource="https://mcp.example.com/mcp",
        agents=doorward.Agents(str(agents.path)),
        audit=doorward.Audit(path=str(tmp_path / "audit.jsonl")),
        clock=lambda: NOW,
    )

    async def use() -> None:
        for token in tokens:
            await gate.authenticate(token)

    anyio.run(use)
    assert set(last_uses(last_use_file(agents.path))) == {ids[0]}
    gate.close()
    assert last_uses(last_use_file(agents.path)) == dict.fromkeys(ids, NOW)


def test_what_was_not_written_yet_is_written_by_a_timer(agents: AgentsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_use, "INTERVAL", 0.05)
    used = [agents.create(name) for name in ("one", "two")]
    tokens, file = agents.tokens(), last_use_file(agents.path)

    async def use() -> None:
        for token in used:
            tokens.verify(token, now=NOW)
        with anyio.fail_after(30):
            while len(last_uses(file)) < 2:
                await anyio.sleep(0.01)

    anyio.run(use)


def test_what_was_not_written_yet_is_written_when_the_process_ends(agents: AgentsFile) -> None:
    used = [agents.create(name) for name in ("one", "two")]
    program = (
        "import sys\n"
        "from doorward.settings import Agents\n"
        "from doorward.tokens.agents import AgentTokens\n"
        "tokens = AgentTokens(Agents(sys.argv[1]))\n"
        "for token in sys.argv[2:]: tokens.verify(token, now=float(1_800_000_000))\n"
    )
    subprocess.run([sys.executable, "-c", program, str(agents.path), *used], check=True)
    assert len(last_uses(last_use_file(agents.path))) == 2


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
