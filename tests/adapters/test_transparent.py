"""With the official Python client over real HTTP: a server behind the gate and the same without it, side by side,
in every mode that the SDK's app has."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from adapters.desk import LEGACY, MODERN
from adapters.serving import listening, served, url_of
from adapters.story import Storyteller, eventful
from event_store import Events
from guarded import Guarded

import doorward

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),  # of what only the older protocol has
]

SCOPES = ("all",)
RULES: dict[str, Any] = {
    "tools": [doorward.ToolRule("*", scopes=SCOPES)],
    "resources": [doorward.ResourceRule("*", scopes=SCOPES)],
    "prompts": [doorward.PromptRule("*", scopes=SCOPES)],
}

OPTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "sessions": dict,
    "no sessions": lambda: {"stateless_http": True},
    "JSON": lambda: {"json_response": True},
    "JSON, no sessions": lambda: {"json_response": True, "stateless_http": True},
    "streams that can be taken up again": lambda: {"event_store": Events(), "retry_interval": 50},
}

WORKS = {
    ("sessions", LEGACY): {"progress", "sampling", "elicitation"},
    ("sessions", MODERN): {"progress", "asked by a result"},
    ("streams that can be taken up again", LEGACY): {"progress", "sampling", "elicitation", "stream taken up again"},
}
"""What must be heard of in that mode, lest two servers be equal that do nothing."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("mode", [MODERN, LEGACY])
@pytest.mark.parametrize("options", OPTIONS)
async def test_a_client_notices_no_difference(guarded: Callable[..., Guarded], options: str, mode: str) -> None:
    stories: dict[str, Any] = {}

    async def tell(name: str) -> None:
        happened: list[str] = []
        server, token, settings = eventful(happened), None, OPTIONS[options]()
        with listening() as listener:
            app: Any = None
            if name == "gate":
                it = guarded(resource=url_of(listener), **RULES)
                it.now = time.time()
                app, token = it.gate.protect(server, **settings), it.token(*SCOPES)
            with served(app or server.streamable_http_app(**settings), listener):
                stories[name] = await Storyteller(url_of(listener), mode, token=token, happened=happened).tell()

    async with anyio.create_task_group() as both:
        both.start_soon(tell, "bare")
        both.start_soon(tell, "gate")
    assert stories["gate"] == stories["bare"]
    silent = {what for what in WORKS.get((options, mode), set()) if not heard(stories["bare"][what])}
    assert silent == set()


def heard(noticed: tuple[Any, list[Any]]) -> bool:
    """Whether it worked, and was heard of where there is something to hear."""
    result, sounds = noticed
    return isinstance(result, dict) and "content" in result and (bool(sounds) or "Reconnection" in str(result))
