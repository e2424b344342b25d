"""The fast path against the slow path: a header that any check reads takes the slow path, so both decide alike."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from guarded import NOW, Guarded
from hypothesis import given
from hypothesis import strategies as st
from traced import listening_to_all

import doorward
from doorward.adapters.exempt import exempt
from doorward.decision import Decision
from doorward.request import Request

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]
Headers = list[tuple[bytes, bytes]]

PLAIN: Headers = [(b"host", b"mcp.example.com"), (b"authorization", b"Bearer a.b.c")]
READ = frozenset({"host", "authorization", "content-length", "mcp-protocol-version", "traceparent"})
"""Headers that the fast path reads itself, each at most once."""

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def is_fast(core: ModuleType, headers: Headers) -> bool:
    callers = core.TokenCache()
    callers.put("a.b.c", "a caller", expires_at=NOW + 60)
    recogniser = core.Recogniser(callers, hosts=["mcp.example.com"], max_body_bytes=1_000)
    return recogniser.recognise(headers, scheme="https", peer="10.0.0.1", now=NOW) is not None


# --- what real clients send -------------------------------------------------------------------------------------------

# Names of the headers of a POST as they arrived, 2026-12-01. `...` stands for host, authorization and content-length.
CLIENTS = {
    "mcp 2.3.0, 2026-07-28": "... accept accept-encoding connection content-type mcp-method mcp-name "
    "mcp-protocol-version user-agent",
    "mcp 2.3.0 and 1.30, 2025-11-25": "... accept accept-encoding connection content-type mcp-protocol-version "
    "mcp-session-id user-agent",
    "mcp 2.3.0 with an argument in a header": "... accept accept-encoding connection content-type mcp-method mcp-name "
    "mcp-param-region mcp-protocol-version user-agent",
    "fastmcp 4.2.3": "... accept accept-encoding connection content-type mcp-method mcp-name mcp-protocol-version "
    "user-agent",
    "@modelcontextprotocol/client 2.4.0": "... accept accept-encoding accept-language connection content-type "
    "mcp-method mcp-name mcp-protocol-version sec-fetch-mode user-agent",
    "@modelcontextprotocol/sdk 1.32.2": "... accept accept-encoding accept-language connection content-type "
    "mcp-protocol-version mcp-session-id sec-fetch-mode user-agent",
    "fetch of Node 22": "... accept accept-encoding accept-language connection content-type sec-fetch-mode user-agent",
    "http of Node 22": "... connection content-type",
    "httpx, httpx2, requests": "... accept accept-encoding connection content-type user-agent",
    "aiohttp": "... accept accept-encoding content-type user-agent",
    "urllib": "... accept accept-encoding connection content-type user-agent",
    "curl": "... accept content-type user-agent",
    "any of them with OpenTelemetry": "... accept baggage content-type traceparent tracestate user-agent",
    "any of them with a session of a load balancer": "... accept content-type cookie user-agent",
    "any of them through a proxy that names itself": "... accept content-type user-agent via x-request-id",
}
FAST = frozenset(name for names in CLIENTS.values() for name in names.split()) - {"..."} | READ


def head(names: str) -> Headers:
    values = {"content-length": b"12", "mcp-protocol-version": b"2026-07-28", "traceparent": TRACEPARENT.encode()}
    more = [*names.removeprefix("... ").split(), "content-length"]
    return [*PLAIN, *((name.encode(), values.get(name, b"1")) for name in more)]


@pytest.mark.parametrize("names", CLIENTS.values(), ids=CLIENTS)
def test_what_clients_send_takes_the_fast_path(core: ModuleType, names: str) -> None:
    assert is_fast(core, head(names))


# --- what takes the slow path -----------------------------------------------------------------------------------------

SOURCE = Path(doorward.__file__).parent
RUST = SOURCE.parent.parent / "rust"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def named_by_the_product() -> frozenset[str]:
    """Every text of the product that can be the name of a header: the Python and Rust literals, and their words."""
    texts: list[str] = []
    for path in SOURCE.rglob("*.py"):
        literals = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
        texts += (text.decode("latin-1") if isinstance(text, bytes) else str(text) for text in literals)
    for path in RUST.rglob("*.rs"):
        texts += re.findall(r'"([^"\n]*)"', path.read_text())
    return frozenset(word.lower() for text in texts for word in _NAME.findall(text))


def test_of_all_names_in_the_product_the_fast_path_takes_those_alone_that_it_is_known_to_take(
    core: ModuleType,
) -> None:
    names = named_by_the_product()
    assert names > {*FAST - {"mcp-param-region", "baggage"}, "origin", "x-forwarded-proto", "content-encoding"}
    taken = {name for name in names - READ if is_fast(core, [*PLAIN, (name.encode(), b"1")])}
    assert {name for name in taken if not name.startswith("mcp-param-")} <= FAST


class Reading(Request):
    """A request that remembers which headers were asked for."""

    asked: set[str]

    def header_values(self, name: str) -> Sequence[str]:
        self.asked.add(name)
        return super().header_values(name)


EXPECTED = frozenset(
    {"client-cert", "content-encoding", "origin", "x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-proto"}
)
"""Headers that the slow path is known to read; the tests find the rest."""

REQUESTS: dict[str, dict[str, Any]] = {
    "as clients send it": {},
    "a preflight": {"method": "OPTIONS", "headers": [("origin", "https://mcp.example.com")]},
    "a browser's": {"headers": [("origin", "https://mcp.example.com")]},
    "a stranger's": {"peer": "192.0.2.7"},
    "over plain http": {"scheme": "http"},
    "a forged token": {"headers": [("authorization", "Bearer x.y.z")]},
    "no token": {"headers": []},
    "a stream": {"method": "GET"},
    "with a query": {"query": "a=b"},
}


async def test_every_header_that_the_slow_path_reads_takes_the_slow_path(guarded: Make, core: ModuleType) -> None:
    asked: set[str] = set()
    for header in (None, "Client-Cert", "X-Forwarded-Client-Cert"):
        with listening_to_all():
            it = guarded(trusted_proxies=["10.0.0.0/8"], client_certificate=header)
            usual = {
                "host": "mcp.example.com",
                "path": "/mcp",
                "peer": "10.0.0.1",
                "headers": [("authorization", f"Bearer {it.token('read')}"), ("x-forwarded-proto", "https")],
            }
            for given_here in REQUESTS.values():
                request = Reading(**usual | given_here)
                request.asked = asked
                exempt(it.gate, request, {"type": "http", "path": request.path})
                (await it.gate.begin(request)).close()
            it.gate.close()
    assert asked >= {*READ - {"host"}, *EXPECTED}, "the host is a field of its own"
    for name in asked - READ:
        assert not is_fast(core, [*PLAIN, (name.encode(), b"1")]), name


@given(st.from_regex(_NAME, fullmatch=True) | st.text(max_size=20))
def test_any_other_header_takes_the_slow_path(core: ModuleType, name: str) -> None:
    lower = name.lower() if name.isascii() else ""
    is_known = lower in FAST - {"host", "authorization"} or lower.startswith("mcp-param-")
    assert is_fast(core, [*PLAIN, (name.encode("utf-8", "replace"), b"12")]) == is_known


# --- both decide alike ------------------------------------------------------------------------------------------------

VALUES = (b"1", b"http", b"gzip", b"Bearer a", b"https://evil.example", b"1001", TRACEPARENT.encode(), b"", b"\xff")
CONNECTIONS = [("https", "10.0.0.1"), ("https", "192.0.2.7"), ("http", "127.0.0.1"), ("https", None)]


def said(decision: Decision) -> object:
    claimed = None if decision.trace is None else decision.trace.claimed
    refused = None if decision.refusal is None else decision.refusal.code
    decision.close()
    return refused, decision.protocol, claimed, decision.principal


@pytest.mark.parametrize(("scheme", "peer"), CONNECTIONS)
@pytest.mark.parametrize("name", sorted({*FAST, *EXPECTED}))
async def test_what_the_fast_path_lets_in_the_slow_path_lets_in_alike(
    guarded: Make, name: str, scheme: str, peer: str | None
) -> None:
    with listening_to_all():
        it = guarded(trusted_proxies=["10.0.0.0/8"], client_certificate="Client-Cert", max_body_bytes=1_000)
        plain = [(b"host", b"mcp.example.com"), (b"authorization", f"Bearer {it.token('read')}".encode())]
        await judged(it, plain, scheme, peer)
        for first, second in product(VALUES, (None, b"1")):
            more = [(name.encode(), value) for value in (first, second) if value is not None]
            found = it.gate.recognise([*plain, *more], scheme=scheme, peer=peer)
            if found is not None:
                assert said(found[0]) == said(await judged(it, [*plain, *more], scheme, peer)), more
        it.gate.close()


async def judged(it: Guarded, headers: Headers, scheme: str, peer: str | None) -> Decision:
    """The decision of the slow path."""
    hosts = [value.decode() for name, value in headers if name == b"host"]
    host = hosts[0] if len(hosts) == 1 else ""
    return await it.gate.begin(Request(scheme=scheme, host=host, path="/mcp", raw_headers=headers, peer=peer))


async def test_the_fast_path_keeps_the_trace_of_its_caller(guarded: Make) -> None:
    with listening_to_all():
        it = guarded()
        plain = [(b"host", b"mcp.example.com"), (b"authorization", f"Bearer {it.token('read')}".encode())]
        await judged(it, plain, "https", None)
        found = it.gate.recognise([*plain, (b"Traceparent", TRACEPARENT.encode())], scheme="https", peer=None)
        assert found is not None
        trace = found[0].trace
        assert trace is not None
        assert trace.claimed is not None
        assert trace.claimed.trace_id == int(TRACEPARENT.split("-")[1], 16)
        found[0].close()
        it.gate.close()
