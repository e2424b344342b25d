"""Just the verifier: the SDKs' own authentication asks it who holds a token."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from adapters.desk import modern, modern_headers
from adapters.serving import listening, served, url_of
from guarded import Guarded
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from pydantic import AnyHttpUrl

import doorward
from doorward.adapters.verifier import SDKVerifier
from doorward.errors import Unavailable

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]


def verifiers(gate: doorward.Gate) -> list[Any]:
    """The one of the official SDK, and whichever `Gate.token_verifier` finds."""
    return [SDKVerifier(gate), gate.token_verifier()]


async def test_a_good_token_says_who_holds_it_and_is_not_handed_on(guarded: Make) -> None:
    it = guarded()
    for verifier in verifiers(it.gate):
        found = await verifier.verify_token(it.token("read"))
        assert (found.client_id, found.subject, found.scopes) == ("agent-1", "user-1", ["read"])
        assert (found.resource, found.token) == (it.gate.resource, "withheld")
        assert found.claims["iss"] == "https://as.example.com"


@pytest.mark.parametrize(
    "token", ["", "x", "x.y.z", "x y", "\n", "é", "doorward_agent_x", "x" * 100_000], ids=lambda token: token[:20]
)
async def test_a_bad_one_is_nobodys(guarded: Make, token: str) -> None:
    for verifier in verifiers(guarded().gate):
        assert await verifier.verify_token(token) is None


async def test_what_is_checked_is_what_the_gate_checks(guarded: Make) -> None:
    it = guarded()
    for number, verifier in enumerate(verifiers(it.gate)):
        for claims in (
            {"audience": "https://other.example.com/mcp"},
            {"exp": it.now - 60},
            {"typ": "oauth-id-jag+jwt"},
        ):
            assert await verifier.verify_token(it.token("read", **claims)) is None
        token = it.token("read", subject=f"user-{number}")
        assert await verifier.verify_token(token) is not None
        it.gate.revoke(subject=f"user-{number}", issuer="https://as.example.com")
        assert await verifier.verify_token(token) is None


async def test_one_failing_holder_does_not_use_up_anothers_attempts(guarded: Make) -> None:
    it = guarded(limits=doorward.Limits(failed_auth="1/day"))
    verifier = it.gate.token_verifier()
    for _ in range(5):
        assert await verifier.verify_token("x.y.z") is None
    assert await verifier.verify_token(it.token("read")) is not None


async def test_an_outage_is_not_a_bad_token(guarded: Make, issuer: Any) -> None:
    away = doorward.Issuer(issuer.url, ["ES256"], jwks_url="http://127.0.0.1:9/jwks")
    it = guarded(issuers=[away])
    for verifier in verifiers(it.gate):
        with pytest.raises(Unavailable):
            await verifier.verify_token(it.token("read"))


async def test_it_decides_records_and_limits_nothing(guarded: Make) -> None:
    it = guarded()
    await it.gate.token_verifier().verify_token(it.token())
    assert it.records() == []


@pytest.mark.parametrize("kind", ["mcp", "fastmcp"])
def test_each_sdk_takes_it_as_its_own(guarded: Make, kind: str) -> None:
    with listening() as listener:
        it = guarded(resource=url_of(listener))
        it.now = time.time()
        app = _app(kind, it)
        with served(app, listener):
            answers = [
                httpx2.post(it.gate.resource, content=modern("hello"), headers=headers | modern_headers("hello"))
                for headers in (
                    {"Authorization": f"Bearer {it.token()}"},
                    {"Authorization": "Bearer x.y.z"},
                    {},
                )
            ]
    assert [answer.status_code for answer in answers] == [200, 401, 401]
    assert "hello agent-1" in answers[0].text


def _app(kind: str, it: Guarded) -> Any:
    from mcp.server.auth.middleware.auth_context import get_access_token

    def hello() -> str:
        token = get_access_token()
        return f"hello {token.client_id if token else None}"

    verifier = it.gate.token_verifier()
    server: Any
    if kind == "fastmcp":
        pytest.importorskip("fastmcp")
        from fastmcp import FastMCP

        server = FastMCP("own", auth=verifier)
        server.tool(hello)
        return server.http_app(path="/mcp")
    auth = AuthSettings(
        issuer_url=AnyHttpUrl("https://as.example.com"),
        resource_server_url=AnyHttpUrl(it.gate.resource),
        validate_token_resource=True,
    )
    server = MCPServer("own", auth=auth, token_verifier=verifier, log_level="CRITICAL")
    server.tool()(hello)
    return server.streamable_http_app()
