"""A call acts for its caller while it runs, and no longer: what a finished call has left behind is refused."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import mcp_types as types
import pytest
from adapters.changing import of_the_sdk, twice
from adapters.desk import LEGACY, MODERN, Desk, hang_up_on, modern, modern_headers, open_session
from adapters.serving import listening, served, url_of
from guarded import Guarded, message
from mcp import Client
from mcp.server import Server
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import MCPServer

import doorward
from doorward.adapters.wire import DECISION

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]
ENDED = "has ended: a task that outlives its call must be started outside of calls"


class Workshop:
    """Tools of one server, which leave things behind that call ``delete_user`` through the server."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.outcomes: list[tuple[str | None, str]] = []
        """Of each call that was made later: whose `doorward.current` was then, and what became of the call."""
        self.named: list[Any] = []
        """Whom the SDK and fastmcp named as the caller then."""
        self.go, self.is_done, self.is_working = threading.Event(), threading.Event(), threading.Event()
        self.call: Callable[[str, dict[str, Any]], Awaitable[Any]]
        self._queue: asyncio.Queue[Any] | None = None
        self._tasks: set[Any] = set()
        self._executor = ThreadPoolExecutor(1)

    async def delete_user(self, name: str) -> str:
        caller = doorward.current()
        assert caller is not None
        assert caller.principal is not None
        self.ran.append(f"{name} for {caller.principal.client_id}")
        return "deleted"

    async def submit(self, name: str) -> str:
        """One worker serves every caller; the first call starts it."""
        if self._queue is None:
            self._queue = asyncio.Queue()
            self._keep(asyncio.create_task(self._work(self._queue)))
        done = asyncio.get_running_loop().create_future()
        await self._queue.put((name, done))
        return str(await done)

    async def leave(self, what: str) -> str:
        """Starts something that goes on when this call has ended."""
        loop = asyncio.get_running_loop()
        if what == "a task":
            self._keep(asyncio.create_task(self._later()))
        elif what == "a thread of anyio":
            self._keep(asyncio.create_task(anyio.to_thread.run_sync(self._later_in_a_thread)))
        elif what == "a thread with the context":
            submit = partial(asyncio.run_coroutine_threadsafe, self._later(), loop)
            threading.Thread(target=contextvars.copy_context().run, args=(submit,)).start()
        elif what == "an executor with the context":
            submit = partial(asyncio.run_coroutine_threadsafe, self._later(), loop)
            self._executor.submit(contextvars.copy_context().run, submit)
        elif what == "a generator that is closed later":
            generator = self._acting_at_its_end()
            await anext(generator)
            loop.call_later(0.05, lambda: self._keep(loop.create_task(generator.aclose())))
        elif what == "a callback":
            loop.call_later(0.05, lambda: self._keep(loop.create_task(self._later())))
        elif what == "a nested call":
            self._keep(asyncio.create_task(self._attempt(self.call("work", {}))))
            await anyio.to_thread.run_sync(self.is_working.wait, 30)
        return "left"

    async def work(self) -> str:
        """Runs until it is told to call another tool."""
        self.is_working.set()
        await anyio.to_thread.run_sync(self.go.wait, 30)
        await self.call("delete_user", {"name": "ada"})
        return "worked"

    async def read_slowly(self) -> str:
        self.ran.append("read_slowly")
        return await self.work()

    def _keep(self, task: Any) -> None:
        self._tasks.add(task)

    async def _work(self, queue: asyncio.Queue[Any]) -> None:
        while True:
            name, done = await queue.get()
            try:
                await self.call("delete_user", {"name": name})
                done.set_result("done")
            except Exception as error:
                done.set_result(f"refused: {error}")

    async def _later(self) -> None:
        await anyio.to_thread.run_sync(self.go.wait, 30)
        await self._attempt(self.call("delete_user", {"name": "ada"}))

    async def _acting_at_its_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self._later()

    def _later_in_a_thread(self) -> None:
        self.go.wait(30)
        anyio.from_thread.run(lambda: self._attempt(self.call("delete_user", {"name": "ada"})))

    async def _attempt(self, call: Awaitable[Any]) -> None:
        caller = doorward.current()
        self.named += [named() for named in NAMING]
        try:
            await call
            became = "ran"
        except Exception as error:
            became = str(error)
        self.outcomes.append((None if caller is None else caller.request_id, became))
        self.is_done.set()


NAMING: list[Callable[[], Any]] = [get_access_token]
with suppress(ImportError):
    from fastmcp.server.dependencies import get_access_token as fastmcp_access_token

    NAMING.append(fastmcp_access_token)

TOOLS = ("delete_user", "submit", "leave", "work", "read_slowly")


def of_the_official_sdk(shop: Workshop) -> Any:
    server: MCPServer[Any] = MCPServer("shop", log_level="CRITICAL")
    for name in TOOLS:
        server.tool()(getattr(shop, name))
    shop.call = lambda name, arguments: server.call_tool(name, arguments)  # as it is once the gate stands before it
    return server


