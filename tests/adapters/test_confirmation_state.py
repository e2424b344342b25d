"""The state that travels by the client: bound to one call, good for one, and none of the tool's business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import mcp_types as types
import pytest
from adapters.asked import YES, Human, Office, opened, posted
from adapters.desk import MODERN
from guarded import Guarded
from mcp import MCPError

import doorward

pytestmark = pytest.mark.anyio

ANSWER = {"doorward.confirmation": {"action": "accept", "content": {"confirm": "yes"}}}
DECLINE = {"doorward.confirmation": {"action": "decline"}}
ADA = {"name": "ada"}

Make = Callable[..., Guarded]


@pytest.fixture
def kind() -> str:
    """States are read before any server sees them, so that one kind is enough for most of this."""
    return "sse"


@pytest.fixture
def office(kind: str, guarded: Make) -> Iterator[Office]:
    if kind == "fastmcp":
        pytest.importorskip("fastmcp")
    with opened(guarded, kind) as office:
        yield office


KINDS = pytest.mark.parametrize("kind", ["sse", "fastmcp"])


def asked(office: Office, tool: str = "wipe", arguments: dict[str, Any] | None = None, **more: Any) -> str:
    """The state of a question."""
    response = posted(office, tool, ADA if arguments is None else arguments, "write", **more)
    result = response.json()["result"]
    assert (response.status_code, result["resultType"]) == (200, "input_required")
    assert list(result["inputRequests"]) == ["doorward.confirmation"]
    return str(result["requestState"])


def said(response: httpx2.Response) -> tuple[int, str]:
    """The status, and the reason or the text."""
    body = response.json()
    if "error" in body:
        return response.status_code, body["error"]["data"]["reason"]
    return response.status_code, body["result"]["content"][0]["text"]


@KINDS
def test_an_answer_runs_the_call_once(office: Office) -> None:
    state = asked(office)
    assert said(posted(office, "wipe", ADA, "write", state=state, answers=ANSWER)) == (200, "wiped ada")
    for _ in range(2):
        again = posted(office, "wipe", ADA, "write", state=state, answers=ANSWER)
        assert said(again) == (403, "confirmation_used")
    assert office.ran == ["wipe ada"]
    assert [record["reason"] for record in office.records(name="wipe")] == [None, None, *["confirmation_used"] * 2]
    # A call that was refused has cost nothing: one of the two an hour is left.
    assert said(posted(office, "wipe", ADA, "write", state=asked(office), answers=ANSWER)) == (200, "wiped ada")


def test_many_answers_at_once_run_it_once(office: Office) -> None:
    state = asked(office)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(posted, office, "wipe", ADA, "write", state=state, answers=ANSWER) for _ in range(8)]
        outcomes = sorted(said(call.result()) for call in calls)
    assert outcomes.count((200, "wiped ada")) == 1
    # Those that came while the budget was full of others are told so, and may not come back for it.
    assert {reason for _, reason in outcomes} <= {"wiped ada", "confirmation_used", "rate_limited"}
    assert office.ran == ["wipe ada"]


def test_an_answer_that_nobody_asked_for_does_not_reach_the_tool(office: Office) -> None:
    """Before the tool has asked, its input is what was shown."""
    own = {"it": {"action": "accept", "content": {"value": "not shown"}}}
    posted(office, "register", {}, state=asked(office, "register", {}), answers=ANSWER | own)
    assert office.ran == ["register None {}"]


def test_a_question_expires(office: Office) -> None:
    state = asked(office)
    office.it.now += 599
    late = asked(office)
    office.it.now += 1.5
    assert said(posted(office, "wipe", ADA, "write", state=state, answers=ANSWER)) == (403, "confirmation_expired")
    assert office.records()[-1]["reason"] == "confirmation_expired"
    assert said(posted(office, "wipe", ADA, "write", state=late, answers=ANSWER)) == (200, "wiped ada")
    office.it.now += 3600  # long forgotten
    assert said(posted(office, "wipe", ADA, "write", state=state, answers=ANSWER)) == (403, "confirmation_expired")


def test_a_no_is_final_for_its_question(office: Office) -> None:
    state = asked(office)
    assert said(posted(office, "wipe", ADA, "write", state=state, answers=DECLINE)) == (403, "confirmation_refused")
    assert said(posted(office, "wipe", ADA, "write", state=state, answers=ANSWER)) == (403, "confirmation_used")
    assert office.ran == []


@pytest.mark.parametrize("answers", [None, {}, {"another": {"action": "accept"}}], ids=["none", "empty", "another's"])
def test_whoever_comes_back_without_an_answer_is_asked_anew(office: Office, answers: Any) -> None:
    state = asked(office)
    anew = asked(office, state=state, answers=answers)
    assert said(posted(office, "wipe", ADA, "write", state=state, answers=ANSWER)) == (403, "confirmation_used")
    assert said(posted(office, "wipe", ADA, "write", state=anew, answers=ANSWER)) == (200, "wiped ada")


@pytest.mark.parametrize(
    "answer",
    [
        *(True, "accept", ["accept"], {}, {"action": "ACCEPT"}, {"action": True}, {"action": "accept"}),
        *({"action": "accept", "content": content} for content in ("x", {}, {"confirm": "no"}, {"confirm": True})),
    ],
    ids=str,
)
def test_what_is_no_answer_is_a_no(office: Office, answer: Any) -> None:
    state = asked(office)
    answered = posted(office, "wipe", ADA, "write", state=state, answers={"doorward.confirmation": answer})
    assert said(answered) == (403, "confirmation_refused")
    assert office.ran == []


@pytest.mark.parametrize(
    "state",
    ["", "x", "doorward1.a.b.c", "doorward1.....", "é", 7, ["x"], "x" * 2_000_000],
    ids=lambda state: repr(state)[:20],
)
def test_what_is_no_state_is_refused(office: Office, state: Any) -> None:
    forged = posted(office, "wipe", ADA, "write", state=state, answers=ANSWER)
    status, reason = said(forged)
    assert status == 403
    assert reason in ("confirmation_invalid", "confirmation_expired")
    assert office.ran == []


@pytest.mark.parametrize("arguments", [["ada"], "ada", 7, True])
def test_arguments_that_nobody_could_be_shown_are_refused(office: Office, arguments: Any) -> None:
    response = posted(office, "wipe", arguments, "write")
    assert said(response) == (400, "invalid_request")
    state = asked(office, arguments={})
    assert said(posted(office, "wipe", arguments, "write", state=state, answers=ANSWER)) == (400, "invalid_request")


def test_an_answer_without_a_question_is_none(office: Office) -> None:
    response = posted(office, "wipe", ADA, "write", answers=ANSWER)
    assert response.json()["result"]["resultType"] == "input_required"
    assert office.ran == []


def test_a_client_without_forms_is_told_so_with_a_status(office: Office) -> None:
    assert said(posted(office, "wipe", ADA, "write", forms=False)) == (403, "confirmation_unavailable")
    assert said(posted(office, "wipe", ADA, "read")) == (403, "insufficient_scope")


def test_too_many_questions_have_a_status(guarded: Make) -> None:
    with opened(guarded, "sse", confirmation=doorward.Confirmation(asks=["1/hour"])) as office:
        asked(office)
        limited = posted(office, "wipe", ADA, "write")
    assert said(limited) == (429, "rate_limited")
    assert limited.headers["retry-after"] == "3600"


def test_an_answer_over_the_budget_of_the_tool_stays_good(office: Office) -> None:
    for _ in range(2):
        posted(office, "wipe", ADA, "write", state=asked(office), answers=ANSWER)
    state = asked(office)
    assert said(posted(office, "wipe", ADA, "write", state=state, answers=ANSWER)) == (429, "rate_limited")
    office.it.tick += 1800 * 10**9
    assert said(posted(office, "wipe", ADA, "write", state=state, answers=ANSWER)) == (200, "wiped ada")


# --- a tool that asks for something itself ----------------------------------------------------------------------------


@KINDS
async def test_the_tools_own_rounds_are_its_own_and_nobody_is_asked_twice(office: Office) -> None:
    value = types.ElicitResult(action="accept", content={"value": "ada"})
    human = Human(YES, value, value)
    async with office.client(MODERN, human) as client:
        result = await client.call_tool("register", {})
    assert result.content[0].text == "registered ada"
    assert [question.splitlines()[0] for question in human.questions] == [
        "Run this tool?",
        "the tool's own, after None",
        "the tool's own, after first",
    ]
    # Nothing of the gate's: no state at first, no answer of its own at any time.
    assert office.ran == [
        "register None {}",
        "register first {'it': {'value': 'ada'}}",
        "register second {'it': {'value': 'ada'}}",
    ]
    records = office.records(name="register")
    assert [record["result"] for record in records] == ["asked", "success", "success", "success"]
    assert {record["parent_id"] for record in records[1:]} == {records[0]["request_id"]}
    assert len(office.records("confirmed")) == 1


@KINDS
def test_no_round_of_the_tool_can_be_repeated_or_moved(office: Office) -> None:
    own = {"it": {"action": "accept", "content": {"value": "ada"}}}
    first = posted(office, "register", {}, state=asked(office, "register", {}), answers=ANSWER).json()["result"]
    assert list(first["inputRequests"]) == ["it"]
    moved = posted(office, "wipe", ADA, "write", state=first["requestState"], answers=own)
    assert said(moved) == (403, "confirmation_invalid")
    second = posted(office, "register", {}, state=first["requestState"], answers=own).json()["result"]
    repeated = posted(office, "register", {}, state=first["requestState"], answers=own)
    assert said(repeated) == (403, "confirmation_used")
    done = posted(office, "register", {}, state=second["requestState"], answers=own)
    assert said(done) == (200, "registered ada")
    assert said(posted(office, "register", {}, state=second["requestState"], answers=own)) == (403, "confirmation_used")
    assert len(office.ran) == 3


@KINDS
def test_an_answer_by_the_gates_name_that_the_tool_asked_for_is_the_tools(office: Office) -> None:
    first = posted(office, "register", {}, state=asked(office, "register", {}), answers=ANSWER).json()["result"]
    posted(office, "register", {}, state=first["requestState"], answers=ANSWER)
    assert office.ran[-1] == "register first {'doorward.confirmation': {'confirm': 'yes'}}"


async def test_the_client_is_asked_and_not_the_model(office: Office) -> None:
    """What an agent sees of it is the result, or a refusal that says not to retry."""
    async with office.client(MODERN, Human(types.ElicitResult(action="cancel")), "write") as client:
        with pytest.raises(MCPError, match="do not retry"):
            await client.call_tool("wipe", ADA)
