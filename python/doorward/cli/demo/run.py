"""The play: who tries what, what must come of it, and what came."""

from __future__ import annotations

import base64
import json
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import uvicorn

import doorward
from doorward.cli.demo.client import Seen, call
from doorward.cli.demo.server import orders, write_configuration
from doorward.cli.saying import fail
from doorward.cli.tables import print_table
from doorward.testing import Issuer

__all__ = ["run"]

_ISSUER = "https://issuer.example"
_MODERN = "2026-07-28"
_LOOP = 50
"""Calls of the runaway loop, had nobody stopped it."""


@dataclass(frozen=True)
class Act:
    """One thing a caller tries."""

    title: str
    token: str | None
    tool: str
    status: int
    reason: str
    mode: str = _MODERN


@dataclass(frozen=True)
class Outcome:
    """A row of the table."""

    title: str
    seen: Seen
    right: bool


async def run(port: int, serve: bool) -> int:
    """Play it all; 0 when every outcome was the expected one."""
    issuer = Issuer(_ISSUER)
    with tempfile.TemporaryDirectory(prefix="doorward-demo-") as name:
        folder = Path(name)
        with socket.socket() as listener:
            _bind(listener, port)
            resource = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
            gate = doorward.Gate.from_file(write_configuration(folder, resource=resource, issuer=issuer))
            print(f"an order desk at {resource}, behind doorward ({doorward.IMPLEMENTATION} core)", flush=True)
            async with _serving(gate.protect(orders(), stateless_http=True), listener):
                outcomes = [await _play(act, resource) for act in _acts(issuer, resource)]
                outcomes += await _runaway(_token(issuer, resource, client_id="agent-loop"), resource)
                _show(outcomes, folder / "audit.jsonl")
                if serve:
                    await _serve(issuer, resource, folder)
    return 0 if all(outcome.right for outcome in outcomes) else 1


def _bind(listener: socket.socket, port: int) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        fail(f"port {port} cannot be had: {error.strerror}: name another one, or none, and the demo takes a free one")


def _acts(issuer: Issuer, resource: str) -> list[Act]:
    good = _token(issuer, resource)
    writer = _token(issuer, resource, scopes=["orders:write"])
    return [
        Act("a good call", good, "read_order", 200, "ok"),
        Act("the same, older protocol", good, "read_order", 200, "ok", "legacy"),
        Act("a broader scope", writer, "refund_order", 200, "ok"),
        Act("no token", None, "read_order", 401, "missing_credentials"),
        Act("a forged signature", _forged(good), "read_order", 401, "invalid_token"),
        Act(
            "a token for another server",
            _token(issuer, "https://other.example/mcp"),
            "read_order",
            401,
            "invalid_audience",
        ),
        Act("an expired token", _token(issuer, resource, now=time.time() - 7200), "read_order", 401, "token_expired"),
        Act("a missing scope", good, "refund_order", 403, "insufficient_scope"),
        Act("a call no rule allows", writer, "delete_order", 403, "no_rule"),
    ]


async def _play(act: Act, resource: str) -> Outcome:
    seen = await call(resource, act.token, act.tool, {"id": 1}, mode=act.mode)
    return Outcome(act.title, seen, (seen.status, seen.reason) == (act.status, act.reason))


async def _runaway(token: str, resource: str) -> list[Outcome]:
    """A loop that never looks at its answers, and what happens when it waits as long as it was told."""
    number, seen = 1, await call(resource, token, "read_order", {"id": 2}, mode=_MODERN)
    while seen.status == 200 and number < _LOOP:
        number, seen = number + 1, await call(resource, token, "read_order", {"id": 2}, mode=_MODERN)
    stopped_at = time.monotonic()
    right = (seen.status, seen.reason) == (429, "rate_limited") and bool(seen.retry_after and seen.retry_after_ms)
    stopped = Outcome(f"a runaway loop, stopped at call {number}", seen, right)
    if seen.retry_after_ms is None:
        return [stopped]
    await anyio.sleep(seen.retry_after_ms / 1000)
    waited = time.monotonic() - stopped_at
    again = await call(resource, token, "read_order", {"id": 2}, mode=_MODERN)
    return [
        stopped,
        Outcome(f"the loop again, after {waited:.1f} s as told", again, (again.status, again.reason) == (200, "ok")),
    ]


def _show(outcomes: list[Outcome], audit: Path) -> None:
    print_table(
        "What happened, and what the caller saw",
        ("attempt", "HTTP", "reason", "what the caller saw", "Retry-After", "as expected"),
        [
            (
                outcome.title,
                str(outcome.seen.status),
                outcome.seen.reason,
                outcome.seen.words,
                "" if outcome.seen.retry_after is None else f"{outcome.seen.retry_after} s",
                "yes" if outcome.right else "NO",
            )
            for outcome in outcomes
        ],
    )
    records = [json.loads(line) for line in audit.read_text().splitlines()]
    columns = ("timestamp", "result", "reason", "client_id", "method", "tool_name", "arguments_hash", "latency_ms")
    print_table(
        f"The audit trail: {len(records)} lines, here without the other members",
        columns,
        [["" if record[column] is None else str(record[column]) for column in columns] for record in records],
    )
    wrong = sum(not outcome.right for outcome in outcomes)
    print(f"\n{len(outcomes) - wrong} of {len(outcomes)} outcomes as expected", flush=True)


async def _serve(issuer: Issuer, resource: str, folder: Path) -> None:
    token = _token(issuer, resource, lifetime=8 * 3600)
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read_order", "arguments": {"id": 1}}}
    print(
        f"""
The server goes on until Ctrl-C. Its configuration and its audit trail are in {folder}

TOKEN={token}

curl -i {resource}
curl -i {resource} -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
     -H 'Accept: application/json, text/event-stream' -d '{json.dumps(body)}'
tail -f {folder}/audit.jsonl
""",
        flush=True,
    )
    await anyio.sleep_forever()


@asynccontextmanager
async def _serving(app: Any, listener: socket.socket) -> AsyncIterator[None]:
    # The gate alone decides which proxies are trusted, so the program that serves it must not rewrite the peer.
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", proxy_headers=False))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        while not server.started:  # noqa: ASYNC110 - uvicorn tells in no other way
            await anyio.sleep(0.01)
        try:
            yield
        finally:
            server.should_exit = True


def _token(issuer: Issuer, resource: str, *, scopes: list[str] | None = None, **claims: Any) -> str:
    return issuer.token(audience=resource, scopes=scopes or ["orders:read"], **claims)


def _forged(token: str) -> str:
    """The same token with more scopes and the old signature."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["scope"] = "orders:write"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{header}.{forged}.{signature}"
