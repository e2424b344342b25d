"""The operator's approver: asked instead of the client's user, whatever the client says it can do."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from adapters.asked import RULES, Human, hurried, opened, posted
from adapters.desk import LEGACY, MODERN, modern_headers
from guarded import Guarded, message
from mcp import MCPError

import doorward

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])
KINDS = pytest.mark.parametrize("kind", ["sse", "json", "fastmcp"])
Make = Callable[..., Guarded]


class Approver:
    """Somebody who says what they are told to say."""

    def __init__(self, says: Any = True, *, is_async: bool = True) -> None:
        self.questions: list[doorward.Question] = []
        self.says = says
        self.has_to_ask: Callable[..., Any] = self._ask if is_async else self._block

    async def _ask(self, question: doorward.Question) -> Any:
        return self._block(question)

    def _block(self, question: doorward.Question) -> Any:
        self.questions.append(question)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@ERAS
@KINDS
async def test_the_approver_is_asked_and_not_the_client(guarded: Make, kind: str, mode: str) -> None:
    if kind == "fastmcp":
        pytest.importorskip("fastmcp")
    approver, human = Approver(), Human()
    with opened(guarded, kind, approver=approver.has_to_ask) as office:
        async with office.client(mode, human, "write") as client:
            assert (await client.call_tool("wipe", {"name": "ada"})).content[0].text == "wiped ada"
        async with office.client(mode, None, "write") as client:
            assert (await client.call_tool("wipe", {"name": "bob"})).content[0].text == "wiped bob"
            approver.says = False
            with pytest.raises(MCPError) as refused:
                await client.call_tool("wipe", {"name": "eve"})
    assert refused.value.error.data["reason"] == "confirmation_refused"
    assert human.questions == []
    assert office.ran == ["wipe ada", "wipe bob"]
    question = approver.questions[0]
    assert (question.kind, question.tool, dict(question.arguments)) == ("tool", "wipe", {"name": "ada"})
    assert (question.principal.subject, question.principal.client_id) == ("user-1", "agent-1")
    assert question.deadline == office.it.now + 600
    assert '"name" = "ada"' in question.text
    # Whoever finds a question in a log must not see what it is about.
    assert "'ada'" not in repr(question)
    records = office.records(name="wipe")
    assert [record["result"] for record in records] == ["success", "success", "denied_policy"]
    assert question.request_id == records[0]["request_id"]
    events = office.records("asked", "confirmed")
    assert [record["event"] for record in events] == ["asked", "confirmed", "asked", "confirmed", "asked"]
    assert {record["reason"] for record in events} == {"approver"}


@pytest.mark.parametrize("says", [None, False, 1, "yes", {"confirm": True}, [True]], ids=repr)
@pytest.mark.parametrize("is_async", [True, False])
async def test_true_is_a_yes_and_nothing_else(guarded: Make, says: Any, is_async: bool) -> None:
    it = guarded(**RULES, approver=Approver(says, is_async=is_async).has_to_ask)
    assert _reason(await it.call("wipe", "write")) == "confirmation_refused"


@pytest.mark.parametrize("is_async", [True, False])
async def test_framework_free_the_decision_waits_for_the_approver(guarded: Make, is_async: bool) -> None:
    it = guarded(**RULES, approver=Approver(is_async=is_async).has_to_ask)
    decision = await it.call("wipe", "write")
    assert (decision.allowed, decision.is_pending) == (True, False)
    decision.close()
    assert it.records()[-1]["result"] == "success"


async def test_a_function_that_hands_back_a_coroutine_is_waited_for(guarded: Make) -> None:
    no = Approver(says=False)
    it = guarded(**RULES, approver=lambda question: no.has_to_ask(question))
    assert _reason(await it.call("wipe", "write")) == "confirmation_refused"


@pytest.mark.parametrize("is_async", [True, False])
async def test_one_that_fails_is_an_outage_and_says_nothing(
    guarded: Make, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    it = guarded(**RULES, approver=Approver(ValueError("about ada"), is_async=is_async).has_to_ask)
    token = it.token("write")
    decision = await it.gate.decide(authorization=f"Bearer {token}", body=message("wipe", name="ada"))
    response = it.gate.render(decision)
    assert (_reason(decision), response.status) == ("approver_unavailable", 503)
    assert dict(response.headers)["retry-after"] == "1"
    assert "ada" not in caplog.text
    assert it.records()[-1]["result"] == "unavailable"
    assert it.gate.alarms == {"approver_failing": 1}


async def test_whoever_does_not_answer_in_time_has_not_confirmed(guarded: Make) -> None:
    it = guarded(**RULES, approver=_never, confirmation=hurried())
    assert _reason(await it.call("wipe", "write")) == "confirmation_expired"
    assert it.records()[-1]["reason"] == "confirmation_expired"


async def test_functions_that_block_are_so_many_and_no_more(guarded: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("doorward.confirmation.approvers._MAX_THREADS", 1)
    began, may_end = threading.Event(), threading.Event()

    def approver(_question: doorward.Question) -> bool:
        began.set()
        return may_end.wait(20)

    it = guarded(**RULES, approver=approver)
    async with anyio.create_task_group() as group:
        group.start_soon(it.call, "wipe", "write")
        while not began.is_set():
            await anyio.sleep(0.01)
        assert _reason(await it.call("wipe", "write")) == "approver_unavailable"
        group.cancel_scope.cancel()
    # Nobody waits for its answer any more, but the thread is still there.
    assert _reason(await it.call("wipe", "write")) == "approver_unavailable"
    may_end.set()
    while _reason(decision := await it.call("wipe", "write")) == "approver_unavailable":
        await anyio.sleep(0.01)
    assert decision.allowed


ONE_AT_ONCE: dict[str, Any] = {
    "the rule's": {"tools": [doorward.ToolRule("wipe", scopes=["write"], confirm=True, concurrency=1)]},
    "the client's": {"limits": doorward.Limits(concurrency=1)},
}


@pytest.mark.parametrize("whose", ONE_AT_ONCE)
@pytest.mark.parametrize("ends", ["yes", "no", "too late", "failing", "cancelled"])
async def test_while_it_waits_it_is_in_flight(guarded: Make, whose: str, ends: str) -> None:
    began, may_end = anyio.Event(), anyio.Event()

    async def approver(_question: doorward.Question) -> bool:
        began.set()
        await may_end.wait()
        if ends == "failing":
            raise ValueError
        return ends == "yes"

    asks = ["2/hour"]
    times: Any = hurried(asks=asks) if ends == "too late" else doorward.Confirmation(asks=asks)
    it = guarded(**(RULES | ONE_AT_ONCE[whose]), approver=approver, confirmation=times)
    first: list[doorward.Decision] = []

    async def call() -> None:
        first.append(await it.call("wipe", "write"))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await began.wait()
        with anyio.fail_after(20):
            refused = (await it.call("wipe", "write")).refusal
        assert isinstance(refused, doorward.Limited)
        assert refused.code == "too_many_in_flight"
        assert refused.budget == ("wipe" if whose == "the rule's" else "client")
        if ends == "cancelled":
            group.cancel_scope.cancel()
        elif ends != "too late":
            may_end.set()
    if ends == "yes":
        assert _reason(await it.call("wipe", "write")) == "too_many_in_flight", "now its tool runs"
    for decision in first:
        decision.close()
    first.clear()
    gc.collect()  # one that was cancelled is dropped
    may_end.set()
    again = _reason(await it.call("wipe", "write"))
    assert again not in ("too_many_in_flight", "rate_limited"), "what was refused has asked nobody"


async def test_a_token_that_was_revoked_meanwhile_runs_nothing(guarded: Make) -> None:
    async def approver(_question: doorward.Question) -> bool:
        it.gate.revoke(subject="user-1")
        return True

    it = guarded(**RULES, approver=approver)
    assert _reason(await it.call("wipe", "write")) == "token_revoked"
    assert [line["event"] for line in it.lines() if line["event"] != "start"] == ["asked", "call"]


@pytest.mark.parametrize(("says", "reason"), [(ValueError(), "approver_unavailable"), (False, "confirmation_refused")])
async def test_asking_the_approver_has_a_budget_whatever_becomes_of_it(guarded: Make, says: Any, reason: str) -> None:
    """What failed may have asked a human before: who is asked all the time says yes without looking."""
    approver = Approver(says)
    it = guarded(**RULES, approver=approver.has_to_ask, confirmation=doorward.Confirmation(asks=["1/hour"]))
    assert _reason(await it.call("wipe", "write")) == reason
    approver.says = True
    assert _reason(await it.call("wipe", "write")) == "rate_limited"
    assert len(approver.questions) == 1


async def test_a_yes_that_comes_too_late_is_none(guarded: Make) -> None:
    async def unhurried(_question: doorward.Question) -> bool:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.7)
        return True

    it = guarded(**RULES, approver=unhurried, confirmation=hurried())
    assert _reason(await it.call("wipe", "write")) == "confirmation_expired"


async def test_a_tool_that_another_one_calls_asks_the_approver_too(guarded: Make) -> None:
    approver = Approver()
    with opened(guarded, "sse", approver=approver.has_to_ask) as office:
        async with office.client(MODERN, None, "write") as client:
            assert not (await client.call_tool("by_calling", {"name": "ada"})).is_error
    assert office.ran == ["wipe ada"]
    assert [question.tool for question in approver.questions] == ["wipe"]


async def test_the_rounds_of_a_tool_do_not_ask_the_approver_again(guarded: Make) -> None:
    approver = Approver()
    with opened(guarded, "sse", approver=approver.has_to_ask) as office:
        first = posted(office, "register", {}).json()["result"]
        own = {"it": {"action": "accept", "content": {"value": "ada"}}}
        second = posted(office, "register", {}, state=first["requestState"], answers=own).json()["result"]
        done = posted(office, "register", {}, state=second["requestState"], answers=own).json()["result"]
    assert done["content"][0]["text"] == "registered ada"
    assert len(approver.questions) == 1


# --- before a server that nobody knows --------------------------------------------------------------------------------


def plain(ran: list[str]) -> Any:
    """An ASGI app without a message tier."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        ran.append("ran")
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


