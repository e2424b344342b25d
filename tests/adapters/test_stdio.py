"""Without HTTP: the caller's token comes from a file or the environment, and everything else is as it is over HTTP."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from adapters.desk import LEGACY, MODERN, RULES, modern, text_of, tools
from guarded import Guarded
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.subscriptions import SubscriptionLost
from mcp.server import Server
from mcp.server.mcpserver import MCPServer

import doorward
from doorward.adapters import streams
from doorward.adapters.local import TOKEN_VARIABLE
from doorward.audit.sinks import files

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])
SERVERS = pytest.mark.parametrize("kind", ["mcp", "fastmcp"])
Make = Callable[..., Guarded]


def server_of(kind: str, ran: list[str]) -> Any:
    """The server of `desk`, of either kind."""
    if kind == "mcp":
        return tools(ran)
    pytest.importorskip("fastmcp")
    from adapters.fastmcp_desk import fastmcp_tools

    return fastmcp_tools(ran)


def below(server: Any) -> Any:
    """What the official client connects to."""
    return getattr(server, "_mcp_server", server)


def written(path: Path, token: str, mode: int = 0o600) -> Path:
    """A file with a token."""
    path.write_text(f"{token}\n")
    path.chmod(mode)
    return path


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says, without the slugs of alarms."""
    told = [record.getMessage() for record in caplog.records if record.name == "doorward"]
    return [words for words in told if " " in words]


@ERAS
@SERVERS
async def test_the_same_rules_limits_and_records(guarded: Make, tmp_path: Path, mode: str, kind: str) -> None:
    ran: list[str] = []
    it = guarded(tools=RULES)
    it.now = time.time()
    server = it.gate.protect_stdio(server_of(kind, ran), token_file=written(tmp_path / "token", it.token("read")))
    async with Client(below(server), mode=mode) as client:
        assert "delete_user" not in [tool.name for tool in (await client.list_tools()).tools]
        assert not (await client.call_tool("limited", {})).is_error
        with pytest.raises(MCPError, match="over 1/hour") as limited:
            await client.call_tool("limited", {})
        with pytest.raises(MCPError, match="lacks a scope") as forbidden:
            await client.call_tool("delete_user", {"name": "ada"})
    assert (limited.value.error.code, forbidden.value.error.code) == (429, 403)
    assert forbidden.value.error.data["requiredScopes"] == ["write"]
    assert ran == []
    calls = [record for record in it.records() if record["method"] == "tools/call"]
    assert [record["result"] for record in calls] == ["success", "denied_rate", "denied_scope"]
    assert {(record["transport"], record["subject"], record["verified"]) for record in it.records()} == {
        ("stdio", "user-1", True)
    }


