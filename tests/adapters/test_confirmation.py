"""A human confirms: the same for servers of each kind, over real HTTP, with the official client of both eras."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import mcp_types as types
import pytest
from adapters.asked import NO, YES, Human, Office, hurried, opened, posted
from adapters.desk import LEGACY, MODERN, Desk, open_session
from guarded import Guarded
from mcp import MCPError

import doorward

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])
Make = Callable[..., Guarded]


@pytest.fixture(params=["sse", "fastmcp"])
def kind(request: pytest.FixtureRequest) -> str:
    """A server of the SDK, and one of fastmcp."""
    if request.param == "fastmcp":
        pytest.importorskip("fastmcp")
    return str(request.param)


@pytest.fixture
def office(guarded: Make, kind: str) -> Iterator[Office]:
    with opened(guarded, kind) as office:
        yield office


@ERAS
async def test_a_call_runs_once_its_human_has_said_yes(office: Office, mode: str) -> None:
    human = Human()
    async with office.client(mode, human, "write") as client:
        result = await client.call_tool("wipe", {"name": "ada"})
    assert result.content[0].text == "wiped ada"
    assert office.ran == ["wipe ada"]
    [question] = human.questions
    assert question.splitlines() == [
        "Run this tool?",
        "",
        '  "wipe"',
        '  asked for by "agent-1"',
        "",
        "with these arguments:",
        '  "name" = "ada"',
    ]
    confirmed = office.records("confirmed")
    assert [(record["tool_name"], record["result"], record["reason"]) for record in confirmed] == [
        ("wipe", None, "client")
    ]
    *asked, answered = office.records(name="wipe")
    assert (answered["result"], answered["reason"]) == ("success", None)
    assert confirmed[0]["request_id"] == answered["request_id"]
    if mode == MODERN:
        assert [(record["result"], record["reason"]) for record in asked] == [("asked", None)]
        assert answered["parent_id"] == asked[0]["request_id"]
    else:
        assert asked == []
        [question_asked] = office.records("asked")
        assert (question_asked["request_id"], question_asked["reason"]) == (answered["request_id"], "client")


MODERN_BY_ITS_WORD = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
}


@pytest.mark.parametrize("meta", [None, MODERN_BY_ITS_WORD], ids=["", "claiming the newer protocol"])
async def test_a_call_that_waits_for_its_user_is_in_flight(guarded: Make, kind: str, meta: Any) -> None:
    is_asked, may_answer = anyio.Event(), anyio.Event()

    async def human(_context: Any, _params: Any) -> types.ElicitResult:
        is_asked.set()
        await may_answer.wait()
        return YES

    with anyio.fail_after(20), opened(guarded, kind, limits=doorward.Limits(concurrency=1)) as office:
        async with office.client(LEGACY, human, "write") as client, anyio.create_task_group() as group:
            group.start_soon(partial(client.call_tool, "wipe", {"name": "ada"}, meta=meta))
            await is_asked.wait()
            with pytest.raises(MCPError) as refused:
                await client.call_tool("free", {})
            assert refused.value.error.data["reason"] == "too_many_in_flight"
            may_answer.set()
        async with office.client(LEGACY, human, "write") as client:
            await client.call_tool("free", {})
    assert office.ran[0] == "wipe ada"


async def test_a_question_that_is_an_answer_takes_no_place(guarded: Make, kind: str) -> None:
    with opened(guarded, kind, limits=doorward.Limits(concurrency=1)) as office:
        asked = [posted(office, "wipe", {"name": name}, "write").json()["result"] for name in ("ada", "bob")]
    assert [result["resultType"] for result in asked] == ["input_required"] * 2


async def test_a_human_is_asked_about_the_arguments_that_will_run(guarded: Make) -> None:
    """Whatever the server's own middleware has made of those that came: once, and about nothing else."""

    async def changing(ctx: Any, call_next: Any) -> Any:
        changed = ctx.method == "tools/call"
        return await call_next(replace(ctx, params={**ctx.params, "arguments": {"name": "bob"}}) if changed else ctx)

    def protected(gate: doorward.Gate, server: Any) -> Any:
        app = gate.protect(server)
        server._lowlevel_server.middleware.insert(0, changing)
        return app

    human = Human()
    with opened(guarded, "sse", how=protected) as office:
        async with office.client(LEGACY, human, "write") as client:
            assert (await client.call_tool("wipe", {"name": "ada"})).content[0].text == "wiped bob"
    assert office.ran == ["wipe bob"]
    [question] = human.questions
    assert question.endswith('"name" = "bob"')


