"""What anybody may ask: the metadata of the resource, and a browser whether it may ask at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from adapters.unknown_server import post
from guarded import Guarded, message

from doorward.adapters.wire import Message, Scope


@pytest.mark.parametrize("path", ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"])
def test_the_metadata_is_served_at_both_paths_to_anybody(it: Guarded, path: str) -> None:
    response = httpx2.get(it.gate.resource.removesuffix("/mcp") + path)
    assert response.status_code == 200
    assert response.json() == {
        "resource": it.gate.resource,
        "authorization_servers": ["https://as.example.com"],
        "scopes_supported": ["read", "write"],
        "bearer_methods_supported": ["header"],
    }
    assert it.server.reached == []  # type: ignore[attr-defined]


def test_no_other_path_below_the_well_known_one_is_answered(it: Guarded) -> None:
    url = it.gate.resource.removesuffix("/mcp") + "/.well-known/oauth-protected-resource/other"
    assert httpx2.get(url).status_code == 401


def test_a_browser_of_an_allowed_origin_may_ask_and_see(it: Guarded) -> None:
    origin = {"Origin": "https://app.example.com"}
    preflight = httpx2.options(
        it.gate.resource,
        headers=origin | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"},
    )
    refused = post(it, message(), token=None, headers=origin)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "authorization"
    assert refused.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]
    evil = httpx2.options(it.gate.resource, headers={"Origin": "https://evil.example"})
    assert evil.status_code == 403
    assert "access-control-allow-origin" not in evil.headers


@pytest.mark.anyio
@pytest.mark.parametrize("spelling", [bytes.lower, bytes.title, bytes.upper])
async def test_names_of_headers_have_any_case(
    guarded: Callable[..., Guarded], spelling: Callable[[bytes], bytes]
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [
        (b"origin", b"https://mcp.example.com"),
        (b"access-control-request-headers", b"authorization, mcp-name"),
    ]
    scope: Scope = {
        "type": "http",
        "scheme": "https",
        "method": "OPTIONS",
        "path": "/mcp",
        "headers": [(spelling(name), value) for name, value in headers],
    }
    await guarded().gate.protect(_never)(scope, _never, send)
    answered = dict(sent[0]["headers"])
    assert answered[b"access-control-allow-origin"] == b"https://mcp.example.com"
    assert answered[b"access-control-allow-headers"] == b"authorization, mcp-name"


async def _never(*_: object) -> Any:
    raise AssertionError("nothing of a preflight reaches the server")
