"""A refusal whose request body was not read: the answer goes out first, then the rest of the body is dropped."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import anyio
import pytest
from adapters.unknown_server import LIMIT, Server
from guarded import Guarded
from trio.testing import MockClock

import doorward
from doorward.adapters import well_known
from doorward.adapters.draining import (
    DRAIN_FACTOR,
    DRAIN_SECONDS,
    MAX_DRAINS,
    MAX_DRAINS_OF_PEER,
)
from doorward.adapters.wire import Message

pytestmark = pytest.mark.anyio

Headers = dict[str, str]
HOST = "mcp.example.com"
ORIGIN = "https://app.example.com"
LARGE = "150000"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def it(guarded: Callable[..., Guarded]) -> Guarded:
    return guarded(
        max_body_bytes=LIMIT,
        allowed_origins=[ORIGIN],
        trusted_proxies=["10.0.0.0/8"],
        limits=doorward.Limits(failed_auth="1000/minute"),
    )


class Exchange:
    """One HTTP exchange whose client sends the given chunks of a body, and what happened in it, in order."""

    def __init__(
        self, it: Guarded, *chunks: bytes, method: str = "POST", last: bool = True, peer: str = "192.0.2.1", **more: Any
    ) -> None:
        self.app = it.gate.protect(Server())
        self._left = list(chunks)
        self._last = last
        self.events: list[str] = []
        self.frames: list[Any] = []
        self.peer = peer
        self.method = method
        self.more = more

    async def run(self, **headers: str) -> Exchange:
        """The exchange, from its head to the end of the app."""
        given = {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": self.method,
            "path": "/mcp",
            "scheme": "https",
            "client": (self.peer, 40_000),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        await self.app(scope | self.more, self.receive, self.send)
        return self

    async def receive(self) -> Message:
        if not self._left:
            self.events.append("waits")
            await self.sends_nothing()
            return {"type": "http.disconnect"}
        self.events.append("receives")
        chunk = self._left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": not self._last or bool(self._left)}

    async def sends_nothing(self) -> None:
        """What the client does after the last chunk."""
        await anyio.sleep_forever()

    async def send(self, frame: Message) -> None:
        self.frames.append(frame)
        last = frame["type"] == "http.response.body" and not frame.get("more_body", False)
        self.events.append("ends" if last else frame["type"].rpartition(".")[2])

    @property
    def status(self) -> int:
        return int(self.frames[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.frames[0]["headers"])

    @property
    def closes(self) -> bool:
        return self.headers.get(b"connection") == b"close"


DRAINED = ["start", "body", "receives", "receives", "receives", "ends"]
"""The head and the whole body of the answer, then three chunks, then the last frame."""

AT_ONCE = ["start", "ends"]
"""Nothing is read, and nothing is held back."""

BODY = (b"a" * 300, b"b" * 300, b"c" * 300)


# --- every early answer -----------------------------------------------------------------------------------------------


class Case(NamedTuple):
    status: int
    reason: str | None
    """In the one record; None for answers without a record."""
    headers: Callable[[Guarded], Headers] = lambda it: {}
    scope: dict[str, Any] = {}  # noqa: RUF012 - never changed


def bearer(it: Guarded, **claims: Any) -> Headers:
    return {"authorization": f"Bearer {it.token('read', **claims)}"}


EARLY = {
    "400, token in the query": Case(400, "token_in_query", scope={"query_string": b"access_token=a"}),
    "400, no such size": Case(400, "invalid_request", lambda it: {"content_length": "1x"}),
    "401, no credentials": Case(401, "missing_credentials"),
    "401, expired token": Case(401, "token_expired", lambda it: bearer(it, now=it.now - 99_999)),
    "401, malformed token": Case(401, "malformed_token", lambda it: {"authorization": "Bearer x"}),
    "403, Host": Case(403, "invalid_host", lambda it: {"host": "evil.example"}),
    "403, Origin": Case(403, "invalid_origin", lambda it: {"origin": "https://evil.example"}),
    "403, plain http": Case(403, "insecure_transport", scope={"scheme": "http"}),
    "405": Case(405, "method_not_allowed", scope={"method": "PUT"}),
    "413, declared": Case(413, "body_too_large", lambda it: {"content_length": LARGE}),
    "415": Case(415, "unsupported_encoding", lambda it: {"content_encoding": "gzip"}),
    "401 to a GET": Case(401, "missing_credentials", scope={"method": "GET"}),
    "401 to a DELETE": Case(401, "missing_credentials", scope={"method": "DELETE"}),
    "the metadata": Case(200, None, scope={"method": "GET", "path": "/.well-known/oauth-protected-resource/mcp"}),
    "a preflight": Case(204, None, lambda it: {"origin": ORIGIN}, {"method": "OPTIONS"}),
}


@pytest.mark.parametrize("case", EARLY.values(), ids=EARLY)
async def test_an_early_answer_goes_out_before_the_body_is_dropped(it: Guarded, case: Case) -> None:
    exchange = Exchange(it, *BODY, **case.scope)
    await exchange.run(**({"content_length": "900"} | case.headers(it)))
    assert exchange.status == case.status
    assert exchange.events == DRAINED
    assert len(exchange.frames[1]["body"]) == int(exchange.headers[b"content-length"])
    assert exchange.frames[2]["body"] == b""
    assert [record["reason"] for record in it.records()] == ([case.reason] if case.reason else [])


async def test_an_address_over_its_failures_gets_its_429(guarded: Callable[..., Guarded]) -> None:
    it = guarded(limits=doorward.Limits(failed_auth="1/minute"))
    for number in range(200):
        await it.gate.decide(authorization=f"Bearer forged.{number}.token", peer="192.0.2.1")
    exchange = await Exchange(it, *BODY).run(**bearer(it, jti="new"), content_length="900")
    assert (exchange.status, exchange.events) == (429, DRAINED)
    assert [record["reason"] for record in it.records()[200:]] == ["too_many_failures"]


async def test_what_is_not_the_metadata_is_not_found_before_its_body_is_dropped(it: Guarded) -> None:
    exchange = Exchange(it, *BODY)
    exchange.app = well_known(it.gate)
    await exchange.run(content_length="900")
    assert (exchange.status, exchange.events) == (404, DRAINED)


async def test_a_body_that_grows_over_the_limit_is_refused_and_its_rest_dropped(it: Guarded) -> None:
    exchange = await Exchange(it, b"a" * LIMIT, b"b", b"c", b"d").run(**bearer(it), transfer_encoding="chunked")
    assert exchange.status == 413
    assert exchange.events == ["receives", "receives", "start", "body", "receives", "receives", "ends"]
    assert [record["reason"] for record in it.records()] == ["body_too_large"]


@pytest.mark.parametrize("chunks", [(b"a" * (LIMIT + 1),), (b"a" * LIMIT, b"b")], ids=["whole", "in two"])
async def test_a_body_that_was_read_to_its_end_is_not_waited_for(it: Guarded, chunks: tuple[bytes, ...]) -> None:
    exchange = await Exchange(it, *chunks).run(**bearer(it), transfer_encoding="chunked")
    assert exchange.status == 413
    assert exchange.events == ["receives"] * len(chunks) + AT_ONCE


@pytest.mark.parametrize("tool", ["wipe", "unknown"], ids=["scope", "no rule"])
async def test_a_refusal_of_a_call_waits_for_nothing(it: Guarded, tool: str) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}}).encode()
    exchange = await Exchange(it, body).run(**bearer(it), content_length=str(len(body)))
    assert exchange.status == 403
    assert exchange.events == ["receives", *AT_ONCE]


@pytest.mark.parametrize("headers", [{}, {"content_length": "0"}], ids=["undeclared", "empty"])
async def test_a_request_without_a_body_is_answered_at_once(it: Guarded, headers: Headers) -> None:
    exchange = await Exchange(it).run(**headers)
    assert (exchange.status, exchange.events, exchange.closes) == (401, AT_ONCE, False)


@pytest.mark.parametrize("headers", [{}, {"content_length": "900"}], ids=["undeclared", "declared"])
async def test_over_http2_the_stream_ends_at_once(it: Guarded, headers: Headers) -> None:
    """Go's client sends no more of a body after a refusal, and takes no answer before the end of the stream."""
    exchange = await Exchange(it, *BODY, http_version="2").run(**headers)
    assert (exchange.status, exchange.events, exchange.closes) == (401, AT_ONCE, False)