@pytest.mark.parametrize("forms", [True, False])
def test_before_a_plain_server_nobody_can_be_asked(guarded: Make, forms: bool) -> None:
    ran: list[str] = []
    with opened(guarded, "sse", how=lambda gate, _server: gate.protect(plain(ran))) as office:
        refused = posted(office, "wipe", {"name": "ada"}, "write", forms=forms)
        assert refused.status_code == 403
        assert refused.json()["error"]["data"]["reason"] == "confirmation_unavailable"
        assert posted(office, "free", {}).status_code == 200
    assert ran == ["ran"]


TOLD: dict[str, tuple[dict[str, Any], bool]] = {
    "nobody can be asked": ({"tools": [doorward.ToolRule("wipe", scopes=[], confirm=True)]}, True),
    "nobody has to be": ({"tools": [doorward.ToolRule("wipe", scopes=[])]}, False),
    "it is only observed": ({"tools": [doorward.ToolRule("wipe", scopes=[], confirm=True, mode="observe")]}, False),
    "the approver can be": (RULES | {"approver": lambda question: True}, False),
}


@pytest.mark.parametrize(("settings", "is_told"), TOLD.values(), ids=TOLD)
def test_whoever_protects_a_plain_server_is_told_that_no_such_call_can_pass(
    guarded: Make, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], is_told: bool
) -> None:
    guarded(**settings).gate.protect(plain([]))
    assert ("rules with confirm = true let no call pass here" in caplog.text) is is_told


