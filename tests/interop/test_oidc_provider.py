"""With an authorization server that nobody here wrote, and the official client's own OAuth flow (RFC 9728, 8414, 7591,
7636, 8707): what one protected server lets in, another refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from adapters.serving import listening, served, url_of
from guarded import message
from interop.authorization_server import running
from interop.npm import install
from interop.person import REQUEST_SECONDS, Person
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import MCPServer

import doorward

pytestmark = pytest.mark.anyio

TEST_SECONDS = 40
"""Of which one is usual."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def installed() -> None:
    """A fixture of its own, so that what failed once is not tried for each algorithm."""
    install()


@pytest.fixture(scope="session", params=["ES256", "EdDSA", "RS256"])
def authorization_server(installed: None, request: pytest.FixtureRequest) -> Iterator[doorward.Issuer]:
    """What an operator writes about it: where it is, and how it signs."""
    with running(request.param) as url:
        yield doorward.Issuer(url, [request.param])


@pytest.fixture
def orders(authorization_server: doorward.Issuer, tmp_path: Path) -> Iterator[Desk]:
    with protected(authorization_server, tmp_path / "orders.jsonl") as desk:
        yield desk


@pytest.fixture
def other(authorization_server: doorward.Issuer, tmp_path: Path) -> Iterator[Desk]:
    """Another server that trusts the same authorization server."""
    with protected(authorization_server, tmp_path / "other.jsonl") as desk:
        yield desk


async def test_the_official_client_logs_in_and_calls(orders: Desk) -> None:
    person = Person()
    with anyio.fail_after(TEST_SECONDS):
        async with person.at(orders.resource) as client:
            assert await called(client, "read_caller") == {
                "subject": "alice",
                "client": person.client.client_id if person.client else None,
                "scopes": ["orders:read"],
            }
    (authorization,) = person.authorizations
    assert authorization["resource"] == [orders.resource]
    assert authorization["code_challenge_method"] == ["S256"]
    assert scopes_in(authorization) == {"orders:read"}


async def test_a_token_for_one_server_is_refused_by_another(orders: Desk, other: Desk) -> None:
    for desk, elsewhere in ((orders, other), (other, orders)):
        person = Person()
        with anyio.fail_after(TEST_SECONDS):
            async with person.at(desk.resource) as client:
                await called(client, "read_caller")
        assert desk.post(person.token).status_code == 200
        refused = elsewhere.post(person.token)
        assert refused.status_code == 401
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
        assert elsewhere.reasons()[-1] == "invalid_audience"


async def test_the_client_asks_for_the_scope_that_a_call_lacks(orders: Desk) -> None:
    person = Person()
    with anyio.fail_after(TEST_SECONDS):
        async with person.at(orders.resource) as client:
            await called(client, "read_caller")
            answer = await called(client, "refund_caller")
    assert set(answer["scopes"]) == {"orders:read", "orders:write"}
    assert "insufficient_scope" in orders.reasons()
    assert [scopes_in(authorization) for authorization in person.authorizations] == [
        {"orders:read"},
        {"orders:read", "orders:write"},
    ]


@dataclass(frozen=True)
class Desk:
    """A protected server."""

    resource: str
    trail: Path

    def post(self, token: str) -> httpx2.Response:
        """A call by hand."""
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-11-25",
        }
        content = message("read_caller")
        return httpx2.post(self.resource, content=content, headers=headers, timeout=REQUEST_SECONDS, trust_env=False)

    def reasons(self) -> list[str | None]:
        """Why calls were refused, or None where they were not, in order."""
        return [json.loads(line)["reason"] for line in self.trail.read_bytes().rpartition(b"\n")[0].splitlines()]


@contextmanager
def protected(issuer: doorward.Issuer, trail: Path, *, challenge_scopes: list[str] | None = None) -> Iterator[Desk]:
    """A server as any operator would protect it: the keys are found by discovery, and the challenge is the default."""
    with listening() as listener:
        gate = doorward.Gate(
            resource=url_of(listener),
            issuers=[issuer],
            tools=[
                doorward.ToolRule("refund_*", scopes=["orders:write"]),
                doorward.ToolRule("*", scopes=["orders:read"]),
            ],
            challenge_scopes=challenge_scopes,
            audit=doorward.Audit(path=str(trail)),
        )
        with served(gate.protect(desk_server(), stateless_http=True), listener):
            yield Desk(gate.resource, trail)
        gate.close()


def desk_server() -> MCPServer[Any]:
    """Its tools say who calls."""
    server: MCPServer[Any] = MCPServer("orders", log_level="CRITICAL")

    def caller() -> dict[str, Any]:
        token = get_access_token()
        assert token is not None
        return {"subject": token.subject, "client": token.client_id, "scopes": token.scopes}

    server.tool("read_caller")(caller)
    server.tool("refund_caller")(caller)
    return server


def scopes_in(authorization: dict[str, list[str]]) -> set[str]:
    """The scopes asked for, without the one that the client adds to be given a refresh token."""
    (scope,) = authorization["scope"]
    return set(scope.split()) - {"offline_access"}


async def called(client: Any, tool: str) -> dict[str, Any]:
    """What the tool answered."""
    result = await client.call_tool(tool, {})
    assert not result.is_error, result
    return dict(json.loads(result.content[0].text))