# --- the bounds -------------------------------------------------------------------------------------------------------


async def test_no_more_than_twice_the_size_limit_is_dropped(it: Guarded) -> None:
    exchange = await Exchange(it, *[b"a" * 100] * 1_000).run(content_length=LARGE)
    assert exchange.events.count("receives") == DRAIN_FACTOR * LIMIT // 100 + 1
    assert exchange.events[-1] == "ends"
    assert exchange.closes


class Slow(Exchange):
    """A client that sends a byte a second."""

    async def receive(self) -> Message:
        await anyio.sleep(1)
        return await super().receive()


@pytest.mark.parametrize("kind", [Exchange, Slow], ids=["silent", "slow"])
def test_a_body_is_dropped_for_five_seconds(it: Guarded, kind: type[Exchange]) -> None:
    async def timed() -> float:
        exchange = kind(it, *[b"a"] * (100 if kind is Slow else 1), last=False)
        began = anyio.current_time()
        await exchange.run(content_length="100")
        assert exchange.events[-1] == "ends"
        return anyio.current_time() - began

    seconds = anyio.run(timed, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})
    assert seconds == pytest.approx(DRAIN_SECONDS)
    assert len(it.records()) == 1


async def test_a_client_that_goes_ends_it(it: Guarded) -> None:
    class Gone(Exchange):
        async def sends_nothing(self) -> None:
            return

    exchange = await Gone(it, b"a", last=False).run(content_length="100")
    assert exchange.events == ["start", "body", "receives", "waits", "ends"]
    assert len(it.records()) == 1


