"""Rules with ``confirm = true``, as the gate itself sees them: who starts, who refuses, and what a reload keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from configured import HEAD, Configured
from guarded import Guarded, message

import doorward
from doorward.audit.reading.verify import verify
from doorward.confirmation.consent import MAX_ROUNDS
from doorward.settings import Secret

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]

RULES = [doorward.ToolRule("wipe", scopes=[], limit=["5/minute"], confirm=True), doorward.ToolRule("*", scopes=[])]
YES = {"doorward.confirmation": {"action": "accept", "content": {"confirm": "yes"}}}
PREFIX = "io.modelcontextprotocol"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def body(state: str | None = None, answers: Any = None, method: str = "tools/call", **params: Any) -> bytes:
    """A message of the newer protocol, from a client that can ask."""
    meta = {f"{PREFIX}/protocolVersion": "2026-07-28", f"{PREFIX}/clientCapabilities": {"elicitation": {}}}
    given = {"name": "wipe", "arguments": {}} | params | {"_meta": meta}
    if state is not None:
        given["requestState"] = state
    if answers is not None:
        given["inputResponses"] = answers
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": given}).encode()


async def judged(it: Guarded, body: bytes, *, by_client: bool = True) -> doorward.Decision:
    """What an adapter with a message tier gets."""
    request = doorward.Request(
        host="mcp.example.com", path="/mcp", headers=[("authorization", f"Bearer {it.token('read')}")]
    )
    decision = await it.gate.begin(request)
    await it.gate.judge(decision, body, by_client=by_client)
    return decision


def reason(decision: doorward.Decision) -> str | None:
    return None if decision.refusal is None else decision.refusal.code


async def asked(it: Guarded) -> str:
    decision = await judged(it, body())
    assert (decision.allowed, decision.is_pending) == (True, True)
    assert decision.consent is not None
    assert decision.consent.asking is not None
    decision.close("asked")
    return decision.consent.asking


# --- who may wait -----------------------------------------------------------------------------------------------------


async def test_only_who_says_so_gets_a_decision_that_waits(guarded: Make) -> None:
    it = guarded(tools=RULES)
    assert reason(await judged(it, body(), by_client=False)) == "confirmation_unavailable"
    assert reason(await it.call("wipe")) == "confirmation_unavailable"
    parent = await it.call("free")
    call = it.gate.call_of_message("tools/call", 2, {"name": "wipe"}, under=parent)
    assert reason(await it.gate.judge_message(parent, call)) == "confirmation_unavailable"
    assert (await it.gate.judge_message(parent, call, {"name": "wipe"})).is_pending


async def test_arguments_are_copied_for_an_approver_alone(guarded: Make) -> None:
    """What is copied may take a second, and is not paid for before somebody is asked."""

    class Counted(dict[str, Any]):
        copies = 0

        def __deepcopy__(self, _memo: object) -> Counted:
            Counted.copies += 1
            return self

    for approver, copies in ((None, 0), (lambda _question: True, 1)):
        it = guarded(tools=RULES, approver=approver)
        parent = await it.call("free")
        params = {"name": "wipe", "arguments": {"deep": Counted()}}
        call = it.gate.call_of_message("tools/call", 2, params, under=parent)
        decision = await it.gate.judge_message(parent, call, params)
        if approver is not None:
            await it.gate.confirming(decision).consult(decision)
        assert Counted.copies == copies


@pytest.mark.parametrize(
    ("state", "why"),
    [(None, "rate_limited"), ("no state of ours", "confirmation_invalid")],
    ids=["over asks", "forged"],
)
async def test_whoever_is_refused_puts_nothing_into_words(
    guarded: Make, monkeypatch: pytest.MonkeyPatch, state: str | None, why: str
) -> None:
    """Four megabytes of empty lists took half a second of everybody's time."""
    it = guarded(tools=RULES, confirmation=doorward.Confirmation(asks=["1/hour"]))
    await asked(it)

    def unpaid(*_: Any, **__: Any) -> str:
        raise AssertionError("nobody is asked, and nobody has paid for this")

    monkeypatch.setattr("doorward.confirmation.confirmations.in_words", unpaid)
    monkeypatch.setattr("doorward.confirmation.confirmations.hash_arguments", unpaid)
    assert reason(await judged(it, body(state))) == why