@ERAS
@pytest.mark.parametrize(
    "answer",
    [
        NO,
        types.ElicitResult(action="cancel"),
        types.ElicitResult(action="accept"),
        types.ElicitResult(action="accept", content={}),
        types.ElicitResult(action="accept", content={"confirm": "no"}),
        types.ElicitResult(action="accept", content={"confirm": True}),
        types.ElicitResult(action="accept", content={"confirm": "Yes"}),
        types.ElicitResult(action="accept", content={"confirm": "yes", "more": "x"}),
    ],
    ids=["declined", "cancelled", "nothing", "empty", "no", "another type", "another case", "a field more"],
)
async def test_whatever_is_no_yes_is_a_no(office: Office, mode: str, answer: types.ElicitResult) -> None:
    async with office.client(mode, Human(answer), "write") as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("wipe", {"name": "ada"})
    assert refused.value.error.code == 403
    assert refused.value.error.data["reason"] == "confirmation_refused"
    assert refused.value.error.data["retryable"] is False
    assert office.ran == []
    last = office.records(name="wipe")[-1]
    assert (last["result"], last["reason"]) == ("denied_policy", "confirmation_refused")
    assert office.records("confirmed") == []


@ERAS
@pytest.mark.parametrize(
    ("fill_in", "runs"),
    [
        pytest.param(lambda form: form(confirm="yes"), True, id="the form that it makes"),
        pytest.param(lambda form: {"confirm": "yes"}, True, id="a dict"),
        pytest.param(lambda form: form(confirm="no"), False, id="no"),
        pytest.param(lambda form: {}, False, id="empty"),
        pytest.param(lambda form: types.ElicitResult(action="accept"), False, id="accepted without looking"),
    ],
)
async def test_the_client_of_fastmcp_fills_in_the_form(
    office: Office, mode: str, fill_in: Callable[[Any], Any], runs: bool
) -> None:
    fastmcp = pytest.importorskip("fastmcp")

    async def handler(_message: str, form: Any, _params: Any, _context: Any) -> Any:
        return fill_in(form)

    token = office.it.token("write")
    async with fastmcp.Client(office.url, auth=token, mode=mode, elicitation_handler=handler) as client:
        result = await client.call_tool("wipe", {"name": "ada"}, raise_on_error=False) if runs else None
        if not runs:
            with pytest.raises(Exception, match=r"confirm"):
                await client.call_tool("wipe", {"name": "ada"})
    assert office.ran == (["wipe ada"] if runs else [])
    assert result is None or result.content[0].text == "wiped ada"
    assert len(office.records("confirmed")) == runs


@ERAS
async def test_a_client_that_cannot_ask_is_told_so(office: Office, mode: str) -> None:
    async with office.client(mode, None, "write") as client:
        with pytest.raises(
            MCPError, match="no elicitation by form or failed at it, or the server has no way to ask"
        ) as refused:
            await client.call_tool("wipe", {"name": "ada"})
    assert refused.value.error.code == 403
    assert refused.value.error.data["reason"] == "confirmation_unavailable"
    assert office.ran == []
    [record] = office.records(name="wipe")
    assert (record["result"], record["reason"]) == ("denied_policy", "confirmation_unavailable")
    assert office.records("asked", "confirmed") == []


