"""``server.run(...)`` of a protected server of the official SDK: what serves itself is behind the gate too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from adapters.desk import LEGACY, MODERN, RULES, modern, modern_headers, text_of
from adapters.serving import listening, served, url_of, wait_for
from guarded import Guarded, message
from mcp import Client, ClientSession, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from servers.standalone import free_port

from doorward.testing import Issuer

Make = Callable[..., Guarded]

pytestmark = pytest.mark.anyio

SERVER = """
import json
import sys
from mcp.server.mcpserver import MCPServer
import doorward

transport, port, resource, issuer, jwks = sys.argv[1:]
server = MCPServer("running", log_level="CRITICAL")

@server.tool()
def read_caller() -> str:
    return doorward.current().principal.subject

@server.tool()
def delete_user() -> str:
    raise AssertionError("a tool ran")

gate = doorward.Gate(
    resource=resource,
    issuers=[doorward.Issuer(issuer, ["ES256"], json.loads(jwks))],
    tools=[doorward.ToolRule("read_*", scopes=["read"])],
    audit=doorward.Audit(path="audit.jsonl"),
)
gate.protect(server)
server.run(transport, port=int(port))
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def running(transport: str, folder: Path, issuer: Issuer, *, path: str = "/mcp") -> Iterator[str]:
    """The process; the resource that it serves."""
    port = free_port()
    resource = f"http://127.0.0.1:{port}{path}"
    (folder / "server.py").write_text(SERVER)
    process = subprocess.Popen(
        [sys.executable, "server.py", transport, str(port), resource, issuer.url, json.dumps(issuer.jwks())],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        wait_for(process, resource)
        yield resource
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("path", ["/mcp", "/elsewhere"])
async def test_a_server_that_runs_itself_is_behind_the_gate(tmp_path: Path, issuer: Issuer, path: str) -> None:
    with running("streamable-http", tmp_path, issuer, path=path) as resource:
        token = issuer.token(audience=resource, scopes=["read"])
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx2.post(resource, content=message("read_caller")).status_code == 401
        answer = httpx2.post(
            resource, content=modern("read_caller"), headers=headers | modern_headers("read_caller") | {"Host": "evil"}
        )
        assert answer.status_code == 403
        for mode in (MODERN, LEGACY):
            async with (
                httpx2.AsyncClient(headers=headers) as http,
                Client(streamable_http_client(resource, http_client=http), mode=mode) as client,
            ):
                assert text_of(await client.call_tool("read_caller", {})) == "user-1"
                with pytest.raises(MCPError, match="no rule"):
                    await client.call_tool("delete_user", {})
    assert calls(tmp_path) == ["success", "denied_policy"] * 2


async def test_also_over_the_oldest_transport(tmp_path: Path, issuer: Issuer) -> None:
    with running("sse", tmp_path, issuer) as resource:
        headers = {"Authorization": f"Bearer {issuer.token(audience=resource, scopes=['read'])}"}
        assert httpx2.get(resource.replace("/mcp", "/sse")).status_code == 401
        async with (
            sse_client(resource.replace("/mcp", "/sse"), headers=headers) as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            called = await session.call_tool("read_caller", {})
            assert text_of(called) == "user-1"
    assert calls(tmp_path) == ["success"]


@pytest.mark.parametrize("making", ["sse_app", "streamable_http_app"])
def test_an_app_that_a_protected_server_makes_has_the_gate_in_it(guarded: Make, making: str) -> None:
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES)
        server = MCPServer("making")
        it.gate.protect(server)
        with served(getattr(server, making)(), listener):
            answer = httpx2.get(it.gate.resource.replace("/mcp", "/sse" if making == "sse_app" else "/mcp"))
            assert (answer.status_code, "resource_metadata" in answer.headers["www-authenticate"]) == (401, True)


async def test_over_the_oldest_transport_a_refusal_is_the_last_that_the_client_sends(
    tmp_path: Path, issuer: Issuer
) -> None:
    """As docs/clients.md says. It does so before any server: its task that sends ends with an error of HTTP."""
    with running("sse", tmp_path, issuer) as resource:
        headers = {"Authorization": f"Bearer {issuer.token(audience=resource, scopes=['read'])}"}
        async with (
            sse_client(resource.replace("/mcp", "/sse"), headers=headers) as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            with pytest.raises(MCPError, match="timed out"):
                await session.call_tool("delete_user", {}, read_timeout_seconds=1)
            with pytest.raises(MCPError, match="Connection closed"):
                await session.call_tool("read_caller", {}, read_timeout_seconds=1)
    assert calls(tmp_path) == ["denied_policy"]


def calls(folder: Path) -> list[Any]:
    """How the calls on record ended."""
    records = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    return [record["result"] for record in records if record["method"] == "tools/call"]
