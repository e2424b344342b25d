"""Sessions of the older protocol: a client has so many open at once, and one that has ended makes room."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from adapters.desk import LEGACY, MODERN, RULES, Desk, connected, open_session, tools, until
from adapters.serving import listening, served, url_of
from guarded import Guarded

import doorward

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


@contextmanager
def opened(guarded: Make, kind: str = "sse", limits: doorward.Limits | None = None, **options: Any) -> Iterator[Desk]:
    """A server that is served, with these limits."""
    ran: list[str] = []
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES, limits=limits)
        it.now = time.time()
        server: Any = tools(ran)
        if kind == "fastmcp":
            pytest.importorskip("fastmcp")
            from adapters.fastmcp_desk import fastmcp_tools

            server = fastmcp_tools(ran)
        elif kind == "json":
            options["json_response"] = True
        with served(it.gate.protect(server, **options), listener), httpx2.Client(timeout=10) as http:
            desk = Desk(it, server, ran)
            desk.http = http  # type: ignore[attr-defined]
            yield desk


def opens(desk: Desk, params: dict[str, Any] = HELLO, **claims: Any) -> httpx2.Response:
    """One `initialize`, by hand."""
    headers = {
        "Authorization": f"Bearer {desk.it.token('read', **claims)}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    answer: httpx2.Response = desk.http.post(desk.gate.resource, json=body, headers=headers)  # type: ignore[attr-defined]
    return answer


def status(desk: Desk, **claims: Any) -> int:
    return opens(desk, **claims).status_code


def ends(desk: Desk, headers: dict[str, str]) -> None:
    token = desk.it.token("read")
    ended = httpx2.delete(desk.gate.resource, headers={"Authorization": f"Bearer {token}", **headers})
    assert ended.status_code in (200, 204)


@pytest.mark.parametrize("kind", ["sse", "json", "fastmcp"])
def test_a_client_has_so_many_sessions_and_one_that_it_ends_makes_room(guarded: Make, kind: str) -> None:
    with opened(guarded, kind, doorward.Limits(sessions=2)) as desk:
        first = open_session(desk)
        assert [status(desk) for _ in range(2)] == [200, 429]
        assert status(desk, client_id="honest") == 200
        ends(desk, first)
        until(lambda: status(desk) == 200)
        assert status(desk) == 429


def test_a_refused_session_says_what_it_is_over(guarded: Make) -> None:
    with opened(guarded, limits=doorward.Limits(sessions=1)) as desk:
        opens(desk)
        refused = opens(desk)
        assert refused.json()["error"]["data"]["budget"] == "sessions"
        assert refused.headers["ratelimit-policy"] == '"sessions-concurrency";q=1;qu="concurrent-requests"'
        assert [record["budget"] for record in desk.it.records()] == [None, "sessions"]


def test_a_session_that_ends_by_itself_makes_room(guarded: Make) -> None:
    with opened(guarded, limits=doorward.Limits(sessions=1), session_idle_timeout=1.0) as desk:
        assert [status(desk), status(desk)] == [200, 429]
        until(lambda: status(desk) == 200)


def test_an_initialize_that_fails_counts_for_as_long_as_the_server_keeps_its_session(guarded: Make) -> None:
    """The SDK keeps it where the error is told in a stream, whose status is 200."""
    with opened(guarded, limits=doorward.Limits(sessions=1)) as desk:
        failed = opens(desk, {})
        assert (failed.status_code, "error" in failed.text) == (200, True)
        assert status(desk) == 429
        ends(desk, {"Mcp-Session-Id": failed.headers["mcp-session-id"]})
        until(lambda: status(desk) == 200)


def test_without_sessions_an_initialize_holds_nothing(guarded: Make) -> None:
    with opened(guarded, limits=doorward.Limits(sessions=1), stateless_http=True) as desk:
        for _ in range(5):
            until(lambda: status(desk) == 200)


def test_all_sessions_of_the_server_are_not_one_client_s_to_take(guarded: Make) -> None:
    """The SDK keeps so many sessions, here 130, and answers 503 to whoever comes then."""
    with opened(guarded, max_sessions=130) as desk:
        statuses = [status(desk) for _ in range(130)]
        assert set(statuses) == {200, 429}
        assert statuses[:120] == [200] * 120
        assert status(desk, client_id="honest") == 200


@pytest.mark.parametrize("mode", [MODERN, LEGACY])
async def test_the_official_client_opens_as_many_connections_a_minute_as_there_are_handshakes(
    guarded: Make, mode: str
) -> None:
    with opened(guarded, limits=doorward.Limits(handshake="5/hour")) as desk:
        for _ in range(5):
            async with connected(desk.gate.resource, desk.it.token("read"), mode) as client:
                await client.list_tools()
                await client.call_tool("read_caller")
        assert {record["result"] for record in desk.it.records()} == {"success"}
