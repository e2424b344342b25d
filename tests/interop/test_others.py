"""Servers the gate knows nothing of, driven by the official client: one of the SDK before version 2, a FastAPI app, and
servers of the TypeScript SDK behind a proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import httpx2
import pytest
from adapters.desk import LEGACY, MODERN, connected, text_of
from guarded import message
from interop.others.places import KINDS, Place, serving
from mcp import MCPError

from doorward.testing import Issuer

pytestmark = pytest.mark.anyio

BOTH_ERAS = ("fastapi", "typescript v2")
"""The others speak the older protocol alone."""

EACH = pytest.mark.parametrize(
    ("place", "mode"),
    [(kind, mode) for kind in KINDS for mode in (LEGACY, MODERN) if mode == LEGACY or kind in BOTH_ERAS],
    indirect=["place"],
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Callable[[str], Place]]:
    """One server of each kind for all tests."""
    with ExitStack() as stack:
        yield cache(lambda kind: stack.enter_context(serving(kind, tmp_path_factory.mktemp("place"), issuer)))


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, start: Callable[[str], Place]) -> Place:
    return start(request.param)


@pytest.fixture
def client_id(request: pytest.FixtureRequest) -> str:
    """Of a client for each test, whose records and budgets are its own."""
    return str(request.node.name)


@EACH
async def test_a_call_that_may_be_made_is_made(place: Place, mode: str, client_id: str) -> None:
    before = len(place.ran)
    async with connected(place.resource, place.token("read", client_id=client_id), mode) as client:
        assert text_of(await client.call_tool("read_order", {})) == "read_order"
        assert (await client.call_tool("read_failing", {})).is_error
    assert place.ran[before:] == ["read_order", "read_failing"]
    records = place.records(2, method="tools/call", client_id=client_id)
    assert [(record["tool_name"], record["rule"]) for record in records] == [
        ("read_order", "read_*"),
        ("read_failing", "read_*"),
    ]
    # What stands before a server that the gate does not know sees an answer with isError, and no exception.
    assert records[0]["result"] == "success"
    assert records[1]["result"] in ("tool_error", "tool_failure")


@EACH
async def test_what_it_may_not_never_reaches_the_server(place: Place, mode: str, client_id: str) -> None:
    async with connected(place.resource, place.token("read", client_id=client_id), mode) as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("delete_order", {})
    assert refused.value.error.code == 403
    assert refused.value.error.data["requiredScopes"] == ["write"]
    assert "delete_order" not in place.ran
    [record] = place.records(1, method="tools/call", client_id=client_id)
    assert (record["result"], record["reason"]) == ("denied_scope", "insufficient_scope")


@EACH
async def test_over_its_limit_it_is_told_how_long_to_wait(place: Place, mode: str, client_id: str) -> None:
    before = len(place.ran)
    async with connected(place.resource, place.token("read", client_id=client_id), mode) as client:
        assert text_of(await client.call_tool("limited", {})) == "limited"
        with pytest.raises(MCPError) as refused:
            await client.call_tool("limited", {})
    assert refused.value.error.code == 429
    assert refused.value.error.data["retryAfterMs"] == pytest.approx(3_600_000, abs=60_000)
    assert place.ran[before:] == ["limited"]
    records = place.records(2, method="tools/call", client_id=client_id)
    assert [record["result"] for record in records] == ["success", "denied_rate"]


@EACH
async def test_its_lists_show_what_the_caller_may_call(place: Place, mode: str) -> None:
    async with connected(place.resource, place.token("read"), mode) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
    assert tools == ["read_order", "read_slowly", "read_failing", "limited"]


@EACH
async def test_what_streams_passes_while_the_tool_still_runs(place: Place, mode: str, client_id: str) -> None:
    heard: list[float] = []

    async def progressed(progress: float, _total: float | None, _message: str | None) -> None:
        heard.append(progress)
        place.let_end()

    place.hold()
    async with connected(place.resource, place.token("read", client_id=client_id), mode) as client:
        answer = await client.call_tool("read_slowly", {}, progress_callback=progressed, read_timeout_seconds=20)
    assert (heard, text_of(answer)) == ([1], "read_slowly")
    [record] = place.records(1, method="tools/call", client_id=client_id)
    assert record["result"] == "success"


@pytest.mark.parametrize("token", ["a.bad.token", None])
def test_whoever_has_no_good_token_is_told_where_to_get_one(place: Place, token: str | None) -> None:
    before, reached = place.records(), len(place.seen)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    refused = httpx2.post(place.resource, content=message("read_order"), headers=headers)
    assert refused.status_code == 401
    assert "resource_metadata=" in refused.headers["www-authenticate"]
    assert len(place.seen) == reached
    [record] = place.records(len(before) + 1)[len(before) :]
    assert record["result"] == "denied_auth"


@EACH
async def test_the_server_never_sees_the_callers_token(place: Place, mode: str) -> None:
    before = len(place.seen)
    async with connected(place.resource, place.token("read"), mode) as client:
        await client.call_tool("read_order", {})
    seen = place.seen[before:]
    assert seen
    assert [names for names in seen if "authorization" in names] == []


@pytest.mark.parametrize("place", ["fastapi"], indirect=True)
def test_what_stands_beside_it_asks_for_a_token_as_well(place: Place) -> None:
    beside = place.resource.replace("/mcp", "/orders/7")
    assert httpx2.get(beside).status_code == 401
    token = place.token(client_id="beside")
    assert httpx2.get(beside, headers={"Authorization": f"Bearer {token}"}).json() == {"order": 7}
    [record] = place.records(1, client_id="beside")
    assert (record["method"], record["result"]) == (None, "success")
