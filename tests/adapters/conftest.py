"""The SDK's server behind the gate, answering by streams and by JSON."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from adapters.desk import RULES, Desk, tools
from adapters.serving import listening, served, url_of
from guarded import Guarded


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=[False, True], ids=["sse", "json"])
def desk(request: pytest.FixtureRequest, guarded: Callable[..., Guarded]) -> Iterator[Desk]:
    ran: list[str] = []
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES)
        it.now = time.time()
        may_end = threading.Event()
        server = tools(ran, may_end)
        with served(it.gate.protect(server, json_response=request.param), listener):
            desk = Desk(it, server, ran, may_end)
            desk.server_sends_json = request.param
            yield desk
            may_end.set()