def low_level(shop: Workshop) -> Any:
    contexts: list[Any] = []

    async def list_tools(_ctx: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool(name=name, input_schema={"type": "object"}) for name in TOOLS])

    async def call_tool(ctx: Any, params: Any) -> types.CallToolResult:
        contexts.append(ctx)
        text = await getattr(shop, params.name)(**(params.arguments or {}))
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)])

    async def call(name: str, arguments: dict[str, Any]) -> Any:
        entry = server.get_request_handler("tools/call")
        assert entry is not None
        return await entry.handler(contexts[-1], types.CallToolRequestParams(name=name, arguments=arguments))

    server: Server[Any] = Server("low", on_list_tools=list_tools, on_call_tool=call_tool)
    shop.call = call
    return server


def of_fastmcp(shop: Workshop) -> Any:
    from fastmcp import FastMCP

    server: FastMCP[Any] = FastMCP("shop")
    for name in TOOLS:
        server.tool(getattr(shop, name))
    shop.call = lambda name, arguments: server.call_tool(name, arguments)  # as it is once the gate stands before it
    return server


def mounted(shop: Workshop) -> Any:
    """What is left behind calls through the mounted server."""
    from fastmcp import FastMCP

    root: FastMCP[Any] = FastMCP("root")
    root.mount(of_fastmcp(shop))
    return root


SERVERS = {"official SDK": of_the_official_sdk, "low-level": low_level, "fastmcp": of_fastmcp, "mounted": mounted}
KINDS = pytest.mark.parametrize("kind", SERVERS)
ERAS = pytest.mark.parametrize("mode", [MODERN, LEGACY])
RULES = [doorward.ToolRule("delete_*", scopes=["write"]), doorward.ToolRule("*", scopes=["read"])]


@pytest.fixture
def shop() -> Iterator[Workshop]:
    shop = Workshop()
    yield shop
    shop.go.set()
    shop._executor.shutdown()


@contextmanager
def opened(guarded: Make, kind: str, shop: Workshop, **settings: Any) -> Iterator[Desk]:
    """The server behind a gate."""
    if kind in ("fastmcp", "mounted"):
        pytest.importorskip("fastmcp")
    server = SERVERS[kind](shop)
    with listening() as listener:
        it = guarded(**({"resource": url_of(listener), "tools": RULES} | settings))
        it.now = time.time()
        with served(it.gate.protect(server), listener):
            yield Desk(it, server, shop.ran)


def until(holds: Callable[[], bool]) -> None:
    """Wait for the server's thread."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def of_tool(desk: Desk, name: str) -> list[dict[str, Any]]:
    return [record for record in desk.it.records() if record["tool_name"] == name]


# --- what has ended ---------------------------------------------------------------------------------------------------


@ERAS
@KINDS
async def test_a_worker_that_a_call_started_does_not_act_for_it_later(
    guarded: Make, shop: Workshop, kind: str, mode: str
) -> None:
    with opened(guarded, kind, shop) as desk:
        async with desk.client(mode, "read", "write", client_id="first") as client:
            assert (await client.call_tool("submit", {"name": "ada"})).content[0].text == "done"
        async with desk.client(mode, "read", client_id="second") as client:
            told = (await client.call_tool("submit", {"name": "bob"})).content[0].text
        [submitted, _] = of_tool(desk, "submit")
        [ran, refused] = of_tool(desk, "delete_user")
    assert ENDED in told
    assert shop.ran == ["ada for first"]
    assert (ran["result"], refused["result"], refused["reason"]) == ("success", "denied_policy", "call_ended")
    assert (refused["client_id"], refused["parent_id"]) == ("first", submitted["request_id"])


@KINDS
@pytest.mark.parametrize(
    "what",
    [
        *("a task", "a thread of anyio", "a thread with the context", "an executor with the context"),
        *("a generator that is closed later", "a callback"),
    ],
)
async def test_what_a_call_leaves_behind_calls_nothing_in_its_name(
    guarded: Make, shop: Workshop, kind: str, what: str
) -> None:
    with opened(guarded, kind, shop) as desk:
        async with desk.client(MODERN, "read", "write") as client:
            assert (await client.call_tool("leave", {"what": what})).content[0].text == "left"
            shop.go.set()
            assert await anyio.to_thread.run_sync(shop.is_done.wait, 30)
        [record] = of_tool(desk, "delete_user")
    [(current, became)] = shop.outcomes
    assert ENDED in became
    assert current is None, "a call that has ended must not be named as the current one"
    assert set(shop.named) == {None}, "nor its caller, to a tool that decides by who calls"
    assert (record["reason"], shop.ran) == ("call_ended", [])


async def test_over_stdio_as_well(guarded: Make, shop: Workshop, tmp_path: Path) -> None:
    it = guarded(tools=RULES)
    it.now = time.time()
    token = tmp_path / "token"
    token.write_text(it.token("read", "write"))
    token.chmod(0o600)
    server = it.gate.protect_stdio(of_the_official_sdk(shop), token_file=token)
    async with Client(server, mode=MODERN) as client:
        await client.call_tool("leave", {"what": "a task"})
        shop.go.set()
        assert await anyio.to_thread.run_sync(shop.is_done.wait, 30)
    [(current, became)] = shop.outcomes
    assert (current, shop.ran, set(shop.named)) == (None, [], {None})
    assert ENDED in became


async def test_a_list_that_is_made_later_is_refused(guarded: Make, shop: Workshop) -> None:
    with opened(guarded, "fastmcp", shop) as desk:
        server, call = desk.server, shop.call

        async def listing(_name: str, _arguments: dict[str, Any]) -> Any:
            return await server.list_tools()

        shop.call = listing
        async with desk.client(MODERN, "read", "write") as client:
            await client.call_tool("leave", {"what": "a task"})
            shop.go.set()
            assert await anyio.to_thread.run_sync(shop.is_done.wait, 30)
        shop.call = call
    [(_, became)] = shop.outcomes
    assert ENDED in became


def test_a_message_that_a_middleware_sends_on_later_is_refused(guarded: Make, shop: Workshop) -> None:
    """It stands before the gate's, and keeps what it needs to send the message again."""
    kept: list[Any] = []

    async def keeping(ctx: Any, call_next: Any) -> Any:
        if ctx.method == "tools/call":
            kept.append((asyncio.get_running_loop(), call_next, ctx))
        return await call_next(ctx)

    with opened(guarded, "official SDK", shop) as desk:
        desk.server._lowlevel_server.middleware.insert(0, keeping)
        delete = modern("delete_user", name="ada")
        assert desk.post(delete, "write", headers=modern_headers("delete_user")).status_code == 200
        [(loop, call_next, ctx)] = kept
        until(lambda: ctx.request.scope[DECISION].exchange_is_over)
        again = asyncio.run_coroutine_threadsafe(call_next(ctx), loop)
        with pytest.raises(Exception, match=ENDED):
            again.result(10)
        assert [record["reason"] for record in of_tool(desk, "delete_user")] == [None, "call_ended"]
    assert len(shop.ran) == 1


