"""The official TypeScript clients from npm: what passes through the gate as if it were not there, and what an agent
gets to see of each refusal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from adapters.serving import listening, served, url_of
from conformance.everything import everything
from guarded import Guarded
from interop.npm import install
from interop.typescript import FLAVOURS, TypeScript, typescript
from mcp.server.mcpserver import MCPServer

import doorward
from doorward.testing import Issuer

pytestmark = [
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),  # of what only the older protocol has
]

SCOPES = ("all",)
RULES: dict[str, Any] = {
    "tools": [
        doorward.ToolRule("test_*", scopes=SCOPES),
        doorward.ToolRule("limited", scopes=SCOPES, limit=["1/hour"]),
        doorward.ToolRule("admin", scopes=["admin", "root"]),
    ],
    "resources": [doorward.ResourceRule("*", scopes=SCOPES)],
    "prompts": [doorward.PromptRule("*", scopes=SCOPES)],
    "filter_lists": False,  # what nobody may call would be the one difference
}

SAME: dict[str, tuple[str, dict[str, Any]]] = {
    "initialise": ("connect", {}),
    "list the tools": ("tools", {}),
    "call": ("call", {"tool": "test_simple_text"}),
    "a tool that fails": ("call", {"tool": "test_error_handling"}),
    "progress": ("call", {"tool": "test_tool_with_progress"}),
    "cancel": ("call", {"tool": "test_tool_with_progress", "abort": True, "linger": 300}),
    "sampling": ("call", {"tool": "test_sampling", "args": {"prompt": "this"}}),
    "elicitation": ("call", {"tool": "test_elicitation", "args": {"message": "who?"}}),
    "asked by a result": ("call", {"tool": "test_input_required_result_elicitation"}),
    "two rounds": ("call", {"tool": "test_input_required_result_multi_round"}),
    "level of the log": ("log", {"level": "debug"}),
    "log messages": ("call", {"tool": "test_tool_with_logging"}),
    "subscribe": ("subscribe", {"uri": "test://watched-resource"}),
    "listen": ("listen", {"filter": {"toolsListChanged": True}}),
    "a notification": ("call", {"tool": "test_trigger_tool_change", "linger": 300}),
    "read": ("read", {"uri": "test://static-text"}),
    "prompt": ("prompt", {"name": "test_prompt_with_arguments", "args": {"arg1": "a", "arg2": "b"}}),
    "complete": (
        "complete",
        {
            "ref": {"type": "ref/prompt", "name": "test_prompt_with_arguments"},
            "argument": {"name": "arg1", "value": "p"},
        },
    ),
    "ping": ("ping", {}),
}
"""In this order, by one client."""


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Guarded]:
    """A protected server that is served, one for all tests."""
    install()
    with listening() as listener:
        it = Guarded(tmp_path_factory.mktemp("gate") / "audit.jsonl", issuer, resource=url_of(listener), **RULES)
        it.now = time.time()
        with served(it.gate.protect(server()), listener):
            yield it


@pytest.fixture(scope="module", params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def client(it: Guarded, flavour: str) -> Iterator[TypeScript]:
    """With a good token, past its first messages: whatever it was refused, it goes on."""
    with typescript(flavour, it.gate.resource, it.token(*SCOPES, client_id=flavour)) as client:
        client.gets("connect")
        yield client


def server() -> MCPServer[Any]:
    """The conformance suite's, with two tools more."""
    server = everything()
    server.tool("limited")(lambda: "once")
    server.tool("admin")(lambda: "done")
    return server


def test_a_client_notices_no_difference(it: Guarded, flavour: str) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(listening())
        stack.enter_context(served(server().streamable_http_app(), listener))
        bare = stack.enter_context(typescript(flavour, url_of(listener), "nobody looks"))
        gated = stack.enter_context(typescript(flavour, it.gate.resource, it.token(*SCOPES)))
        answers = {
            what: (bare.does(command, **how), gated.does(command, **how)) for what, (command, how) in SAME.items()
        }
    assert {what: gated for what, (_, gated) in answers.items()} == {what: bare for what, (bare, _) in answers.items()}
    of_its_era = {"listen", "asked by a result"} if flavour == "v2-newer" else {"sampling", "elicitation"}
    assert of_its_era | {"progress", "read", "prompt"} <= worked(answers)