async def test_nothing_that_is_dropped_is_kept(it: Guarded) -> None:
    class Chunk(bytearray):
        """Of which there can be weak references."""

    most = 0

    class Watched(Exchange):
        async def receive(self) -> Message:
            nonlocal most
            chunk = Chunk(b"a" * 10)
            references.append(weakref.ref(chunk))
            most = max(most, sum(reference() is not None for reference in references))
            return {"type": "http.request", "body": chunk, "more_body": len(references) < 50}

    references: list[weakref.ref[Chunk]] = []
    await Watched(it).run(content_length="500")
    assert len(references) == 50
    assert most <= 2


# --- who is drained ---------------------------------------------------------------------------------------------------


class Held:
    """Exchanges that are being drained until the block ends, all of one app."""

    def __init__(self, it: Guarded) -> None:
        self._it = it
        self._app = it.gate.protect(Server())
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> Held:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(*error)

    async def drains(self, peer: str, **headers: str) -> bool:
        """Whether one more exchange is drained. If so, it goes on; if not, it must have ended at once."""
        exchange = Exchange(self._it, b"a", last=False, peer=peer)
        exchange.app = self._app
        self._group.start_soon(partial(exchange.run, **({"content_length": LARGE} | headers)))
        await anyio.wait_all_tasks_blocked()
        assert exchange.closes
        assert exchange.events in (["start", "body", "receives", "waits"], AT_ONCE)
        return exchange.events != AT_ONCE