async def test_a_user_who_says_nothing_has_not_confirmed(guarded: Make) -> None:
    """On the newer protocol nobody waits: there the answer comes too late, or never."""

    async def human(_context: Any, _params: Any) -> types.ElicitResult:
        await anyio.sleep(5)
        return YES

    with opened(guarded, "sse", confirmation=hurried()) as office:
        async with office.client(LEGACY, human, "write") as client:
            with pytest.raises(MCPError, match="has expired") as refused:
                await client.call_tool("wipe", {"name": "ada"})
    assert refused.value.error.data["reason"] == "confirmation_expired"
    assert office.ran == []
    assert office.records(name="wipe")[-1]["reason"] == "confirmation_expired"


@ERAS
async def test_not_being_asked_costs_nothing(guarded: Make, kind: str, mode: str) -> None:
    with opened(guarded, kind, confirmation=doorward.Confirmation(asks=["1/hour"])) as office:
        async with office.client(mode, None, "write") as client:
            for _ in range(2):
                with pytest.raises(MCPError, match="nobody can be asked"):
                    await client.call_tool("wipe", {"name": "ada"})
        async with office.client(mode, Human(), "write") as client:
            assert not (await client.call_tool("wipe", {"name": "ada"})).is_error


@ERAS
async def test_no_argument_is_an_answer(office: Office, mode: str) -> None:
    async with office.client(mode, None, "write") as client:
        for arguments in (
            {"name": "ada", "confirmed": True},
            {"name": "ada", "doorward.confirmation": YES.model_dump()},
        ):
            with pytest.raises(MCPError) as refused:
                await client.call_tool("wipe", arguments)
            assert refused.value.error.data["reason"] == "confirmation_unavailable"
    async with office.client(mode, Human(NO), "write") as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("wipe", {"name": "ada", "confirmed": True, "confirm": True})
    assert refused.value.error.data["reason"] == "confirmation_refused"
    assert office.ran == []


@ERAS
async def test_asking_spends_its_own_budget_and_calling_that_of_the_tool(office: Office, mode: str) -> None:
    human = Human(NO, NO, NO)  # three questions, and the tool's two calls an hour are still there
    async with office.client(mode, human, "write") as client:
        for _ in range(3):
            with pytest.raises(MCPError, match="did not confirm"):
                await client.call_tool("wipe", {"name": "ada"})
        for _ in range(2):
            assert not (await client.call_tool("wipe", {"name": "ada"})).is_error
        with pytest.raises(MCPError, match="over 2/hour for wipe") as limited:
            await client.call_tool("wipe", {"name": "ada"})
    assert limited.value.error.code == 429
    assert len(human.questions) == 6
    assert office.ran == ["wipe ada"] * 2


@ERAS
async def test_whoever_is_asked_too_often_is_not_asked(guarded: Make, kind: str, mode: str) -> None:
    human = Human(otherwise=NO)
    with opened(guarded, kind, confirmation=doorward.Confirmation(asks=["2/hour"])) as office:
        async with office.client(mode, human, "write") as client:
            for _ in range(2):
                with pytest.raises(MCPError, match="did not confirm"):
                    await client.call_tool("wipe", {"name": "ada"})
            with pytest.raises(MCPError, match="over 2/hour for confirmation") as limited:
                await client.call_tool("wipe", {"name": "ada"})
        assert (limited.value.error.code, limited.value.error.data["budget"]) == (429, "confirmation")
        async with office.client(mode, Human(), "write", client_id="another") as client:
            assert not (await client.call_tool("wipe", {"name": "ada"})).is_error
    assert len(human.questions) == 2
    assert office.records(name="wipe")[-3 if mode == MODERN else -2]["result"] == "denied_rate"


@ERAS
async def test_resources_and_prompts_are_confirmed_like_tools(office: Office, mode: str) -> None:
    human = Human(NO, YES, NO, YES)
    async with office.client(mode, human) as client:
        with pytest.raises(MCPError, match="did not confirm"):
            await client.read_resource("data://secret")
        assert (await client.read_resource("data://secret")).contents[0].text == "a secret"
        with pytest.raises(MCPError, match="did not confirm"):
            await client.get_prompt("plan")
        assert (await client.get_prompt("plan")).messages
    assert office.ran == ["secret", "plan"]
    assert [question.splitlines()[0] for question in human.questions] == [
        *["Read this resource?"] * 2,
        *["Use this prompt?"] * 2,
    ]