LARGE = {"text": "x" * 100_000}


async def test_of_large_bodies_only_what_is_good_is_read_for_free(guarded: Make) -> None:
    it = guarded(tools=RULES, confirmation=doorward.Confirmation(asks=["2/hour"]))
    first, second = [(await judged(it, body(arguments=LARGE))).consent for _ in range(2)]
    assert first is not None
    assert second is not None
    assert reason(await judged(it, body(arguments=LARGE))) == "rate_limited"
    assert reason(await judged(it, body(first.asking, YES, arguments=LARGE))) is None, (
        "a question has room for its answer"
    )
    assert reason(await judged(it, body("no state of ours", arguments=LARGE))) == "confirmation_invalid"
    refused = await judged(it, body("no state of ours", arguments=LARGE))
    assert isinstance(refused.refusal, doorward.Limited)
    assert refused.refusal.budget == "confirmation"
    assert reason(await judged(it, body("no state of ours"))) == "confirmation_invalid", "small ones are told at once"


async def test_a_good_answer_over_the_budget_of_its_rule_is_not_read_for_free(guarded: Make) -> None:
    """It stays good, and so could be sent again and again."""
    rule = doorward.ToolRule("wipe", scopes=[], limit=["1/hour"], confirm=True)
    it = guarded(tools=[rule], confirmation=doorward.Confirmation(asks=["2/hour"]))
    first, second = [(await judged(it, body(arguments=LARGE))).consent for _ in range(2)]
    assert first is not None
    assert second is not None
    answered = [await judged(it, body(asked.asking, YES, arguments=LARGE)) for asked in (first, second, second, second)]
    assert [reason(decision) for decision in answered] == [None, *["rate_limited"] * 3]
    budgets = [decision.refusal.budget for decision in answered[1:] if isinstance(decision.refusal, doorward.Limited)]
    assert budgets == ["wipe", "wipe", "confirmation"]


async def test_a_nested_call_that_is_refused_asks_nobody(guarded: Make) -> None:
    it = guarded(tools=RULES, confirmation=doorward.Confirmation(asks=["1/hour"]))
    parent = await it.call("free")
    call = it.gate.call_of_message("tools/call", 2, {"name": "wipe"}, under=parent)
    nested = [await it.gate.judge_message(parent, call, {"name": "wipe"}) for _ in range(2)]
    assert [(decision.allowed, decision.is_pending) for decision in nested] == [(True, True), (False, False)]


async def test_nothing_runs_under_a_decision_that_waits(guarded: Make) -> None:
    from doorward.adapters.messages import run_under

    async def run() -> None:
        raise AssertionError("this must not run")

    it = guarded(tools=RULES)
    decision = await judged(it, body())
    assert decision.call is not None
    assert decision.claim(decision.call)
    with pytest.raises(ValueError, match="nothing runs before it is confirmed"):
        await run_under(decision, run, is_error=lambda answer: False)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "plan"}, "argument": {"name": "a", "value": ""}},
        ),
        ("resources/subscribe", {"uri": "data://secret"}),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["data://secret"]}}),
    ],
)
async def test_what_cannot_be_answered_by_a_question_is_refused(guarded: Make, method: str, params: Any) -> None:
    it = guarded(
        prompts=[doorward.PromptRule("*", scopes=[], confirm=True)],
        resources=[doorward.ResourceRule("*", scopes=[], confirm=True)],
        approver=lambda question: True,
    )
    sent = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    assert reason(await judged(it, sent)) == "confirmation_unavailable"


# --- who starts -------------------------------------------------------------------------------------------------------


def test_several_processes_without_a_store_do_not_start(guarded: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"limits\.store must be a Redis .*instances is 2.*Set \[limits\] store"):
        guarded(tools=RULES, limits=doorward.Limits(instances=2))
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    with pytest.raises(ValueError, match=r"limits\.store must be a Redis .*several workers \("):
        guarded(tools=RULES)
    guarded(tools=[replace(RULES[0], mode="observe")]).gate.close()
    guarded(tools=RULES[1:]).gate.close()


