"""What stands behind the gate and before what runs: a middleware that makes another call of a call, or two of one, has
each decided, whatever the server and wherever the middleware is put."""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types
import pytest

pytest.importorskip("fastmcp")

from adapters.asked import YES, Human, asking_server, opened
from adapters.changing import (
    CONFIRMED,
    PLACES,
    Change,
    Make,
    Run,
    changed,
    said,
    to_bob,
    to_bob_in_place,
    tool_of,
    twice,
    twice_at_once,
)
from adapters.desk import LEGACY, MODERN

import doorward

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])
EVERYWHERE = pytest.mark.parametrize("place", PLACES)


@ERAS
@EVERYWHERE
@pytest.mark.parametrize("change", [to_bob, to_bob_in_place], ids=["in another message", "in place"])
async def test_a_yes_is_for_the_arguments_that_were_shown(guarded: Make, place: str, change: Change, mode: str) -> None:
    """Within a call the older protocol can ask about the others; the newer one cannot."""
    ran: list[str] = []
    human = Human(YES, YES)
    with changed(guarded, place, change, ran, **CONFIRMED) as office:
        async with office.client(mode, human, "write") as client:
            answer = await said(client.call_tool(tool_of(place), {"name": "ada"}))
    assert ran == (["wipe bob"] if mode == LEGACY else [])
    assert ["ada" in question for question in human.questions] == ([True, False] if mode == LEGACY else [True])
    assert ("nobody can be asked" in answer) == (mode == MODERN)
    inner, outer = office.records("call")[-2:]
    assert (inner["parent_id"], inner["tool_name"]) == (outer["request_id"], outer["tool_name"])
    assert inner["arguments_hash"] == doorward.hash_arguments({"name": "bob"})
    assert outer["arguments_hash"] == doorward.hash_arguments({"name": "ada"})
    assert inner["reason"] == (None if mode == LEGACY else "confirmation_unavailable")


@ERAS
@EVERYWHERE
@pytest.mark.parametrize("change", [twice, twice_at_once], ids=["in turn", "at once"])
async def test_one_yes_is_one_run(guarded: Make, place: str, change: Change, mode: str) -> None:
    ran: list[str] = []
    human = Human(YES, YES)
    with changed(guarded, place, change, ran, **CONFIRMED) as office:
        async with office.client(mode, human, "write") as client:
            await said(client.call_tool(tool_of(place), {"name": "ada"}))
    runs = 2 if mode == LEGACY else 1
    assert ran == ["wipe ada"] * runs
    assert len(human.questions) == len(office.records("confirmed")) == runs
    nested = [record for record in office.records("call") if record["reason"] == "confirmation_unavailable"]
    assert len(nested) == (0 if mode == LEGACY else 1)


@EVERYWHERE
@pytest.mark.parametrize(("limit", "runs"), [("1/hour", 1), ("2/hour", 2)])
async def test_a_call_that_runs_twice_spends_twice(guarded: Make, place: str, limit: str, runs: int) -> None:
    ran: list[str] = []
    rules = [doorward.ToolRule("*wipe", scopes=[], limit=[limit])]
    with changed(guarded, place, twice, ran, tools=rules) as office:
        async with office.client(MODERN, None) as client:
            answer = await said(client.call_tool(tool_of(place), {"name": "ada"}))
    assert ran == ["wipe ada"] * runs
    assert ("over 1/hour" in answer) == (runs == 1)
    inner, outer = office.records("call")
    assert (inner["parent_id"], inner["result"]) == (outer["request_id"], "success" if runs == 2 else "denied_rate")


async def test_arguments_that_change_while_a_human_thinks_are_another_call(guarded: Make) -> None:
    ran: list[str] = []
    shared = {"name": "ada"}
    server = asking_server(ran)

    @server.tool()
    async def calling() -> str:
        return str(await server.call_tool("wipe", shared))

    class Slow(Human):
        async def __call__(self, context: Any, params: Any) -> types.ElicitResult:
            shared["name"] = "bob"
            return await super().__call__(context, params)

    human = Slow()
    rules = {"tools": [*CONFIRMED["tools"], doorward.ToolRule("*", scopes=[])]}
    with opened(guarded, "sse", how=lambda gate, _: gate.protect(server), **rules) as office:
        async with office.client(LEGACY, human, "write") as client:
            assert "wiped bob" in await said(client.call_tool("calling", {}))
    assert ran == ["wipe bob"]
    assert ["ada" in question for question in human.questions] == [True, False]
    assert len(office.records("confirmed")) == 2


async def test_a_call_that_nobody_changed_is_on_record_once(guarded: Make) -> None:
    async def as_it_is(run: Run, params: dict[str, Any]) -> Any:
        return await run(json.loads(json.dumps(params)))

    for place in PLACES:
        ran: list[str] = []
        with changed(
            guarded, place, as_it_is, ran, tools=[doorward.ToolRule("*wipe", scopes=[], limit=["1/hour"])]
        ) as office:
            async with office.client(MODERN, None) as client:
                assert "wiped" in await said(client.call_tool(tool_of(place), {"name": "ada"}))
        assert ran == ["wipe ada"]
        assert len(office.records("call")) == 1
