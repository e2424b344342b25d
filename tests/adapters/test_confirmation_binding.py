"""What an answer is bound to: one caller, one call and its arguments; and what may change before it is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from adapters.asked import Office, opened, posted
from adapters.test_confirmation_state import ANSWER, asked, said
from guarded import Guarded

import doorward

pytestmark = pytest.mark.anyio

ADA = {"name": "ada"}

Make = Callable[..., Guarded]


@pytest.fixture
def office(guarded: Make) -> Iterator[Office]:
    """States are read before any server sees them, so that one kind is enough."""
    with opened(guarded, "sse", organization_claim="org") as office:
        yield office


@pytest.mark.parametrize(
    ("tool", "arguments", "more"),
    [
        ("wipe", {"name": "bob"}, {}),
        ("wipe", ADA | {"confirmed": True}, {}),
        ("register", ADA, {}),
        ("wipe", ADA, {"subject": "user-2"}),
        ("wipe", ADA, {"client_id": "agent-2"}),
        ("wipe", ADA, {"org": "shop"}),
        ("wipe", ADA, {"act": {"sub": "agent-3"}}),
    ],
    ids=[
        *("other arguments", "one argument more", "another tool", "another subject", "another client"),
        *("an organization", "an actor"),
    ],
)
def test_an_answer_is_good_for_the_very_call(
    office: Office, tool: str, arguments: dict[str, Any], more: dict[str, Any]
) -> None:
    state = asked(office)
    stolen = posted(office, tool, arguments, "write", state=state, answers=ANSWER, **more)
    assert said(stolen) == (403, "confirmation_invalid")
    assert office.ran == []
    assert office.records()[-1]["reason"] == "confirmation_invalid"
    # It is still good for whom it was meant for.
    assert said(posted(office, "wipe", ADA, "write", state=state, answers=ANSWER)) == (200, "wiped ada")


@pytest.mark.parametrize(
    ("asked_as", "answered_as"),
    [
        ({"org": "o1"}, {"org": "o2"}),
        ({"org": "o1"}, {}),
        ({"org": ""}, {}),
        ({"act": {"sub": "a1"}}, {"act": {"sub": "a2"}}),
        ({"act": {"sub": "a1"}}, {}),
        ({"act": {"sub": "a1"}}, {"act": {"sub": "a1", "act": {"sub": "a2"}}}),
    ],
    ids=str,
)
def test_an_answer_is_good_for_one_organization_and_one_actor(
    office: Office, asked_as: dict[str, Any], answered_as: dict[str, Any]
) -> None:
    state = asked(office, **asked_as)
    moved = posted(office, "wipe", ADA, "write", state=state, answers=ANSWER, **answered_as)
    assert said(moved) == (403, "confirmation_invalid")
    assert said(posted(office, "wipe", ADA, "write", state=state, answers=ANSWER, **asked_as)) == (200, "wiped ada")


@pytest.mark.parametrize(
    "more",
    [{"token_id": "another"}, {"session": {"x-agent": "another"}}, {"meta": {"progressToken": 7}}],
    ids=["another token", "another header", "other _meta"],
)
def test_a_token_that_was_renewed_meanwhile_may_answer(office: Office, more: dict[str, Any]) -> None:
    """The caller is the same, and is judged again with the token it answers with."""
    state = asked(office)
    assert said(posted(office, "wipe", ADA, "write", state=state, answers=ANSWER, **more)) == (200, "wiped ada")


def test_scopes_are_those_of_the_answer(office: Office) -> None:
    state = asked(office)
    assert said(posted(office, "wipe", ADA, state=state, answers=ANSWER)) == (403, "insufficient_scope")
    more = posted(office, "wipe", ADA, "write", "read", state=state, answers=ANSWER)
    assert said(more) == (200, "wiped ada")


def test_the_question_names_the_organization(office: Office) -> None:
    result = posted(office, "wipe", ADA, "write", org='o1"\nby all').json()["result"]
    shown = result["inputRequests"]["doorward.confirmation"]["params"]["message"]
    assert shown.splitlines()[3] == '  asked for by "agent-1" of organization "o1\\"\\nby all"'


NUMBERS = {
    "a double for an integer": ("1234567890123456800", "1.2345678901234568e18"),
    "an integer for a double": ("1.2345678901234568e18", "1234567890123456800"),
    "an integer of the same value": ("1e18", "1000000000000000000"),
    "a neighbour of 2**53": ("9007199254740993", "9007199254740992"),
    "the double of that neighbour": ("9007199254740993", "9007199254740993.0"),
    "another double": ("1.2345678901234568e18", "1.234567890123457e18"),
}


@pytest.mark.parametrize(("shown", "run"), NUMBERS.values(), ids=NUMBERS)
def test_a_yes_to_one_number_runs_no_other(office: Office, shown: str, run: str) -> None:
    def with_number(number: str, **more: Any) -> httpx2.Response:
        return posted(office, "count", {"number": 0}, raw=('"number": 0', f'"number": {number}'), **more)

    result = with_number(shown).json()["result"]
    moved = with_number(run, state=result["requestState"], answers=ANSWER)
    assert said(moved) == (403, "confirmation_invalid")
    assert office.ran == []
    assert with_number(shown, state=result["requestState"], answers=ANSWER).status_code == 200
    assert office.ran == [f"count {json.loads(shown)!r}"]


def test_a_yes_to_one_version_of_a_tool_runs_no_other(guarded: Make) -> None:
    """A client of fastmcp may name one: another one is another tool, whatever its name and arguments are."""
    fastmcp = pytest.importorskip("fastmcp")
    ran: list[str] = []
    server = fastmcp.FastMCP("versions")

    @server.tool(name="wipe", version="1.0")
    async def first(name: str) -> str:
        ran.append(f"first {name}")
        return "first"

    @server.tool(name="wipe", version="2.0")
    async def second(name: str) -> str:
        ran.append(f"second {name}")
        return "second"

    def of(version: str) -> dict[str, Any]:
        return {"fastmcp": {"version": version}}

    with opened(guarded, "sse", how=lambda gate, _server: gate.protect(server)) as office:
        state = asked(office)
        moved = posted(office, "wipe", ADA, "write", state=state, answers=ANSWER, meta=of("1.0"))
        assert said(moved) == (403, "confirmation_invalid")
        assert said(posted(office, "wipe", ADA, "write", state=state, answers=ANSWER)) == (200, "second")
        result = posted(office, "wipe", ADA, "write", meta=of("1.0")).json()["result"]
        shown = result["inputRequests"]["doorward.confirmation"]["params"]["message"]
        assert '  "wipe" version "1.0"' in shown.splitlines()
        answered = posted(office, "wipe", ADA, "write", state=result["requestState"], answers=ANSWER, meta=of("1.0"))
        assert said(answered) == (200, "first")
    assert ran == ["second ada", "first ada"]


def test_an_answer_is_good_for_one_server(guarded: Make, tmp_path: Any) -> None:
    with opened(guarded, "sse") as office:
        trail = doorward.Audit(path=str(tmp_path / "other.jsonl"))
        with opened(guarded, "sse", audit=trail) as other:
            state = asked(office)
            elsewhere = posted(other, "wipe", ADA, "write", state=state, answers=ANSWER)
            # It knows nothing of the question; that it would not take it if it did, tests/confirmation shows.
            assert said(elsewhere) == (403, "confirmation_expired")
            assert other.ran == []
