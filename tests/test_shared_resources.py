"""What all clients share in one process: a greedy client takes its share, and an honest one is served.

docs/architecture.md has the table of these resources; each row with a share per client has a test here.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from guarded import NOW, Guarded, message
from tokens.endpoint import Endpoint, later, reply
from tokens.endpoint import endpoint as introspecting

import doorward
from doorward.confirmation import kept
from doorward.limits.spending import MAX_WAITING
from doorward.settings import Introspection, Secret
from doorward.tokens import introspection

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]

PLENTY = doorward.Confirmation(asks=["1000/minute"])
ANY = [doorward.ToolRule("*", scopes=[])]
CONFIRMED = [doorward.ToolRule("*", scopes=[], confirm=True)]


class Client:
    """One client of a gate."""

    def __init__(self, it: Guarded, name: str) -> None:
        self.it = it
        self.name = name
        self._decisions: list[doorward.Decision] = []
        """Calls in flight: a decision that is dropped ends."""

    async def does(self, body: bytes, **judging: Any) -> str | None:
        """The budget that refuses a message, or the slug of another refusal; None where it is allowed."""
        headers = (("authorization", f"Bearer {self.it.token('read', client_id=self.name)}"),)
        request = doorward.Request("https", "mcp.example.com", "POST", "/mcp", headers=headers)
        decision = await self.it.gate.begin(request)
        try:
            if decision.refusal is None:
                await self.it.gate.judge(decision, body, **judging)
        except BaseException:
            # The client has gone, and its decision ends as in an adapter.
            decision.close("cancelled")
            raise
        self._decisions.append(decision)
        if isinstance(decision.refusal, doorward.Limited):
            return decision.refusal.budget
        return None if decision.refusal is None else decision.refusal.code

    async def opens_a_stream(self) -> str | None:
        """The same of a GET."""
        headers = (("authorization", f"Bearer {self.it.token('read', client_id=self.name)}"),)
        request = doorward.Request("https", "mcp.example.com", "GET", "/mcp", headers=headers)
        decision = await self.it.gate.begin(request)
        self._decisions.append(decision)
        return None if decision.refusal is None else decision.refusal.budget  # type: ignore[attr-defined]


Act = Callable[[Client], Awaitable["str | None"]]


def sends(body: bytes, **judging: Any) -> Act:
    return lambda client: client.does(body, **judging)


def request(method: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).encode()


# --- what is taken at once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "act", "share", "budget"),
    [
        pytest.param({"tools": ANY}, sends(message("any")), 32, "client", id="threads of tools, by calls in flight"),
        pytest.param(
            {"tools": ANY, "limits": doorward.Limits(concurrency=None)},
            sends(message("any")),
            600,
            "client",
            id="calls, by the default budget",
        ),
        pytest.param({}, lambda client: client.opens_a_stream(), 64, "streams", id="streams"),
        pytest.param({}, sends(request("initialize")), 120, "handshake", id="handshakes of the older protocol"),
        pytest.param({}, sends(request("server/discover")), 120, "handshake", id="handshakes of the newer protocol"),
        pytest.param({}, sends(request("subscriptions/listen")), 64, "streams", id="subscriptions at once"),
        pytest.param(
            {"limits": doorward.Limits(handshake="1000/second", sessions=70)},
            sends(request("initialize")),
            70,
            "sessions",
            id="sessions of the SDK's session manager",
        ),
    ],
)
async def test_a_greedy_client_takes_its_share_and_an_honest_one_is_served(
    guarded: Make, settings: dict[str, Any], act: Act, share: int, budget: str
) -> None:
    it = guarded(**settings)
    greedy, honest = Client(it, "greedy"), Client(it, "honest")
    assert [await act(greedy) for _ in range(share)] == [None] * share
    assert await act(greedy) == budget
    assert await act(honest) is None


@pytest.mark.parametrize("store", ["memory", "redis"])
async def test_handshakes_are_counted_in_every_store(
    guarded: Make, request: pytest.FixtureRequest, patient: None, store: str
) -> None:
    url = "memory" if store == "memory" else request.getfixturevalue("redis_server").url
    it = guarded(limits=doorward.Limits(handshake="5/hour", store=url))
    greedy, honest = Client(it, "greedy"), Client(it, "honest")
    hello = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize"}).encode()
    assert [await greedy.does(hello) for _ in range(6)] == [None] * 5 + ["handshake"]
    assert await honest.does(hello) is None
    await it.gate.aclose()


async def test_open_questions_leave_room(guarded: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_OF_CLIENT", 3)
    monkeypatch.setattr(kept, "MAX_QUESTIONS", 4)
    it = guarded(tools=CONFIRMED, confirmation=PLENTY)
    greedy, honest = Client(it, "greedy"), Client(it, "honest")
    body = json.loads(message("any"))
    prefix = "io.modelcontextprotocol"
    body["params"]["_meta"] = {
        f"{prefix}/protocolVersion": "2026-07-28",
        f"{prefix}/clientCapabilities": {"elicitation": {}},
    }
    asking = sends(json.dumps(body).encode(), by_client=True)
    assert [await asking(greedy) for _ in range(5)] == [None, None, None, "confirmation", "confirmation"]
    assert await asking(honest) is None


# --- what is held while work goes on ----------------------------------------------------------------------------------


class Asked:
    """An approver, of whom nobody gets an answer before the test ends."""

    def __init__(self) -> None:
        self.clients: list[str | None] = []
        self.may_answer = threading.Event()

    def blocking(self, question: doorward.Question) -> bool:
        self.clients.append(question.principal.client_id)
        return self.may_answer.wait(20)

    async def waiting(self, question: doorward.Question) -> bool:
        self.clients.append(question.principal.client_id)
        await to_thread.run_sync(self.may_answer.wait, 20, limiter=anyio.CapacityLimiter(1), abandon_on_cancel=True)
        return True

    async def have_been(self, client: str, times: int) -> None:
        with anyio.fail_after(20):
            while self.clients.count(client) < times:
                await anyio.sleep(0.01)


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    asked = Asked()
    yield asked
    asked.may_answer.set()


@pytest.mark.parametrize("kind", ["blocking", "waiting"])
async def test_questions_of_a_greedy_client_that_wait_leave_the_approver_to_an_honest_one(
    guarded: Make, asked: Asked, kind: str
) -> None:
    it = guarded(tools=CONFIRMED, confirmation=PLENTY, approver=getattr(asked, kind))
    greedy, honest = Client(it, "greedy"), Client(it, "honest")
    async with anyio.create_task_group() as group:
        for _ in range(MAX_WAITING):
            group.start_soon(greedy.does, message("any"))
        await asked.have_been("greedy", MAX_WAITING)
        assert await greedy.does(message("any")) == "confirmation"
        group.start_soon(honest.does, message("any"))
        await asked.have_been("honest", 1)
        asked.may_answer.set()
    assert await greedy.does(message("any")) is None


async def test_a_thread_that_nobody_waits_for_any_more_is_still_its_client_s(guarded: Make, asked: Asked) -> None:
    """The client asks and hangs up: the human who reads the question does not know, and the thread stays."""
    it = guarded(tools=CONFIRMED, confirmation=PLENTY, approver=asked.blocking)
    greedy, honest = Client(it, "greedy"), Client(it, "honest")
    for number in range(MAX_WAITING):
        await _asked_and_left(greedy, asked, number + 1)
    assert await greedy.does(message("any")) == "confirmation"
    await _asked_and_left(honest, asked, 1)
    asked.may_answer.set()
    with anyio.fail_after(20):
        while await greedy.does(message("any")) is not None:
            await anyio.sleep(0.01)


async def test_and_so_is_its_place_among_the_calls_in_flight(guarded: Make, asked: Asked) -> None:
    rules = [doorward.ToolRule("*", scopes=[], confirm=True, concurrency=1)]
    it = guarded(tools=rules, confirmation=PLENTY, approver=asked.blocking)
    greedy, honest = Client(it, "greedy"), Client(it, "honest")
    await _asked_and_left(greedy, asked, 1)
    assert await greedy.does(message("any")) == "*"
    await _asked_and_left(honest, asked, 1)


async def _asked_and_left(client: Client, asked: Asked, times: int) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(client.does, message("any"))
        await asked.have_been(client.name, times)
        group.cancel_scope.cancel()


async def test_a_refused_question_has_cost_nothing(guarded: Make, asked: Asked) -> None:
    asks = doorward.Confirmation(asks=[f"{MAX_WAITING + 1}/day"])
    it = guarded(tools=CONFIRMED, confirmation=asks, approver=asked.blocking)
    greedy = Client(it, "greedy")
    for number in range(MAX_WAITING):
        await _asked_and_left(greedy, asked, number + 1)
    for _ in range(5):
        assert await greedy.does(message("any")) == "confirmation"
    asked.may_answer.set()
    with anyio.fail_after(20):
        while await greedy.does(message("any")) is not None:
            await anyio.sleep(0.01)


# --- before anybody is known ------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An introspection endpoint to which every token is dead."""
    with introspecting(reply({"active": False})) as endpoint:
        yield endpoint


