"""How long it takes to refuse an agent's token: no time tells anything.

What is timed are many tokens of each kind, made anew from many agents. With a few, one would measure those very tokens:
a processor needs a nanosecond more for this checksum than for that one.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import pytest
from agents import DAY, NOW, AgentsFile
from conftest import Proof, Tell

from doorward.errors import Unauthenticated
from doorward.tokens import agent_tokens, agents_changes, agents_file
from doorward.tokens.agent_tokens import id_of, new_id, new_token
from doorward.tokens.agents import AgentTokens
from doorward.tokens.agents_file import Agent

AGENTS = 500
VARIANTS = 20


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> tuple[AgentTokens, list[str]]:
    """A file of many agents, and their tokens."""
    agents: tuple[Agent, ...] = ()
    tokens = []
    for number in range(AGENTS):
        changed = agents_changes.create(agents, f"{number}", scopes=["a"], organization=None, lifetime=DAY, now=NOW)
        agents = changed.agents
        tokens.append(changed.token)
    file = AgentsFile(tmp_path_factory.mktemp("timing") / "agents.toml")
    agents_file.change(file.path, lambda _: agents)
    return file.tokens(), tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(lambda token: wrong(token, 0), lambda token: wrong(token, 42), id="first or last byte wrong"),
        pytest.param(
            lambda token: new_token(id_of(token)),
            lambda token: new_token(stranger(token)),  # type: ignore[has-type] # mypy reads it before its definition
            id="known or unknown agent",
        ),
    ],
)
def test_how_long_a_refusal_takes_tells_nothing(
    issued: tuple[AgentTokens, list[str]],
    one: Callable[[str], str],
    other: Callable[[str], str],
    proof: Proof,
    tell: Tell,
    request: pytest.FixtureRequest,
) -> None:
    """Welch's t of two kinds of wrong tokens: below 4.5 nobody can tell them apart."""
    count = proof("calls timed", small=20_000, large=1_000_000)
    tokens, right = issued
    found: list[float] = []
    while len(found) < 3 and all(abs(each) >= 4.5 for each in found):
        # A busy machine may spoil a run, in either direction; what is really there shows in each, in the same one.
        found.append(_welch(*_timed(tokens, _pools(right, (one, other)), count)))
    tell(f"{request.node.callspec.id}: t = {', '.join(f'{each:.2f}' for each in found)} over {count:,} calls")
    assert min(found) < 4.5
    assert max(found) > -4.5


def wrong(token: str, position: int) -> str:
    """The token with another character at a position of its secret, and the checksum that goes with it."""
    start = token.rindex("_") + 1 + position
    characters = agent_tokens._ALPHABET.replace(token[start], "")
    body = f"{token[:start]}{random.choice(characters)}{token[start + 1 : -6]}"
    return body + agent_tokens._checksum(body)


@cache
def stranger(token: str) -> str:
    """An id that no agent has, one for each token: a processor is quicker with what repeats, whatever it is."""
    return new_id()


def _pools(right: list[str], kinds: tuple[Callable[[str], str], ...]) -> tuple[list[str], list[str]]:
    """Tokens of both kinds, mixed in memory: how they were made must not show in how quickly they are read."""
    made = [(which, kind(token)) for which, kind in enumerate(kinds) for token in right for _ in range(VARIANTS)]
    random.shuffle(made)
    pools: tuple[list[str], list[str]] = ([], [])
    for which, token in made:
        pools[which].append(token.encode().decode())
    return pools


def _timed(tokens: AgentTokens, pools: tuple[list[str], list[str]], count: int) -> tuple[list[int], list[int]]:
    samples: tuple[list[int], list[int]] = ([], [])
    chosen = random.Random(7)
    clock = time.perf_counter_ns
    gc.disable()
    try:
        for _ in range(count):
            which = chosen.getrandbits(1)
            token = chosen.choice(pools[which])
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