# --- what has not -----------------------------------------------------------------------------------------------------


@KINDS
def test_a_call_whose_client_has_gone_runs_on(guarded: Make, shop: Workshop, kind: str) -> None:
    with opened(guarded, kind, shop, tools=[doorward.ToolRule("*", scopes=["read"])]) as desk:
        hang_up_on(desk, message("read_slowly"), open_session(desk))
        shop.go.set()
        until(lambda: bool(of_tool(desk, "read_slowly")))
        [slow], [deleted] = of_tool(desk, "read_slowly"), of_tool(desk, "delete_user")
    assert (slow["result"], slow["disconnected"]) == ("success", True)
    assert (deleted["result"], deleted["parent_id"]) == ("success", slow["request_id"])


@KINDS
async def test_a_nested_call_that_began_before_runs_to_its_end(guarded: Make, shop: Workshop, kind: str) -> None:
    """It has a decision and a record of its own, and keeps the place in flight."""
    with opened(guarded, kind, shop, limits=doorward.Limits(concurrency=1)) as desk:
        async with desk.client(LEGACY, "read", "write") as client:
            assert (await client.call_tool("leave", {"what": "a nested call"})).content[0].text == "left"
            with pytest.raises(Exception, match="in flight"):
                await client.call_tool("leave", {"what": "nothing"})
            shop.go.set()
            assert await anyio.to_thread.run_sync(shop.is_done.wait, 30)
            assert (await client.call_tool("leave", {"what": "nothing"})).content[0].text == "left"
        [work], [deleted] = of_tool(desk, "work"), of_tool(desk, "delete_user")
    assert [became for _, became in shop.outcomes] == ["ran"]
    assert (work["result"], deleted["result"]) == ("success", "success")
    assert (work["parent_id"], deleted["parent_id"]) == (of_tool(desk, "leave")[0]["request_id"], work["request_id"])


@KINDS
def test_a_middleware_that_repeats_a_message_makes_another_call_of_it(guarded: Make, shop: Workshop, kind: str) -> None:
    """Its HTTP request is not over: it stands before the gate's middleware, and is none of the calls' own."""
    with opened(guarded, kind, shop) as desk:
        server = getattr(desk.server, "_lowlevel_server", getattr(desk.server, "_mcp_server", desk.server))
        server.middleware.insert(0, of_the_sdk(twice))
        answer = desk.post(modern("delete_user", name="ada"), "write", headers=modern_headers("delete_user"))
        assert answer.status_code == 200
        first, second = of_tool(desk, "delete_user")
    assert (first["result"], second["result"], second["parent_id"]) == ("success", "success", first["request_id"])
    assert len(shop.ran) == 2
