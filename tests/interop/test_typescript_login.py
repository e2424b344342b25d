"""The official TypeScript clients at a protected server, with nothing but its URL: they find the authorization server
from our 401, and come back with more scopes from our 403."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from interop.authorization_server import running
from interop.npm import install
from interop.person import Person
from interop.test_oidc_provider import Desk, protected
from interop.typescript import FLAVOURS, TypeScript, typescript

import doorward

pytestmark = pytest.mark.anyio
EACH = pytest.mark.parametrize("flavour", FLAVOURS)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def issuer() -> Iterator[doorward.Issuer]:
    install()
    with running("ES256") as url:
        yield doorward.Issuer(url, ["ES256"])


@pytest.fixture
def orders(issuer: doorward.Issuer, tmp_path: Path) -> Iterator[Desk]:
    with protected(issuer, tmp_path / "orders.jsonl") as desk:
        yield desk


@EACH
async def test_it_finds_the_authorization_server_logs_in_and_calls(orders: Desk, flavour: str) -> None:
    with typescript(flavour, orders.resource) as client:
        asked = await logged_in(client, client.does("connect"), Person())
        assert asked["resource"] == [orders.resource]
        assert asked["code_challenge_method"] == ["S256"]
        assert "orders:read" in asked["scope"][0].split()
        client.gets("connect")
        assert '"subject": "alice"' in said(client.does("call", tool="read_caller"))


@EACH
async def test_it_comes_back_with_the_scope_that_a_call_lacked(orders: Desk, flavour: str) -> None:
    person = Person()
    with typescript(flavour, orders.resource) as client:
        await logged_in(client, client.does("connect"), person)
        client.gets("connect")
        refused = client.does("call", tool="refund_caller")
        assert refused["error"]["kind"] == "UnauthorizedError"
        asked = await logged_in(client, refused, person)
        assert "orders:write" in asked["scope"][0].split()
        assert '"subject": "alice"' in said(client.does("call", tool="refund_caller"))
        again = client.does("call", tool="read_caller")
    assert "insufficient_scope" in orders.reasons()
    if flavour == "v1":
        # It asks for the scopes of the last challenge alone and forgets those it had: a broad scope should imply
        # the narrower ones.
        assert again["scope"] == "orders:write"
        assert again["error"]["kind"] == "UnauthorizedError"
    else:
        assert '"subject": "alice"' in said(again)


async def logged_in(client: TypeScript, refused: dict[str, Any], person: Person) -> dict[str, list[str]]:
    """Follow the client to where it sends its person; the parameters of the authorization request."""
    answer = await person.lands(refused["redirect"])
    client.gets("finish", code=answer["code"], params=answer)
    return parse_qs(urlsplit(refused["redirect"]).query)


def said(answer: dict[str, Any]) -> str:
    """The text of the tool's answer."""
    return str(answer["value"]["result"]["content"][0]["text"])