def worked(answers: dict[str, Any]) -> set[str]:
    """What the bare server could do: equal failures prove little."""
    return {what for what, (bare, _) in answers.items() if "error" not in bare}


def test_what_it_hears_it_hears_through_the_gate(client: TypeScript, flavour: str) -> None:
    """The same as bare, and not nothing."""
    assert client.gets("call", tool="test_tool_with_progress")["progress"] == [0, 50, 100]
    if flavour == "v2-newer":
        client.gets("listen", filter={"toolsListChanged": True})
        assert client.does("call", tool="test_trigger_tool_change", linger=300)["heard"] == ["tools/list_changed"]
        assert client.does("call", tool="test_input_required_result_elicitation")["asked"] == ["elicitation/create"]
    else:
        client.gets("log", level="debug")
        assert client.does("call", tool="test_tool_with_logging")["heard"] == ["message"] * 3
        asked = client.does("call", tool="test_sampling", args={"prompt": "x"})["asked"]
        asked += client.does("call", tool="test_elicitation", args={"message": "x"})["asked"]
        assert asked == ["sampling/createMessage", "elicitation/create"]


def test_a_call_that_was_given_up_is_recorded_as_cancelled(it: Guarded, client: TypeScript, flavour: str) -> None:
    assert "no longer wanted" in client.fails("call", tool="test_tool_with_progress", abort=True)["message"]
    deadline = time.monotonic() + 5
    while "cancelled" not in ended(it, flavour):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_over_a_limit_the_agent_reads_how_long_to_wait(client: TypeScript, flavour: str) -> None:
    """No client waits by itself or shows `Retry-After`: the words of the JSON-RPC error are all the agent has."""
    client.gets("call", tool="limited")
    error = client.fails("call", tool="limited")
    assert "over 1/hour for limited (client): retry in 3600 s" in error["message"]
    assert '"retryAfterMs":3600000' in error["message"]
    assert (error["code"] if flavour == "v1" else error["data"]["status"]) == 429


def test_without_a_scope_the_agent_reads_which(client: TypeScript, flavour: str) -> None:
    error = client.fails("call", tool="admin")
    if flavour == "v1":
        assert "the token lacks a scope this call needs: admin root" in error["message"]
    else:
        assert error["kind"] == "InsufficientScopeError"
        assert error["message"] == 'Insufficient scope: required "admin root"'


def test_where_no_rule_allows_it_the_agent_reads_so(client: TypeScript) -> None:
    error = client.fails("call", tool="unruled")
    assert "no rule allows this call" in error["message"]
    assert '"retryable":false' in error["message"]


def test_a_refusal_leaves_the_session_as_it_was(client: TypeScript) -> None:
    for tool in ("admin", "unruled", "admin"):
        client.fails("call", tool=tool)
    assert client.gets("call", tool="test_simple_text")["result"]["content"][0]["text"]


def test_with_a_bad_token_and_no_login_the_client_says_so(it: Guarded, flavour: str) -> None:
    with typescript(flavour, it.gate.resource, "a.bad.token") as client:
        error = client.fails("connect")
    told = json.dumps(error)
    assert "401" in told
    assert "the token is not valid" in told


def test_while_the_issuer_is_away_the_agent_is_told_to_wait(guarded: Callable[..., Guarded], flavour: str) -> None:
    with listening() as nobody, listening() as listener:
        issuer = doorward.Issuer("https://as.example.com", ["ES256"], jwks_url=url_of(nobody))
        it = guarded(resource=url_of(listener), issuers=[issuer], **RULES)
        it.now = time.time()
        with (
            served(it.gate.protect(server()), listener),
            typescript(flavour, it.gate.resource, it.token(*SCOPES)) as client,
        ):
            told = json.dumps(client.fails("connect"))
    assert "503" in told
    assert "the token cannot be checked now" in told


def ended(it: Guarded, client: str) -> list[str]:
    """How the tool calls of a client ended."""
    calls = [record for record in it.records() if record["method"] == "tools/call"]
    return [record["result"] for record in calls if record["client_id"] == client]