@ERAS
async def test_what_is_observed_asks_nobody(office: Office, mode: str) -> None:
    human = Human()
    async with office.client(mode, human) as client:
        assert not (await client.call_tool("watched", {})).is_error
    assert human.questions == []
    [record] = office.records(name="watched")
    assert (record["result"], record["would_deny"]) == ("success", ["confirmation_unavailable"])


@ERAS
async def test_a_tool_that_another_one_calls(office: Office, mode: str) -> None:
    """The older protocol can ask in the middle of a call; the newer one could only ask instead of the outer answer."""
    human = Human(NO, YES)
    async with office.client(mode, human, "write") as client:
        first = await _result(client.call_tool("by_calling", {"name": "ada"}))
        second = await _result(client.call_tool("by_calling", {"name": "ada"}))
    inner = office.records(name="wipe")
    outer = office.records(name="by_calling")
    assert [record["parent_id"] for record in inner] == [record["request_id"] for record in outer]
    reasons = [record["reason"] for record in inner]
    if mode == MODERN:
        assert reasons == ["confirmation_unavailable"] * 2
        assert human.questions == []
        assert office.ran == []
        assert "needs a confirmation" in first
    else:
        assert reasons == ["confirmation_refused", None]
        assert "did not confirm" in first
        assert "wiped ada" in second
        assert office.ran == ["wipe ada"]


async def _result(call: Any) -> str:
    """What comes back, whichever way."""
    try:
        return str((await call).content[0].text)
    except MCPError as error:
        return error.error.message


async def test_a_server_that_answers_in_json_can_ask_by_a_result(guarded: Make) -> None:
    human = Human(NO, YES)
    with opened(guarded, "json") as office:
        async with office.client(MODERN, human, "write") as client:
            with pytest.raises(MCPError, match="did not confirm"):
                await client.call_tool("wipe", {"name": "ada"})
            assert not (await client.call_tool("wipe", {"name": "ada"})).is_error
    assert office.ran == ["wipe ada"]


@pytest.mark.parametrize("mode", [LEGACY])
@pytest.mark.parametrize("options", [{"json_response": True}, {"stateless_http": True}], ids=["json", "stateless"])
async def test_without_a_way_back_nobody_can_be_asked(guarded: Make, mode: str, options: dict[str, bool]) -> None:
    human = Human()
    with opened(guarded, "sse", how=lambda gate, server: gate.protect(server, **options)) as office:
        async with office.client(mode, human, "write") as client:
            with pytest.raises(MCPError) as refused:
                await client.call_tool("wipe", {"name": "ada"})
    assert refused.value.error.data["reason"] == "confirmation_unavailable"
    assert (human.questions, office.ran) == ([], [])


async def test_a_client_that_was_asked_and_fails_has_spent_it(guarded: Make) -> None:
    asked: list[str] = []

    async def failing(_context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        raise MCPError(-32000, "the form was shown, and the time for it is up")

    with opened(guarded, "sse", confirmation=doorward.Confirmation(asks=["1/hour"])) as office:
        async with office.client(LEGACY, failing, "write") as client:
            for reason in ("confirmation_unavailable", "rate_limited"):
                with pytest.raises(MCPError) as refused:
                    await client.call_tool("wipe", {"name": "ada"})
                assert refused.value.error.data["reason"] == reason
    assert len(asked) == 1


async def test_no_question_is_kept_for_free(guarded: Make) -> None:
    """A session of the older protocol with a message that speaks of the newer one: a question is made that this session
    cannot be asked."""
    with opened(guarded, "sse", confirmation=doorward.Confirmation(asks=["1/hour"])) as office:
        session = open_session(Desk(office.it, None, []))
        for reason in ("confirmation_unavailable", "rate_limited"):
            assert f'"reason":"{reason}"' in posted(office, "wipe", {"name": "ada"}, "write", session=session).text