def test_a_worker_that_another_process_started_does_not_start(tmp_path: Path) -> None:
    """As `uvicorn --workers` starts them."""
    script = tmp_path / "workers.py"
    script.write_text(
        "import multiprocessing, doorward\n"
        "from doorward.testing import Issuer\n"
        "def work():\n"
        "    issuer = Issuer('https://as.example.com')\n"
        "    doorward.Gate(resource='https://mcp.example.com/mcp',\n"
        "        issuers=[doorward.Issuer(issuer.url, ['ES256'], issuer.jwks())],\n"
        "        tools=[doorward.ToolRule('*', scopes=[], confirm=True)])\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=work)\n"
        "    process.start(); process.join(); raise SystemExit(process.exitcode)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "limits.store must be a Redis that all processes share" in done.stderr


def test_a_file_that_cannot_work_names_itself(tmp_path: Path) -> None:
    configured = Configured(tmp_path)
    configured.path.write_text(f"{HEAD}[[tool]]\nmatch = '*'\nscopes = []\nconfirm = true\n[limits]\ninstances = 4\n")
    with pytest.raises(ValueError, match=r"doorward\.toml:10: \[limits\] store: must be a Redis"):
        doorward.Gate.from_file(configured.path)


async def test_the_approver_may_stand_beside_a_file(tmp_path: Path) -> None:
    configured = Configured(tmp_path)
    configured.path.write_text(f"{HEAD}[[tool]]\nmatch = '*'\nscopes = []\nconfirm = true\n[audit]\npath = 'a.jsonl'\n")
    gate = doorward.Gate.from_file(configured.path, approver=lambda question: True)
    assert gate.has_approver
    gate.reload()
    assert gate.has_approver
    gate.close()


def test_there_is_one_approver(guarded: Make) -> None:
    webhook = doorward.Confirmation(webhook="https://approve.example.com/", webhook_key=Secret(b"k" * 32))
    with pytest.raises(ValueError, match="approver must not stand beside"):
        guarded(confirmation=webhook, approver=lambda question: True)
    with pytest.raises(ValueError, match="approver must be a function"):
        guarded(approver="https://approve.example.com/")


@pytest.mark.parametrize(
    ("settings", "who"),
    [({}, "the client"), ({"approver": bool}, "the operator's approver")],
    ids=["client", "approver"],
)
def test_explain_says_who_confirms_and_what_asking_costs(guarded: Make, settings: Any, who: str) -> None:
    told = str(guarded(tools=RULES, **settings).gate.explain("wipe")).splitlines()
    assert told[-3:] == [
        f"  each call is confirmed within 600 s: by {who}",
        "  asking spends 1 of 10/minute for confirmation (client)",
        "  asking spends 1 of 200/day for confirmation (client)",
    ]


# --- what is spent, and how long it goes on ---------------------------------------------------------------------------


async def test_a_question_that_could_not_be_asked_costs_nothing(guarded: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    it = guarded(tools=RULES, confirmation=doorward.Confirmation(asks=["1/hour"]))
    with monkeypatch.context() as full:
        full.setattr("doorward.confirmation.kept.MAX_QUESTIONS", 0)
        for _ in range(2):
            assert reason(await judged(it, body())) == "store_unavailable"
    await asked(it)
    assert reason(await judged(it, body())) == "rate_limited"


async def test_a_tool_does_not_ask_without_end(guarded: Make) -> None:
    it = guarded(tools=[replace(RULES[0], limit=())])
    state = await asked(it)
    for round_ in range(MAX_ROUNDS + 1):
        decision = await judged(it, body(state, YES))
        assert (decision.allowed, decision.is_pending) == (True, False)
        assert decision.consent is not None
        confirmations = it.gate.confirming(decision).confirmations
        if round_ < MAX_ROUNDS:
            state = await confirmations.carry(decision.consent, "the tool's own")
        else:
            with pytest.raises(doorward.Forbidden, match="asks without end"):
                await confirmations.carry(decision.consent, "the tool's own")
        decision.close()


# --- what a reload keeps ----------------------------------------------------------------------------------------------


def change(it: Guarded, **settings: Any) -> None:
    it.gate.reload(replace(it.gate.configuration, **settings))


async def test_a_reload_knows_what_was_asked_before(guarded: Make) -> None:
    it = guarded(tools=RULES)
    state = await asked(it)
    change(it, scopes={})
    assert reason(await judged(it, body(state, YES))) is None
    assert reason(await judged(it, body(state, YES))) == "confirmation_used"


async def test_a_key_that_is_replaced_counts_for_the_questions_it_was_used_for(guarded: Make) -> None:
    first, second, third = (doorward.Confirmation(key=Secret(bytes([each]) * 32)) for each in (1, 2, 3))
    it = guarded(tools=RULES, confirmation=first)
    states = [await asked(it) for _ in range(3)]
    change(it, confirmation=second)
    assert reason(await judged(it, body(states[0], YES))) is None
    assert reason(await judged(it, body(await asked(it), YES))) is None
    change(it, confirmation=third)
    assert reason(await judged(it, body(states[1], YES))) == "confirmation_invalid"
    it.now += 601
    assert reason(await judged(it, body(states[2], YES))) in ("confirmation_invalid", "confirmation_expired")


async def test_a_question_without_a_key_is_none_once_there_is_one(guarded: Make) -> None:
    it = guarded(tools=RULES)
    state = await asked(it)
    change(it, confirmation=doorward.Confirmation(key=Secret(b"k" * 32)))
    assert reason(await judged(it, body(state, YES))) == "confirmation_invalid"


async def test_a_rule_that_changed_its_match_is_another_rule(guarded: Make) -> None:
    it = guarded(tools=RULES)
    state = await asked(it)
    change(it, tools=[replace(RULES[0], match="wip*"), RULES[1]])
    assert reason(await judged(it, body(state, YES))) == "confirmation_invalid"


async def test_once_there_is_an_approver_no_answer_of_a_client_counts(guarded: Make) -> None:
    """The very question, and a webhook that came with a reload."""
    it = guarded(tools=RULES)
    state = await asked(it)
    change(
        it,
        confirmation=doorward.Confirmation(webhook="https://127.0.0.1:1/", webhook_key=Secret(b"k" * 32)),
    )
    assert reason(await judged(it, body(state, YES))) == "confirmation_invalid"


# --- the record -------------------------------------------------------------------------------------------------------


async def test_durable_records_are_in_order_and_verify(guarded: Make) -> None:
    trail = guarded(tools=RULES).trail
    it = guarded(tools=RULES, audit=doorward.Audit(path=str(trail.with_name("durable.jsonl")), durability="durable"))
    it.trail = trail.with_name("durable.jsonl")
    state = await asked(it)
    decision = await judged(it, body(state, YES))
    await decision.aclose()
    assert reason(await judged(it, body(state, YES))) == "confirmation_used"
    lines = [(line["event"], line["result"], line["reason"]) for line in it.lines()]
    assert lines[1:] == [
        ("call", "asked", None),
        ("confirmed", None, "client"),
        ("intent", None, None),
        ("call", "success", None),
        ("call", "denied_policy", "confirmation_used"),
    ]
    it.gate.close()
    found = verify([it.trail])
    assert found.intact, found


async def test_no_record_holds_an_argument_or_an_answer(guarded: Make) -> None:
    it = guarded(tools=RULES)
    decision = await judged(it, body(arguments={"name": "a secret of ada"}))
    assert decision.consent is not None
    state = decision.consent.asking
    decision.close("asked")
    answers = {"doorward.confirmation": {"action": "decline", "content": {"why": "a secret of mine"}}}
    await judged(it, body(state, answers, arguments={"name": "a secret of ada"}))
    kept = it.trail.read_text()
    assert "a secret" not in kept
    assert state is not None
    assert state.split(".")[1] not in kept
    assert "a secret" not in repr(decision) + repr(decision.consent)


async def test_the_hot_path_is_spared(guarded: Make) -> None:
    """A rule without confirm reads nothing more than before, and leaves nothing in its decision."""
    it = guarded(tools=RULES)
    decision = await judged(it, message("free"))
    assert decision.consent is None
    assert not decision.is_pending
