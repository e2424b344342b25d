"""The official conformance suite says of a server the same with the gate in front as without, check by check."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from adapters.serving import listening, served, url_of
from conformance.everything import everything
from conformance.suite import REVISIONS, Checks, start, verdict
from event_store import Events
from guarded import Guarded
from interop.npm import install

import doorward

pytestmark = pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")  # the older scenarios ask for it

SCOPES = ("all",)
RULES: dict[str, Any] = {
    "tools": [doorward.ToolRule("*", scopes=SCOPES)],
    "resources": [doorward.ResourceRule("*", scopes=SCOPES)],
    "prompts": [doorward.PromptRule("*", scopes=SCOPES)],
}

DIFFERENT: dict[str, set[str]] = {revision: set() for revision in REVISIONS}
"""The scenarios that may end in another way with the gate in front. There is none."""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory, issuer: Any) -> Iterator[dict[str, Checks]]:
    """By revision and server, all run at once: most of the time is spent waiting."""
    install()
    folder = tmp_path_factory.mktemp("conformance")
    with ExitStack() as stack:
        urls = {}
        for name in ("bare", "gate"):
            listener = stack.enter_context(listening())
            urls[name] = url_of(listener)
            options: dict[str, Any] = {"event_store": Events(), "retry_interval": 100}
            if name == "bare":
                app: Any = everything().streamable_http_app(**options)
            else:
                it = Guarded(folder / "audit.jsonl", issuer, resource=urls[name], **RULES)
                it.now = time.time()
                app = with_token(it.gate.protect(everything(), **options), it.token(*SCOPES))
            stack.enter_context(served(app, listener))
        suites = {}
        for name, url in urls.items():
            for revision in REVISIONS:
                results = folder / name / revision
                suites[f"{revision} {name}"] = (start(url, revision, results), results)
        yield {key: verdict(suite, results) for key, (suite, results) in suites.items()}


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_server_conforms_by_itself(verdicts: dict[str, Checks], revision: str) -> None:
    """Else a scenario that fails both times would prove nothing. Tasks are an extension that the SDK does not have."""
    bare = verdicts[f"{revision} bare"]
    assert len(bare) >= 30
    failed = {name for name, checks in bare.items() if any(status == "FAILURE" for _, status in checks)}
    assert {name for name in failed if not name.startswith("tasks-")} == set()


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_gate_changes_no_check_of_any_scenario(verdicts: dict[str, Checks], revision: str) -> None:
    bare, gated = verdicts[f"{revision} bare"], verdicts[f"{revision} gate"]
    assert gated.keys() == bare.keys()
    different = {name: (bare[name], gated[name]) for name in bare if bare[name] != gated[name]}
    assert different.keys() == DIFFERENT[revision], different


def with_token(app: Any, token: str) -> Callable[..., Any]:
    """The suite has no way to send credentials: they are added where there are none."""

    async def shim(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": [*scope["headers"], (b"authorization", f"Bearer {token}".encode())]}
        await app(scope, receive, send)

    return shim
