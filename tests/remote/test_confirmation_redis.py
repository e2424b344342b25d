"""Two workers that share a Redis: what one has asked, the other knows, and a call runs on one of them, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
import test_gate_confirmation as gate_level
from adapters.asked import Human, Office, opened, posted
from adapters.desk import LEGACY, MODERN
from adapters.test_confirmation_state import ANSWER, DECLINE, asked, said
from guarded import Guarded
from servers.standalone import RedisServer

import doorward
from doorward.testing import Issuer

pytestmark = pytest.mark.anyio

RULES = [doorward.ToolRule("wipe", scopes=[], limit=["5/hour"], confirm=True)]
ADA = {"name": "ada"}
Workers = Callable[..., list[Office]]


@pytest.fixture
def workers(tmp_path: Path, issuer: Issuer) -> Iterator[Workers]:
    """Opens so many workers, which serve one resource from ports of their own."""
    with ExitStack() as stack:

        def start(url: str, *, count: int = 2, **settings: Any) -> list[Office]:
            offices: list[Office] = []
            for number in range(count):

                def guarded(number: int = number, **given: Any) -> Guarded:
                    return Guarded(tmp_path / f"{number}.jsonl", issuer, **given)

                own = {} if not offices else {"resource": offices[0].gate.resource}
                limits = doorward.Limits(store=url, instances=count)
                offices.append(stack.enter_context(opened(guarded, "sse", limits=limits, **(own | settings))))
            return offices

        yield start


def test_what_one_worker_asks_another_one_runs_once(redis_server: RedisServer, workers: Workers) -> None:
    one, other = workers(redis_server.url)
    state = asked(one)
    assert said(posted(other, "wipe", ADA, "write", state=state, answers=ANSWER)) == (200, "wiped ada")
    for office in (one, other):
        again = posted(office, "wipe", ADA, "write", state=state, answers=ANSWER)
        assert said(again) == (403, "confirmation_used")
    assert (one.ran, other.ran) == ([], ["wipe ada"])


def test_two_answers_at_once_on_two_workers_run_it_once(
    redis_server: RedisServer, workers: Workers, proof: Any
) -> None:
    rules = [doorward.ToolRule("wipe", scopes=["write"], confirm=True)]
    offices = workers(redis_server.url, tools=rules, confirmation=doorward.Confirmation(asks=["1000/minute"]))
    count = proof("calls answered twice at once", small=10, large=500)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(count):
            state = asked(offices[0])
            calls = [
                pool.submit(posted, office, "wipe", ADA, "write", state=state, answers=ANSWER) for office in offices * 2
            ]
            outcomes = sorted(said(call.result()) for call in calls)
            assert outcomes == [(200, "wiped ada"), *[(403, "confirmation_used")] * 3]
    assert len(offices[0].ran + offices[1].ran) == count


@pytest.mark.parametrize("resource", ["http://localhost:1/mcp", "http://127.0.0.1:1/mcp"])
def test_an_answer_is_good_for_one_server_of_those_that_share_a_store(
    redis_server: RedisServer, workers: Workers, resource: str
) -> None:
    [one] = workers(redis_server.url, count=1)
    [other] = workers(redis_server.url, count=1, resource=resource)
    elsewhere = posted(other, "wipe", ADA, "write", state=asked(one), answers=ANSWER)
    assert said(elsewhere) == (403, "confirmation_invalid")


async def test_whoever_comes_too_late_has_spent_nothing(
    redis_server: RedisServer, guarded: Callable[..., Guarded], patient: None
) -> None:
    """All of them have read the question before one of them takes it."""
    it = guarded(tools=RULES, limits=doorward.Limits(store=redis_server.url))
    state = await gate_level.asked(it)
    outcomes: list[str | None] = []

    async def answer() -> None:
        outcomes.append(gate_level.reason(await gate_level.judged(it, gate_level.body(state, gate_level.YES))))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(answer)
    assert sorted(map(str, outcomes)) == ["None", *["confirmation_used"] * 4]
    for expected in [None] * 4 + ["rate_limited"]:
        state = await gate_level.asked(it)
        answered = await gate_level.judged(it, gate_level.body(state, gate_level.YES))
        assert gate_level.reason(answered) == expected
    await it.gate.aclose()


def test_a_no_counts_on_every_worker(redis_server: RedisServer, workers: Workers) -> None:
    one, other = workers(redis_server.url)
    state = asked(one)
    assert said(posted(one, "wipe", ADA, "write", state=state, answers=DECLINE)) == (403, "confirmation_refused")
    assert said(posted(other, "wipe", ADA, "write", state=state, answers=ANSWER)) == (403, "confirmation_used")


def test_the_rounds_of_a_tool_are_known_to_every_worker(redis_server: RedisServer, workers: Workers) -> None:
    one, other = workers(redis_server.url)
    state = asked(one, "register", {})
    first = posted(other, "register", {}, state=state, answers=ANSWER).json()["result"]
    again = posted(one, "register", {}, state=state, answers=ANSWER)
    assert said(again) == (403, "confirmation_used")
    own = {"it": {"action": "accept", "content": {"value": "ada"}}}
    second = posted(other, "register", {}, state=first["requestState"], answers=own).json()["result"]
    repeated = posted(one, "register", {}, state=first["requestState"], answers=own)
    assert said(repeated) == (403, "confirmation_used")
    # To the one that began: the SDK's own state inside has a key for each process, unless the server gives it one.
    assert said(posted(other, "register", {}, state=second["requestState"], answers=own)) == (200, "registered ada")


@pytest.mark.parametrize("mode", [MODERN, LEGACY])
async def test_with_the_official_client(redis_server: RedisServer, workers: Workers, mode: str) -> None:
    [office] = workers(redis_server.url, count=1)
    human = Human()
    async with office.client(mode, human, "write") as client:
        assert (await client.call_tool("wipe", ADA)).content[0].text == "wiped ada"
    assert len(human.questions) == 1


def test_while_the_store_is_away_nothing_is_asked_and_nothing_runs(
    start_redis: Callable[..., RedisServer], workers: Workers
) -> None:
    server = start_redis()
    one, other = workers(server.url)
    state = asked(one)
    server.kill()
    away = posted(one, "wipe", ADA, "write")
    assert said(away) == (503, "store_unavailable")
    assert away.headers["retry-after"] == "1"
    assert said(posted(other, "wipe", ADA, "write", state=state, answers=ANSWER)) == (503, "store_unavailable")
    assert (one.ran, other.ran) == ([], [])
    assert [record["result"] for record in one.records(name="wipe")] == ["asked", "unavailable"]


def test_a_store_that_forgot_everything_lets_nothing_run(redis_server: RedisServer, workers: Workers) -> None:
    one, other = workers(redis_server.url)
    unused, used = asked(one), asked(one)
    posted(other, "wipe", ADA, "write", state=used, answers=ANSWER)
    redis_server.client.flushall()
    for state in (unused, used):
        late = posted(other, "wipe", ADA, "write", state=state, answers=ANSWER)
        assert said(late) == (403, "confirmation_expired")
    assert other.ran == ["wipe ada"]


def test_what_the_store_holds_answers_nothing_and_ends(redis_server: RedisServer, workers: Workers) -> None:
    one, _ = workers(redis_server.url)
    state = asked(one)
    [name] = redis_server.client.keys("*:confirmation:*")
    assert state.split(".")[1] not in name
    assert 600 < redis_server.client.ttl(name) <= 660
    posted(one, "wipe", ADA, "write", state=state, answers=ANSWER)
    assert redis_server.client.get(name) == ""
    assert 600 < redis_server.client.ttl(name) <= 660


def test_what_is_no_question_in_the_store_is_an_outage(redis_server: RedisServer, workers: Workers) -> None:
    one, _ = workers(redis_server.url)
    state = asked(one)
    [name] = redis_server.client.keys("*:confirmation:*")
    for wrong in (b"x", b"z" * 64, b"a" * 63):
        redis_server.client.set(name, wrong)
        answered = posted(one, "wipe", ADA, "write", state=state, answers=ANSWER)
        assert said(answered) == (503, "store_unavailable")
    assert one.ran == []


def test_with_a_key_of_the_operators_whoever_writes_there_makes_up_no_question(
    redis_server: RedisServer, workers: Workers
) -> None:
    [without] = workers(redis_server.url, count=1)
    keyed = doorward.Confirmation(key=doorward.Secret(b"k" * 32))
    [with_key] = workers(redis_server.url, count=1, confirmation=keyed, resource=without.gate.resource)
    forged = asked(without)  # all that can be made of what stands in the store
    assert said(posted(with_key, "wipe", ADA, "write", state=forged, answers=ANSWER)) == (403, "confirmation_invalid")
    assert with_key.ran == []