async def _opaque(it: Guarded, token: str, address: str) -> int:
    headers = (("authorization", f"Bearer {token}"),)
    asked = doorward.Request("https", "mcp.example.com", "POST", "/mcp", headers=headers, peer=address)
    refused = (await it.gate.begin(asked)).refusal
    return 200 if refused is None else refused.status


@pytest.mark.parametrize(
    ("greedy", "same", "honest"),
    [("192.0.2.1", "192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")],
    ids=["by address", "by /64"],
)
async def test_questions_to_an_issuer_that_hangs_leave_room_for_another_address(
    guarded: Make, endpoint: Endpoint, greedy: str, same: str, honest: str
) -> None:
    release = threading.Event()
    endpoint.behaviour = later(endpoint.behaviour, release)
    it = guarded(issuers=[_introspecting(endpoint)], tools=ANY)
    it.now = time.time()
    share = introspection.MAX_IN_FLIGHT // 4
    async with anyio.create_task_group() as group:
        for number in range(share):
            group.start_soon(_opaque, it, f"made-up-{number}", greedy)
        for _ in range(share):
            await to_thread.run_sync(endpoint.arrived.acquire, limiter=anyio.CapacityLimiter(1))
        assert await _opaque(it, "one-more", same) == 503
        assert it.gate.alarms["introspection_saturated"] == 1
        group.start_soon(_opaque, it, "honest", honest)
        await to_thread.run_sync(endpoint.arrived.acquire, limiter=anyio.CapacityLimiter(1))
        release.set()


