"""A server behind the gate, of each kind: the behaviours in this directory are the same for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from adapters.desk import RULES, Desk, tools
from adapters.serving import listening, served, url_of
from adapters.unknown_server import LIMIT, Server
from guarded import Guarded

import doorward


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sse", "json", "fastmcp"])
def desk(request: pytest.FixtureRequest, guarded: Callable[..., Guarded]) -> Iterator[Desk]:
    """A server of the SDK that answers by streams, one that answers in JSON, and one of fastmcp."""
    ran: list[str] = []
    may_end = threading.Event()
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES)
        it.now = time.time()
        server = _fastmcp_tools(ran, may_end) if request.param == "fastmcp" else tools(ran, may_end)
        options = {"json_response": True} if request.param == "json" else {}
        with served(it.gate.protect(server, **options), listener):
            desk = Desk(it, server, ran, may_end)
            desk.server_sends_json = request.param == "json"
            desk.is_fastmcp = request.param == "fastmcp"
            yield desk
            may_end.set()


def _fastmcp_tools(ran: list[str], may_end: threading.Event) -> Any:
    pytest.importorskip("fastmcp")
    from adapters.fastmcp_desk import fastmcp_tools

    return fastmcp_tools(ran, may_end)


@pytest.fixture
def it(guarded: Callable[..., Guarded]) -> Iterator[Guarded]:
    """A gate before a server that nobody here knows."""
    with listening() as listener:
        rules = [doorward.ToolRule("read_*", scopes=["read"]), doorward.ToolRule("delete_*", scopes=["write"])]
        it = guarded(
            resource=url_of(listener),
            tools=rules,
            allowed_origins=["https://app.example.com"],
            max_body_bytes=LIMIT,
            limits=doorward.Limits(client=["3/minute"]),
        )
        it.server = Server()  # type: ignore[attr-defined]
        with served(it.gate.protect(it.server), listener):  # type: ignore[attr-defined]
            yield it
