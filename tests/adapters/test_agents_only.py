"""A gate whose callers are all agents: it names no authorization server, and sends nobody to log in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from adapters.desk import LEGACY, MODERN, RULES, Desk, connected, text_of, tools
from adapters.serving import listening, served, url_of
from agents import AgentsFile
from guarded import Guarded
from mcp import Client, MCPError
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata
from pydantic import AnyUrl

import doorward

pytestmark = pytest.mark.anyio

WELL_KNOWN = "/.well-known/oauth-protected-resource"
ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])


class Office(Desk):
    """A server for agents alone, and the token of one of them."""

    token: str


@pytest.fixture
def office(guarded: Callable[..., Guarded], tmp_path: Path) -> Iterator[Office]:
    file = AgentsFile(tmp_path / "agents.toml")
    ran: list[str] = []
    with listening() as listener:
        it = guarded(resource=url_of(listener), issuers=[], agents=doorward.Agents(str(file.path)), tools=RULES)
        it.now = time.time()
        server = tools(ran)
        with served(it.gate.protect(server), listener):
            office = Office(it, server, ran)
            office.token = file.create("nightly", scopes=["read"], now=it.now)
            yield office


def test_its_metadata_name_no_authorization_server(office: Office) -> None:
    document = httpx2.get(office.gate.resource.replace("/mcp", f"{WELL_KNOWN}/mcp")).json()
    assert document == {
        "resource": office.gate.resource,
        "scopes_supported": ["read", "write"],
        "bearer_methods_supported": ["header"],
    }


@pytest.mark.parametrize("authorization", [None, "Bearer doorward_agent_x"], ids=["nothing", "a wrong token"])
def test_its_challenge_leads_nowhere(office: Office, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    refused = httpx2.post(office.gate.resource, headers=headers, content=b"{}")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith('Bearer realm="mcp"')
    assert "resource_metadata" not in refused.headers["www-authenticate"]


def test_nor_does_that_of_a_missing_scope(office: Office) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "delete_user"}}
    headers = {"Authorization": f"Bearer {office.token}", "Accept": "application/json, text/event-stream"}
    refused = httpx2.post(office.gate.resource, json=body, headers=headers)
    assert (refused.status_code, refused.json()["error"]["data"]["reason"]) == (403, "insufficient_scope")
    assert "resource_metadata" not in refused.headers["www-authenticate"]


@ERAS
async def test_the_official_client_works_with_an_agent_s_token(office: Office, mode: str) -> None:
    async with connected(office.gate.resource, office.token, mode) as client:
        assert json.loads(text_of(await client.call_tool("read_caller")))["client"] == "nightly"


@ERAS
async def test_the_official_client_shows_why_its_token_is_refused(office: Office, mode: str) -> None:
    with pytest.raises((MCPError, ExceptionGroup)) as failed:
        async with connected(office.gate.resource, f"{office.token[:-8]}wrong", mode) as client:
            await client.list_tools()
    assert "MCPError(401, 'the token is not valid', {'reason': 'invalid_token'" in _told(failed.value)


async def test_the_official_client_that_could_log_in_opens_no_browser(office: Office) -> None:
    """It looks for an authorization server in three places, as it does behind every 401, and finds none."""
    browsed: list[str] = []

    async def browse(url: str) -> None:
        browsed.append(url)

    async def called_back() -> Any:
        raise AssertionError("nobody has logged in")

    auth = OAuthClientProvider(
        office.gate.resource,
        OAuthClientMetadata(redirect_uris=[AnyUrl("http://127.0.0.1:1/callback")]),
        Storage(),
        redirect_handler=browse,
        callback_handler=called_back,
    )
    with pytest.raises((OAuthFlowError, ExceptionGroup)) as failed:
        async with (
            httpx2.AsyncClient(auth=auth) as http,
            Client(streamable_http_client(office.gate.resource, http_client=http)) as client,
        ):
            await client.list_tools()
    assert "OAuthRegistrationError" in _told(failed.value)
    assert browsed == []


class Storage:
    """Of a client that has neither a token nor a registration."""

    async def get_tokens(self) -> None:
        return None

    async def set_tokens(self, tokens: Any) -> None:
        raise AssertionError("nobody has given it one")

    async def get_client_info(self) -> None:
        return None

    async def set_client_info(self, client_info: Any) -> None:
        raise AssertionError("nobody has registered it")


def _told(error: BaseException) -> str:
    """The errors that tasks of the client ended with, as text."""
    return "".join(map(_told, error.exceptions)) if isinstance(error, BaseExceptionGroup) else repr(error)