def _introspecting(endpoint: Endpoint) -> doorward.Issuer:
    settings = Introspection(endpoint.url, "mcp", Secret(b"hunter2"))
    return doorward.Issuer("https://as.example.com", ["ES256"], introspection=settings)


async def test_verifying_leaves_room_for_another_address_that_fails_too_often(guarded: Make) -> None:
    it = guarded(limits=doorward.Limits(failed_auth="1/minute"), tools=ANY)

    async def attempt(token: str, address: str) -> int:
        decision = await it.gate.decide(authorization=f"Bearer {token}", body=message("any"), peer=address)
        return 200 if decision.refusal is None else decision.refusal.status

    # Somebody behind the honest client's address fails as well: new tokens from there are verified all the same.
    assert await attempt("forged", "192.0.2.2") == 401
    for number in range(200):
        await attempt(f"forged.{number}.token", "192.0.2.1")
    assert await attempt(it.token(jti="new", now=NOW), "192.0.2.1") == 429
    assert await attempt(it.token(jti="newer", now=NOW), "192.0.2.2") == 200


# --- the gate's own work ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_tools_that_hold_all_threads_do_not_hold_up_the_gate(tmp_path: Path, issuer: Any) -> None:
    """A gate that watches its file reads it in a thread: not in one of those in which tools block."""
    (tmp_path / "jwks.json").write_text(json.dumps(issuer.jwks()))
    path = tmp_path / "doorward.toml"
    text = (
        'resource = "https://mcp.example.com/mcp"\n[audit]\npath = "audit.jsonl"\n'
        f'[[issuer]]\nurl = "{issuer.url}"\nalgorithms = ["ES256"]\njwks_file = "jwks.json"\n'
        '[[tool]]\nmatch = "any"\nscopes = []\n'
    )
    path.write_text(text)
    gate = doorward.Gate.from_file(path, watch=True)
    threads = to_thread.current_default_thread_limiter()
    borrowers = [object() for _ in range(int(threads.total_tokens))]
    for borrower in borrowers:
        await threads.acquire_on_behalf_of(borrower)
    try:
        path.write_text(f"{text}[limits]\nclient = []\n")
        with anyio.fail_after(20):
            while gate.configuration.limits.client:
                token = issuer.token(audience=gate.resource)
                assert (await gate.decide(authorization=f"Bearer {token}", body=message("any"))).allowed
                await anyio.sleep(0.05)
    finally:
        for borrower in borrowers:
            threads.release_on_behalf_of(borrower)
        gate.close()