async def test_four_exchanges_of_one_peer_are_drained_at_once(it: Guarded) -> None:
    async with Held(it) as held:
        assert [await held.drains("192.0.2.1") for _ in range(6)] == [True] * MAX_DRAINS_OF_PEER + [False] * 2
        assert await held.drains("192.0.2.2")
    assert len(it.records()) == 7


async def test_sixty_four_exchanges_are_drained_at_once(it: Guarded) -> None:
    async with Held(it) as held:
        drained = [await held.drains(f"192.0.2.{number}") for number in range(MAX_DRAINS + 2)]
    assert drained == [True] * MAX_DRAINS + [False] * 2


async def test_a_network_of_ipv6_is_one_peer(it: Guarded) -> None:
    async with Held(it) as held:
        drained = [await held.drains(f"2001:db8::{number}") for number in range(5)]
        assert drained == [True] * MAX_DRAINS_OF_PEER + [False]
        assert await held.drains("2001:db8:0:1::1")


async def test_behind_a_trusted_proxy_the_client_is_the_peer(it: Guarded) -> None:
    async with Held(it) as held:
        for client in ("192.0.2.1", "192.0.2.2"):
            drained = [await held.drains("10.0.0.1", x_forwarded_for=client) for _ in range(5)]
            assert drained == [True] * MAX_DRAINS_OF_PEER + [False]


async def test_a_place_is_free_again_when_its_exchange_has_ended_or_was_cancelled(it: Guarded) -> None:
    held = Held(it)
    async with held:
        assert all([await held.drains("192.0.2.1") for _ in range(MAX_DRAINS_OF_PEER)])
    exchange = Exchange(it, *BODY)
    exchange.app = held._app
    for _ in range(MAX_DRAINS_OF_PEER + 1):
        exchange._left, exchange.events = list(BODY), []
        await exchange.run(content_length="900")
        assert exchange.events == DRAINED
    assert held._app._draining._drains == {}
    assert len(it.records()) == 2 * MAX_DRAINS_OF_PEER + 1


async def test_a_client_that_waits_for_100_continue_is_not_asked_for_its_body(it: Guarded) -> None:
    exchange = await Exchange(it).run(content_length="900", expect="100-continue")
    assert (exchange.status, exchange.events, exchange.closes) == (401, AT_ONCE, True)


async def test_a_client_that_was_told_to_continue_is_drained(it: Guarded) -> None:
    exchange = Exchange(it, b"a" * (LIMIT + 1), b"b")
    await exchange.run(**bearer(it), transfer_encoding="chunked", expect="100-continue")
    assert exchange.status == 413
    assert exchange.events == ["receives", "start", "body", "receives", "ends"]


@pytest.mark.parametrize(
    ("headers", "scope", "closes"),
    [
        ({"content_length": "99999"}, {}, False),
        ({"content_length": "100000"}, {}, True),
        ({"content_length": "9" * 5_000}, {}, True),
        ({"content_length": "-1"}, {}, True),
        ({"transfer_encoding": "chunked"}, {}, True),
        ({"content_length": "100000"}, {"http_version": "1.0"}, True),
    ],
    ids=["small", "large", "huge", "not a number", "undeclared", "HTTP/1.0"],
)
async def test_the_connection_of_a_large_body_is_closed(
    it: Guarded, headers: Headers, scope: dict[str, Any], closes: bool
) -> None:
    exchange = await Exchange(it, *BODY, **scope).run(**headers)
    assert exchange.events == DRAINED
    assert exchange.closes is closes


# --- the record -------------------------------------------------------------------------------------------------------


async def test_the_record_is_written_before_the_body_is_dropped(it: Guarded) -> None:
    class Looking(Exchange):
        async def receive(self) -> Message:
            seen.append([record["reason"] for record in it.records()])
            return await super().receive()

    seen: list[Any] = []
    await Looking(it, *BODY).run(content_length="900")
    assert seen == [["missing_credentials"]] * 3
    assert len(it.records()) == 1
