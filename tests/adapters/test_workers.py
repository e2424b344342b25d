"""``uvicorn --workers 2``: two processes with one configuration, one budget in Redis and one trail of two files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from adapters.desk import LEGACY, MODERN, connected, modern, modern_headers
from adapters.serving import wait_for
from cli.commanding import here
from mcp import MCPError
from servers.standalone import RedisServer, free_port

from doorward.confirmation import ANSWER
from doorward.testing import Issuer

pytestmark = pytest.mark.anyio

_BUDGET = 40
_AT_ONCE = 8
"""Clients."""

YES = {ANSWER: {"action": "accept", "content": {"confirm": "yes"}}}

CONFIGURATION = """
resource = "{resource}"

[[issuer]]
url = "{issuer}"
algorithms = ["ES256"]
jwks_file = "jwks.json"

[[tool]]
match = "read_*"
scopes = ["read"]
limit = ["{budget}/day"]

[[tool]]
match = "wipe"
scopes = ["read"]
confirm = true

[limits]
store = "{store}"

[audit]
path = "trail/audit.jsonl"
"""

SERVERS = {
    "sdk": """
from mcp.server.mcpserver import MCPServer

server = MCPServer("workers", log_level="CRITICAL")
tool = server.tool()
""",
    "fastmcp": """
from fastmcp import FastMCP

server = FastMCP("workers")
tool = server.tool
""",
}
SERVER = """
import os
import doorward
{server}

@tool
def read_pid() -> str:
    return str(os.getpid())

@tool
def wipe(name: str) -> str:
    with open("wiped", "a") as file:
        print(name, file=file)
    return "wiped"

gate = doorward.Gate.from_file("doorward.toml")
app = gate.protect(server, stateless_http=True)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("kind", SERVERS)
async def test_two_workers_share_a_budget_and_leave_one_trail(
    kind: str, tmp_path: Path, issuer: Issuer, redis_server: RedisServer
) -> None:
    pytest.importorskip(kind if kind == "fastmcp" else "mcp")
    seen: dict[str, list[str]] = {MODERN: [], LEGACY: []}
    refused: list[str] = []
    with workers(kind, tmp_path, issuer, redis_server) as resource:
        token = issuer.token(audience=resource, scopes=["read"])

        async def is_answered(mode: str) -> bool:
            # A connection each, which is what the workers share.
            async with connected(resource, token, mode) as client:
                try:
                    seen[mode].append((await client.call_tool("read_pid", {})).content[0].text)
                except MCPError as error:
                    refused.append(error.error.data["reason"])
                    return False
                return True

        async def call(mode: str) -> None:
            while await is_answered(mode):
                pass

        for mode in seen:
            assert await is_answered(mode)
            # Of two that wait the kernel may wake the same one each time.
            with stopped(int(seen[mode][0])):
                assert await is_answered(mode)
        async with anyio.create_task_group() as group:
            for number in range(_AT_ONCE):
                group.start_soon(call, (MODERN, LEGACY)[number % 2])
    assert len(seen[MODERN]) + len(seen[LEGACY]) == _BUDGET
    assert refused == ["rate_limited"] * _AT_ONCE
    assert set(seen[MODERN]) == set(seen[LEGACY])
    assert len(set(seen[MODERN])) == 2, "either era meets either worker"

    trail = tmp_path / "trail"
    files = [path.read_text().splitlines() for path in sorted(trail.glob("audit*.jsonl"))]
    assert len(files) == 2, "one writer a file"
    records = [[json.loads(line) for line in lines] for lines in files]
    calls = [record for found in records for record in found if record["method"] == "tools/call"]
    assert [record["result"] for record in calls].count("success") == _BUDGET
    assert len(calls) == _BUDGET + _AT_ONCE
    assert all(any(record["method"] == "tools/call" for record in found) for found in records)
    verified = here("audit", "verify", "trail", at=tmp_path)
    assert verified.code == 0, verified.out + verified.err