@SERVERS
async def test_a_durable_answer_waits_for_its_record(
    guarded: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    synced = 0
    sync = files._sync

    def slowly(descriptor: int) -> None:
        nonlocal synced
        time.sleep(0.1)
        sync(descriptor)
        synced += 1

    monkeypatch.setattr(files, "_sync", slowly)
    it = guarded(tools=RULES, audit=doorward.Audit(path=str(tmp_path / "durable.jsonl"), durability="durable"))
    it.now = time.time()
    server = it.gate.protect_stdio(server_of(kind, []), token_file=written(tmp_path / "token", it.token("read")))
    async with Client(below(server), mode=MODERN) as client:
        assert not (await client.call_tool("limited", {})).is_error
        by_then = synced
        await anyio.sleep(0.5)
    assert synced == by_then >= 2, "its intent and its record, and nothing is left to be put on disk"


async def test_a_handler_sees_the_local_caller(guarded: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    it = guarded(tools=[doorward.ToolRule("who", scopes=[])])
    it.now = time.time()
    monkeypatch.setenv(TOKEN_VARIABLE, it.token("read"))
    server = tools([])

    @server.tool()
    async def who() -> str:
        from mcp.server.auth.middleware.auth_context import get_access_token

        token, decision = get_access_token(), doorward.current()
        assert token is not None
        assert decision is not None
        return f"{token.client_id} {token.token} {decision.transport}"

    async with Client(it.gate.protect_stdio(server)) as client:
        assert text_of(await client.call_tool("who", {})) == "agent-1 withheld stdio"


async def test_a_token_that_expires_or_is_revoked_ends_it_and_a_new_one_goes_on(guarded: Make, tmp_path: Path) -> None:
    it = guarded(tools=[doorward.ToolRule("*", scopes=["read"])])
    it.now = time.time()
    path = written(tmp_path / "token", it.token("read"))
    async with Client(it.gate.protect_stdio(tools([]), token_file=path)) as client:
        assert not (await client.call_tool("limited", {})).is_error
        it.now += 7200
        with pytest.raises(MCPError, match="the token has expired") as expired:
            await client.call_tool("limited", {})
        written(path, it.token("read", subject="user-2"))
        assert not (await client.call_tool("limited", {})).is_error
        it.gate.revoke(subject="user-2", issuer="https://as.example.com")
        with pytest.raises(MCPError, match="the token was revoked"):
            await client.call_tool("limited", {})
        path.unlink()
        with pytest.raises(MCPError, match="no credentials"):
            await client.call_tool("limited", {})
    assert expired.value.error.code == 401
    results = [record["result"] for record in it.records() if record["method"] == "tools/call"]
    assert results == ["success", "denied_auth", "success", "denied_auth", "denied_auth"]
    assert it.records()[-1]["reason"] == "missing_credentials"


async def test_a_stream_ends_with_the_token_that_opened_it(
    guarded: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_LOOK_SECONDS", 0.02)
    it = guarded(tools=[doorward.ToolRule("*", scopes=["read"])])
    it.now = time.time()
    path = written(tmp_path / "token", it.token("read"))

    async def listen(client: Client) -> None:
        async with client.listen(tools_list_changed=True) as changes:
            it.gate.revoke(subject="user-1", issuer="https://as.example.com")
            async for _ in changes:
                pass

    async with Client(it.gate.protect_stdio(tools([]), token_file=path), mode=MODERN) as client:
        with anyio.fail_after(10), pytest.raises(SubscriptionLost):
            await listen(client)


REFUSED: dict[str, tuple[Callable[[Guarded], str], str]] = {
    "expired": (lambda it: it.token("read", now=it.now - 7200), "the token has expired (token_expired: "),
    "of another issuer": (
        lambda it: it.token("read", iss="https://else.example.com"),
        "the token is not valid (invalid_issuer: ",
    ),
    "no token": (lambda it: "hunter2", "the token is not valid (malformed_token: "),
    "with its scheme": (lambda it: f"Bearer {it.token('read')}", "the token is not valid (malformed_token: "),
}


@ERAS
@pytest.mark.parametrize(("make", "why"), REFUSED.values(), ids=REFUSED)
async def test_a_token_that_is_not_good_is_told_in_the_log_once(
    guarded: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str, make: Any, why: str
) -> None:
    """Clients show nothing of it: that of the official SDK says that its handshake was not accepted."""
    it = guarded(tools=RULES)
    it.now = time.time()
    token = make(it)
    path = written(tmp_path / "token", token)
    server = it.gate.protect_stdio(tools([]), token_file=path)
    for _ in range(3):
        with pytest.raises(Exception, match=r"token|handshake|unhandled errors"):  # the client may wrap it in a group
            async with Client(server, mode=mode) as client:
                await client.call_tool("limited", {})
    told = warnings_in(caplog)
    assert len(told) == 1
    assert told[0].startswith(f"the local token is refused: {why}")
    assert token not in caplog.text


async def test_each_cause_is_told_and_each_time_it_comes_back(
    guarded: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    it = guarded(tools=[doorward.ToolRule("*", scopes=["write"])])
    it.now = time.time()
    path = tmp_path / "token"
    good, expired = it.token(), it.token(now=it.now - 7200)
    server = it.gate.protect_stdio(tools([]), token_file=written(path, good))

    async def call(token: str) -> None:
        written(path, token)
        with suppress(MCPError):
            await client.call_tool("read_failing", {})

    async with Client(server, mode=MODERN) as client:
        for token in (expired, expired, "hunter2", "hunter2", good, expired, expired):
            await call(token)
    told = [re.findall(r"refused: .* \((\w+): ", words) for words in warnings_in(caplog)]
    assert told == [["token_expired"], ["malformed_token"], ["token_expired"]]


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "others may read it": (
        lambda path: path.chmod(0o644),
        "can be read by others, who could call as you: chmod 600 it",
    ),
    "it is gone": (lambda path: path.unlink(), "No such file or directory"),
    "it is empty": (lambda path: path.write_text(""), "is empty: put the caller's token there"),
}


@pytest.mark.parametrize(("spoil", "why"), BAD_FILES.values(), ids=BAD_FILES)
async def test_a_file_that_goes_bad_is_told_once_and_counted(
    guarded: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Any, why: str
) -> None:
    it = guarded(tools=[doorward.ToolRule("*", scopes=["read"])])
    it.now = time.time()
    token = it.token("read")
    path = written(tmp_path / "token", token)
    async with Client(it.gate.protect_stdio(tools([]), token_file=path), mode=MODERN) as client:
        for number in (1, 2):
            await client.call_tool("read_failing", {})
            spoil(path)
            for _ in range(3):
                with pytest.raises(MCPError, match="no credentials"):
                    await client.call_tool("limited", {})
            assert it.gate.alarms == {"local_token_unreadable": number}
            told = [words for words in warnings_in(caplog) if words.startswith("the local token cannot be read: ")]
            assert len(told) == number
            assert why in told[-1]
            assert str(path) in told[-1]
            written(path, token)
    assert token not in caplog.text


@ERAS
@SERVERS
async def test_a_human_confirms_without_http(guarded: Make, tmp_path: Path, mode: str, kind: str) -> None:
    from adapters.asked import NO, YES, Human, server_of
    from adapters.asked import RULES as ASKING

    if kind == "fastmcp":
        pytest.importorskip("fastmcp")
    ran: list[str] = []
    it = guarded(**ASKING)
    it.now = time.time()
    server = it.gate.protect_stdio(server_of(kind, ran), token_file=written(tmp_path / "token", it.token("write")))
    human = Human(NO, YES, YES)
    async with Client(below(server), mode=mode, elicitation_callback=human) as client:
        with pytest.raises(MCPError, match="did not confirm"):
            await client.call_tool("wipe", {"name": "ada"})
        assert (await client.call_tool("wipe", {"name": "bob"})).content[0].text == "wiped bob"
        assert (await client.read_resource("data://secret")).contents
    async with Client(below(server), mode=mode) as client:
        with pytest.raises(MCPError, match="nobody can be asked"):
            await client.call_tool("wipe", {"name": "eve"})
    assert ran == ["wipe bob", "secret"]
    assert len(human.questions) == 3
    assert {record["transport"] for record in it.records()} == {"stdio"}


@ERAS
async def test_without_http_the_approver_is_asked_as_well(guarded: Make, tmp_path: Path, mode: str) -> None:
    from adapters.asked import RULES as ASKING
    from adapters.asked import asking_server

    ran: list[str] = []
    it = guarded(**ASKING, approver=lambda question: question.arguments["name"] == "ada")
    it.now = time.time()
    server = it.gate.protect_stdio(asking_server(ran), token_file=written(tmp_path / "token", it.token("write")))
    async with Client(server, mode=mode) as client:
        assert (await client.call_tool("wipe", {"name": "ada"})).content[0].text == "wiped ada"
        with pytest.raises(MCPError, match="did not confirm"):
            await client.call_tool("wipe", {"name": "bob"})
    assert ran == ["wipe ada"]


async def test_who_is_local_is_nobody_over_http(guarded: Make, tmp_path: Path) -> None:
    import httpx2
    from adapters.desk import modern, modern_headers
    from adapters.serving import listening, served, url_of

    ran: list[str] = []
    with listening() as listener:
        it = guarded(resource=url_of(listener), tools=RULES)
        it.now = time.time()
        server = it.gate.protect_stdio(tools(ran), token_file=written(tmp_path / "token", it.token("write")))
        with served(server.streamable_http_app(), listener):
            call = modern("delete_user", name="ada")
            answer = httpx2.post(it.gate.resource, content=call, headers=modern_headers("delete_user"))
    assert "without a decision" in answer.text
    assert ran == []


NO_TOKEN = {
    "nothing is set": ({}, None, r"DOORWARD_TOKEN is not set: put the caller's token there"),
    "set to nothing": ({TOKEN_VARIABLE: " "}, None, r"DOORWARD_TOKEN is not set"),
    "an empty file": ({}, ("", 0o600), r"token is empty: put the caller's token there"),
    "others may read it": ({}, ("x", 0o640), r"can be read by others, who could call as you: chmod 600 it"),
    "others may write it": ({}, ("x", 0o622), r"can be written by others"),
    "no text": ({}, ("é", 0o600), r"holds no token"),
}


@pytest.mark.parametrize(("environment", "file", "problem"), NO_TOKEN.values(), ids=NO_TOKEN)
def test_without_a_good_place_for_the_token_it_does_not_start(
    guarded: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    file: tuple[str, int] | None,
    problem: str,
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    path = None if file is None else written(tmp_path / "token", *file)
    with pytest.raises(ValueError, match=problem):
        guarded().gate.protect_stdio(tools([]), token_file=path)


def test_the_token_comes_from_one_place(guarded: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one place"):
        guarded().gate.protect_stdio(tools([]), token_file=tmp_path / "token", token_env="TOKEN")


@pytest.mark.parametrize("kind", [MCPServer, Server], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("how", ["protect", "protect_stdio"])
def test_a_class_is_no_server(guarded: Make, monkeypatch: pytest.MonkeyPatch, how: str, kind: type) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "x")
    with pytest.raises(TypeError, match=rf"^{kind.__name__} is a class: .*, {kind.__name__}\(\.\.\.\)$"):
        getattr(guarded().gate, how)(kind)


def test_what_is_no_server_is_told_apart(guarded: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "x")
    with pytest.raises(TypeError, match="no server of the official SDK or of fastmcp"):
        guarded().gate.protect_stdio(object())


SCRIPT = """
    import sys
    import doorward

    {made}

    @server.tool{call}
    def read_it() -> str:
        return "read"

    @server.tool{call}
    def delete_it() -> str:
        raise SystemExit("this must not run")

    @server.tool{call}
    def wipe_it() -> str:
        return "wiped"

    gate = doorward.Gate.from_file(sys.argv[1])
    gate.protect_stdio(server).run({run})
"""
MADE = {
    "mcp": ("from mcp.server.mcpserver import MCPServer; server = MCPServer('s')", "()", "'stdio'"),
    "fastmcp": ("from fastmcp import FastMCP; server = FastMCP('s')", "", "'stdio', show_banner=False"),
}


def process_of(kind: str, it: Guarded, folder: Path, *, audit: str = "") -> StdioServerParameters:
    """A server of that kind, in a process of its own."""
    if kind == "fastmcp":
        pytest.importorskip("fastmcp")
    it.now = time.time()
    (folder / "keys.json").write_text(json.dumps(it.issuer.jwks()))
    (folder / "doorward.toml").write_text(
        textwrap.dedent(f"""
        resource = "https://mcp.example.com/mcp"
        [[issuer]]
        url = "{it.issuer.url}"
        algorithms = ["ES256"]
        jwks_file = "keys.json"
        [[tool]]
        match = "read_*"
        scopes = ["read"]
        [[tool]]
        match = "delete_*"
        scopes = ["write"]
        [[tool]]
        match = "wipe_*"
        scopes = []
        confirm = true
        """)
        + audit
    )
    made, call, run = MADE[kind]
    script = folder / "server.py"
    script.write_text(textwrap.dedent(SCRIPT.format(made=made, call=call, run=run)))
    return StdioServerParameters(
        command=sys.executable,
        args=[str(script), str(folder / "doorward.toml")],
        env={**os.environ, TOKEN_VARIABLE: it.token("read")},
    )


def read_records(text: str) -> list[dict[str, Any]]:
    """The records among whatever else stands there."""
    return [json.loads(line) for line in text.splitlines() if line.startswith('{"event"')]


@SERVERS
@ERAS
async def test_a_process_of_its_own_that_talks_over_its_pipes(
    guarded: Make, tmp_path: Path, kind: str, mode: str
) -> None:
    from adapters.asked import Human

    it = guarded()
    process = process_of(kind, it, tmp_path, audit="[audit]\npath = 'of-the-process.jsonl'")
    with (tmp_path / "errors").open("w") as errors:
        async with Client(stdio_client(process, errlog=errors), mode=mode, elicitation_callback=Human()) as client:
            assert text_of(await client.call_tool("read_it", {})) == "read"
            assert text_of(await client.call_tool("wipe_it", {})) == "wiped"
            with pytest.raises(MCPError, match="lacks a scope"):
                await client.call_tool("delete_it", {})
    records = [json.loads(line) for line in (tmp_path / "of-the-process.jsonl").read_text().splitlines()]
    calls = [record for record in records if record["tool_name"] and record["event"] == "call"]
    assert {record["transport"] for record in calls} == {"stdio"}
    assert [(record["tool_name"], record["result"]) for record in calls if record["result"] != "asked"] == [
        ("read_it", "success"),
        ("wipe_it", "success"),
        ("delete_it", "denied_scope"),
    ]
    assert [record["tool_name"] for record in records if record["event"] == "confirmed"] == ["wipe_it"]
    assert it.token("read") not in (tmp_path / "errors").read_text()


UNSAID = {
    "nothing said": "",
    "how, but not where": "[audit]\ndurability = 'buffered'",
    "stderr": "[audit]\npath = 'stderr'",
}


@SERVERS
@pytest.mark.parametrize("audit", UNSAID.values(), ids=UNSAID)
def test_its_standard_output_is_for_its_messages_alone(guarded: Make, tmp_path: Path, kind: str, audit: str) -> None:
    given = process_of(kind, guarded(), tmp_path, audit=audit)
    said: list[dict[str, Any]] = []
    with (
        (tmp_path / "errors").open("w") as errors,
        subprocess.Popen(
            [given.command, *given.args],
            env=given.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        for number, body in enumerate((modern("read_it"), modern("delete_it"))):
            process.stdin.write(f"{json.dumps(json.loads(body) | {'id': number})}\n")
            process.stdin.flush()
            said.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        said += map(json.loads, process.stdout)
    assert [(message["jsonrpc"], message["id"]) for message in said] == [("2.0", 0), ("2.0", 1)]
    records = read_records((tmp_path / "errors").read_text())
    calls = [record for record in records if record["event"] == "call"]
    assert records[0]["event"] == "start"
    assert [record["result"] for record in calls if record["tool_name"]] == ["success", "denied_scope"]


@SERVERS
@pytest.mark.parametrize("audit", ["[audit]\npath = 'stdout'", "[[audit.sink]]\npath = 'stdout'"], ids=["path", "sink"])
def test_whoever_sends_records_there_is_told_where_else(guarded: Make, tmp_path: Path, kind: str, audit: str) -> None:
    given = process_of(kind, guarded(), tmp_path, audit=audit)
    done = subprocess.run(
        [given.command, *given.args],
        env=given.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert 'write [audit] path = "stderr", or a file' in done.stderr.splitlines()[-1]


def test_without_its_token_the_process_says_what_to_do(tmp_path: Path) -> None:
    code = "import doorward; from doorward.adapters.local import LocalCredential; LocalCredential()"
    environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "DOORWARD_TOKEN is not set: put the caller's token there, or name a file with token_file=" in done.stderr
