"""Step-up at an authorization server that fixes the scopes of a client at its registration: the official clients
register with the scopes of the first challenge, so these decide what they can ever ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from interop.authorization_server import running
from interop.npm import install
from interop.person import Person
from interop.test_oidc_provider import TEST_SECONDS, called, protected, scopes_in
from interop.test_typescript_login import logged_in, said
from interop.typescript import FLAVOURS, typescript
from pydantic import ValidationError

import doorward

pytestmark = pytest.mark.anyio
ALL = ["orders:read", "orders:write"]

NO_CODE = pytest.RaisesGroup(
    pytest.RaisesExc(ValidationError, match="'error': 'invalid_scope'"), flatten_subgroups=True
)
"""The official client's callback was given an error instead of a code."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def issuer() -> Iterator[doorward.Issuer]:
    install()
    with running("ES256", held=True) as url:
        yield doorward.Issuer(url, ["ES256"])


async def test_with_the_default_the_python_client_cannot_step_up(issuer: doorward.Issuer, tmp_path: Path) -> None:
    """What the least powerful rule allows works; the server refuses every further scope, before anybody is asked."""
    person = Person()
    with protected(issuer, tmp_path / "trail.jsonl") as desk, anyio.fail_after(TEST_SECONDS):
        with NO_CODE:
            async with person.at(desk.resource) as client:
                assert (await called(client, "read_caller"))["scopes"] == ["orders:read"]
                await called(client, "refund_caller")
        assert "insufficient_scope" in desk.reasons()


async def test_with_a_challenge_for_all_scopes_it_needs_none(issuer: doorward.Issuer, tmp_path: Path) -> None:
    person = Person()
    with (
        protected(issuer, tmp_path / "trail.jsonl", challenge_scopes=ALL) as desk,
        anyio.fail_after(TEST_SECONDS),
    ):
        async with person.at(desk.resource) as client:
            await called(client, "read_caller")
            answer = await called(client, "refund_caller")
    assert set(answer["scopes"]) == set(ALL)
    assert [scopes_in(authorization) for authorization in person.authorizations] == [set(ALL)]


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_with_the_default_the_typescript_client_cannot_step_up(
    issuer: doorward.Issuer, tmp_path: Path, flavour: str
) -> None:
    person = Person()
    with (
        protected(issuer, tmp_path / "trail.jsonl") as desk,
        typescript(flavour, desk.resource) as client,
    ):
        await logged_in(client, client.does("connect"), person)
        client.gets("connect")
        assert '"subject": "alice"' in said(client.does("call", tool="read_caller"))
        refused = client.does("call", tool="refund_caller")
        assert "invalid_scope" in str(await person.lands(refused["redirect"]))


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_with_a_challenge_for_all_scopes_that_one_needs_none(
    issuer: doorward.Issuer, tmp_path: Path, flavour: str
) -> None:
    with (
        protected(issuer, tmp_path / "trail.jsonl", challenge_scopes=ALL) as desk,
        typescript(flavour, desk.resource) as client,
    ):
        asked = await logged_in(client, client.does("connect"), Person())
        assert set(ALL) <= set(asked["scope"][0].split())
        client.gets("connect")
        assert '"subject": "alice"' in said(client.does("call", tool="read_caller"))
        assert '"subject": "alice"' in said(client.does("call", tool="refund_caller"))