def test_of_answers_at_once_on_two_workers_one_runs_the_call(
    tmp_path: Path, issuer: Issuer, redis_server: RedisServer
) -> None:
    questions = 6
    with workers("sdk", tmp_path, issuer, redis_server) as resource, ThreadPoolExecutor(_AT_ONCE) as pool:
        headers = modern_headers("wipe") | {
            "Authorization": f"Bearer {issuer.token(audience=resource, scopes=['read'])}"
        }

        def post(name: str, **answer: Any) -> dict[str, Any]:
            # A connection each: whichever worker takes it.
            body = json.loads(modern("wipe", name=name))
            body["params"] |= answer
            body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = {"elicitation": {}}
            return dict(httpx2.post(resource, json=body, headers=headers, timeout=30).json())

        for number in range(questions):
            state = post(str(number))["result"]["requestState"]
            yes = {
                "requestState": state,
                "inputResponses": YES,
            }
            answers = list(pool.map(lambda _, number=number, yes=yes: post(str(number), **yes), range(_AT_ONCE)))
            assert ["result" in answer for answer in answers].count(True) == 1, answers
            reasons = {answer["error"]["data"]["reason"] for answer in answers if "error" in answer}
            assert reasons == {"confirmation_used"}
    assert (tmp_path / "wiped").read_text().split() == [str(number) for number in range(questions)]
    files = [path.read_text() for path in (tmp_path / "trail").glob("audit*.jsonl")]
    assert all('"tool_name":"wipe"' in lines for lines in files), "both workers were asked"


def test_under_the_reloader_of_uvicorn_there_is_one_process_and_then_another(tmp_path: Path, issuer: Issuer) -> None:
    with uvicorn("sdk", tmp_path, issuer, "memory", "--reload") as (process, resource):
        token = issuer.token(audience=resource, scopes=["read"])

        def post(tool: str, **more: Any) -> dict[str, Any]:
            body = json.loads(modern(tool, **({"name": "ada"} if tool == "wipe" else {})))
            body["params"] |= more
            body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = {"elicitation": {}}
            headers = modern_headers(tool) | {"Authorization": f"Bearer {token}"}
            return dict(httpx2.post(resource, json=body, headers=headers, timeout=30).json()["result"])

        def is_another() -> bool:
            try:
                return bool(post("read_pid")["content"] != first)
            except httpx2.TransportError:  # between the two
                return False

        wait_for(process, resource)
        first = post("read_pid")["content"]
        (tmp_path / "workers.py").touch()
        wait_for(process, resource, is_ready=is_another)
        state = post("wipe")["requestState"]
        assert "content" in post("wipe", requestState=state, inputResponses=YES)
    assert (tmp_path / "wiped").read_text() == "ada\n"
    assert "several workers" not in (tmp_path / "said").read_text()


def test_workers_that_share_nothing_do_not_start(tmp_path: Path, issuer: Issuer) -> None:
    with uvicorn("sdk", tmp_path, issuer, "memory", "--workers", "2") as (process, _):
        deadline = time.monotonic() + 60
        # uvicorn tries again and again, and neither ever serves.
        while "[limits] store: must be a Redis that all processes share" not in (
            said := (tmp_path / "said").read_text()
        ):
            assert process.poll() is None
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
    assert "run a single process: without workers, and to develop under no reloader but uvicorn --reload" in said


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Meanwhile the other worker takes every connection."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def workers(kind: str, folder: Path, issuer: Issuer, store: RedisServer) -> Iterator[str]:
    """Two processes of uvicorn on one port."""
    with uvicorn(kind, folder, issuer, store.url, "--workers", "2") as (process, resource):
        # A worker that has its gate has opened its file.
        wait_for(process, resource, is_ready=lambda: len(list((folder / "trail").glob("audit*.jsonl"))) == 2)
        yield resource


@contextmanager
def uvicorn(
    kind: str, folder: Path, issuer: Issuer, store: str, *options: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """uvicorn in a directory of its own, and the resource that it is to serve."""
    port = free_port()
    resource = f"http://127.0.0.1:{port}/mcp"
    (folder / "trail").mkdir()
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()))
    (folder / "doorward.toml").write_text(
        CONFIGURATION.format(resource=resource, issuer=issuer.url, budget=_BUDGET, store=store)
    )
    (folder / "workers.py").write_text(SERVER.format(server=SERVERS[kind]))
    command = [sys.executable, "-m", "uvicorn", "workers:app", *options, "--port", str(port)]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [*command, "--no-proxy-headers", "--log-level", "critical"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stderr=said,
        )
        try:
            yield process, resource
        finally:
            process.terminate()
            process.wait(30)