def test_before_a_plain_server_the_approver_can(guarded: Make) -> None:
    ran: list[str] = []
    approver = Approver()
    with opened(
        guarded, "sse", approver=approver.has_to_ask, how=lambda gate, _server: gate.protect(plain(ran))
    ) as office:
        assert posted(office, "wipe", {"name": "ada"}, "write").status_code == 200
        approver.says = False
        refused = posted(office, "wipe", {"name": "ada"}, "write")
    assert (refused.status_code, refused.json()["error"]["data"]["reason"]) == (403, "confirmation_refused")
    assert ran == ["ran"]


@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "of the SDK"])
def test_for_a_client_that_has_gone_nothing_runs(guarded: Make, is_plain: bool) -> None:
    ran: list[str] = []
    asked, may_answer = threading.Event(), threading.Event()

    def approver(_question: doorward.Question) -> bool:
        asked.set()
        return may_answer.wait(20)

    how = (lambda gate, _server: gate.protect(plain(ran))) if is_plain else None
    with opened(guarded, "sse", approver=approver, how=how) as office:
        _hang_up(office, asked)
        deadline = time.monotonic() + 10
        while not office.records() and time.monotonic() < deadline:
            time.sleep(0.01)
        may_answer.set()
        assert posted(office, "watched", {}).status_code == 200
    assert [record["result"] for record in office.records(name="wipe")] == ["cancelled"]
    assert office.records("confirmed") == []
    assert "wipe ada" not in office.ran
    assert ran == (["ran"] if is_plain else [])


def _hang_up(office: Any, asked: threading.Event) -> None:
    import socket
    from urllib.parse import urlsplit

    address = urlsplit(office.url)
    body = json.loads(message("wipe", name="ada"))
    prefix = "io.modelcontextprotocol"
    body["params"]["_meta"] = {f"{prefix}/protocolVersion": MODERN, f"{prefix}/clientCapabilities": {}}
    sent = json.dumps(body).encode()
    head = {
        "Host": address.netloc,
        "Authorization": f"Bearer {office.it.token('write')}",
        "Content-Length": str(len(sent)),
        **modern_headers("wipe"),
    }
    lines = [f"POST {address.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + sent)
        assert asked.wait(10)


def _reason(decision: doorward.Decision) -> str | None:
    return None if decision.refusal is None else decision.refusal.code


async def _never(_question: doorward.Question) -> bool:
    await anyio.sleep_forever()
    return True
