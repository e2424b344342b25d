"""The official TypeScript clients from npm: what passes through the gate as if it were not there, and what an agent gets
to see of each refusal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from adapters.serving import listening, served, url_of
from conformance.everything import everything
from guarded import Guarded
from interop.npm import install
from interop.typescript import FLAVOURS, TypeScript, typescript
from mcp.server.mcpserver import MCPServer

import toolgate

pytestmark = [
    pytest.mark.usefixtures("installed"),
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),  # of what only the older protocol has
]
EACH = pytest.mark.parametrize("flavour", FLAVOURS)

SCOPES = ("all",)
RULES: dict[str, Any] = {
    "tools": [
        toolgate.ToolRule("test_*", scopes=SCOPES),
        toolgate.ToolRule("limited", scopes=SCOPES, limit=["1/hour"]),
        toolgate.ToolRule("admin", scopes=["admin", "root"]),
    ],
    "resources": [toolgate.ResourceRule("*", scopes=SCOPES)],
    "prompts": [toolgate.PromptRule("*", scopes=SCOPES)],
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
def installed() -> None:
    """A fixture of its own, so that what failed once is not tried again."""
    install()


@pytest.fixture
def it(guarded: Callable[..., Guarded]) -> Iterator[Guarded]:
    """A protected server that is served."""
    with listening() as listener:
        it = guarded(resource=url_of(listener), **RULES)
        it.now = time.time()
        with served(it.gate.protect(server()), listener):
            yield it


def server() -> MCPServer[Any]:
    """The conformance suite's, with two tools more."""
    server = everything()
    server.tool("limited")(lambda: "once")
    server.tool("admin")(lambda: "done")
    return server


@EACH
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
    assert worked(answers) >= (
        {"listen", "asked by a result"} if flavour == "v2-newer" else {"sampling", "elicitation"}
    )
    assert {"progress", "read", "prompt"} < worked(answers)


def worked(answers: dict[str, Any]) -> set[str]:
    """What the bare server could do: equal failures prove little."""
    return {what for what, (bare, _) in answers.items() if "error" not in bare}


@EACH
def test_what_it_hears_it_hears_through_the_gate(it: Guarded, flavour: str) -> None:
    """The same as bare, and not nothing."""
    with connected(it, flavour) as client:
        assert client.gets("call", tool="test_tool_with_progress")["progress"] == [0, 50, 100]
        if flavour == "v2-newer":
            client.gets("listen", filter={"toolsListChanged": True})
            assert client.does("call", tool="test_trigger_tool_change", linger=300)["heard"] == ["tools/list_changed"]
            assert client.does("call", tool="test_input_required_result_elicitation")["asked"] == ["elicitation/create"]
        else:
            client.gets("log", level="debug")
            assert client.does("call", tool="test_tool_with_logging")["heard"] == ["message"] * 3
            assert client.does("call", tool="test_sampling", args={"prompt": "x"})["asked"] == [
                "sampling/createMessage"
            ]
            assert client.does("call", tool="test_elicitation", args={"message": "x"})["asked"] == [
                "elicitation/create"
            ]


@EACH
def test_a_call_that_was_given_up_is_recorded_as_cancelled(it: Guarded, flavour: str) -> None:
    with connected(it, flavour) as client:
        assert "no longer wanted" in client.fails("call", tool="test_tool_with_progress", abort=True)["message"]
        deadline = time.monotonic() + 5
        while not (records := calls(it)) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [record["result"] for record in records] == ["cancelled"]


@EACH
def test_over_a_limit_the_agent_reads_how_long_to_wait(it: Guarded, flavour: str) -> None:
    """No client waits by itself or shows `Retry-After`: the words of the JSON-RPC error are all the agent has."""
    with connected(it, flavour) as client:
        client.gets("call", tool="limited")
        error = client.fails("call", tool="limited")
    assert "over 1/hour for limited (client): retry in 3600 s" in error["message"]
    assert '"retryAfterMs":3600000' in error["message"]
    assert (error["code"] if flavour == "v1" else error["data"]["status"]) == 429


@EACH
def test_without_a_scope_the_agent_reads_which(it: Guarded, flavour: str) -> None:
    with connected(it, flavour) as client:
        error = client.fails("call", tool="admin")
    if flavour == "v1":
        assert "the token lacks a scope this call needs: admin root" in error["message"]
    else:
        assert (error["kind"], error["message"]) == (
            "InsufficientScopeError",
            'Insufficient scope: required "admin root"',
        )


@EACH
def test_where_no_rule_allows_it_the_agent_reads_so(it: Guarded, flavour: str) -> None:
    with connected(it, flavour) as client:
        error = client.fails("call", tool="unruled")
    assert "no rule allows this call" in error["message"]
    assert '"retryable":false' in error["message"]


@EACH
def test_a_refusal_leaves_the_session_as_it_was(it: Guarded, flavour: str) -> None:
    with connected(it, flavour) as client:
        for tool in ("admin", "unruled", "admin"):
            client.fails("call", tool=tool)
        assert client.gets("call", tool="test_simple_text")["result"]["content"][0]["text"]


@EACH
def test_with_a_bad_token_and_no_login_the_client_says_so(it: Guarded, flavour: str) -> None:
    with typescript(flavour, it.gate.resource, "a.bad.token") as client:
        error = client.fails("connect")
    told = json.dumps(error)
    assert "401" in told
    assert "the token is not valid" in told


@EACH
def test_while_the_issuer_is_away_the_agent_is_told_to_wait(guarded: Callable[..., Guarded], flavour: str) -> None:
    with listening() as nobody, listening() as listener:
        issuer = toolgate.Issuer("https://as.example.com", ["ES256"], jwks_url=url_of(nobody))
        it = guarded(resource=url_of(listener), issuers=[issuer], **RULES)
        it.now = time.time()
        with (
            served(it.gate.protect(server()), listener),
            typescript(flavour, it.gate.resource, it.token(*SCOPES)) as client,
        ):
            told = json.dumps(client.fails("connect"))
    assert "503" in told
    assert "the token cannot be checked now" in told


@contextmanager
def connected(it: Guarded, flavour: str) -> Iterator[TypeScript]:
    """The client with a good token, past its first messages."""
    with typescript(flavour, it.gate.resource, it.token(*SCOPES)) as client:
        client.gets("connect")
        yield client


def calls(it: Guarded) -> list[dict[str, Any]]:
    """The records of tool calls."""
    return [record for record in it.records() if record["method"] == "tools/call"]
