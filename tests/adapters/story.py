"""Everything that a client of the official Python SDK can do with one server, and what it notices: told of a server
with and without a gate, the two stories must be one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import httpx2
import mcp_types as types
from conformance.everything import everything
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer

__all__ = ["Storyteller", "eventful"]

_PATIENCE: Final = 10.0
"""Seconds, of which a tenth is usual."""

_RUNS: Final = 2.0
"""Seconds that the tool takes which nobody waits for."""


def eventful(happened: list[str]) -> MCPServer[Any]:
    """The conformance suite's server, and a tool that waits until it is cancelled."""
    server = everything()

    @server.tool()
    async def test_waiting(ctx: Context[Any, Any]) -> str:
        await ctx.report_progress(1)
        happened.append("waiting")
        try:
            await anyio.sleep(_RUNS)
        except BaseException:
            happened.append("cancelled")
            raise
        return "nobody waited for this"

    return server


class Storyteller:
    """One client, and what it hears."""

    def __init__(self, url: str, mode: str, *, token: str | None, happened: list[str]) -> None:
        self._url = url
        self._mode = mode
        self._token = token
        self._happened = happened
        self._heard: list[Any] = []

    async def tell(self) -> dict[str, Any]:
        """What was noticed, by what was done."""
        noticed: dict[str, Any] = {}
        with anyio.fail_after(6 * _PATIENCE):
            async with self._client() as client:
                for name, doing in self._doings(client).items():
                    self._heard.clear()
                    noticed[name] = (await _outcome(doing), list(self._heard))
                noticed["given up"] = await self._give_up(client)
                noticed["subscribed"] = await self._subscribe(client)
                # The SDK's client breaks when an answer comes while it closes: that of the call that was given up may.
                await anyio.sleep(0.5 if "cancelled" in self._happened else _RUNS)
        return noticed

    def _doings(self, client: Client) -> dict[str, Awaitable[Any]]:
        call = client.call_tool
        return {
            "tools": client.list_tools(),
            "call": call("test_simple_text", {}),
            "failing call": call("test_error_handling", {}),
            "unknown tool": call("test_nothing", {}),
            "wrong arguments": call("test_sampling", {"prompt": []}),
            "progress": call("test_tool_with_progress", {}, progress_callback=self._progressed),
            "log": call("test_tool_with_logging", {}),
            "sampling": call("test_sampling", {"prompt": "this"}),
            "elicitation": call("test_elicitation", {"message": "who?"}),
            "asked by a result": call("test_input_required_result_multi_round", {}),
            "stream taken up again": call("test_reconnection", {}),
            "resource": client.read_resource("test://static-text"),
            "templated": client.read_resource("test://template/7/data"),
            "no resource": client.read_resource("test://nothing"),
            "prompt": client.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"}),
            "completion": client.complete(
                types.PromptReference(type="ref/prompt", name="test_simple_prompt"), {"name": "a", "value": "b"}
            ),
        }

    async def _give_up(self, client: Client) -> list[str]:
        """Go away while a tool runs; what the server saw of it."""
        async with anyio.create_task_group() as group:
            group.start_soon(_outcome, client.call_tool("test_waiting", {}))
            with anyio.move_on_after(_PATIENCE):
                while "waiting" not in self._happened:
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        with anyio.move_on_after(0.8 * _RUNS):
            while "cancelled" not in self._happened:
                await anyio.sleep(0.01)
        return list(self._happened)

    async def _subscribe(self, client: Client) -> Any:
        """Be told of a change: by a stream on the newer protocol, by the session on the older."""
        if client.protocol_version < "2026-07-28":
            return await _outcome(client.subscribe_resource("test://watched-resource"))
        async with client.listen(tools_list_changed=True, resource_subscriptions=["test://static-text"]) as changes:
            await client.call_tool("test_trigger_tool_change", {})
            with anyio.fail_after(_PATIENCE):
                async for change in changes:
                    return type(change).__name__
        return None

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=_PATIENCE) as http,
            Client(
                streamable_http_client(self._url, http_client=http),
                mode=self._mode,
                sampling_callback=self._sampled,
                elicitation_callback=self._elicited,
                logging_callback=self._logged,
                log_level="debug",
            ) as client,
        ):
            yield client

    async def _progressed(self, progress: float, total: float | None, message: str | None) -> None:
        self._heard.append((progress, total))

    async def _logged(self, params: types.LoggingMessageNotificationParams) -> None:
        self._heard.append(params.data)

    async def _sampled(self, context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        self._heard.append("sampling")
        content = types.TextContent(type="text", text="an answer")
        return types.CreateMessageResult(role="assistant", model="a model", content=content)

    async def _elicited(self, context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        self._heard.append(params.message)
        return types.ElicitResult(action="accept", content={"response": "yes", "name": "Ada", "color": "red"})


async def _outcome(doing: Awaitable[Any]) -> Any:
    """The result as JSON, or the error as the client's caller sees it."""
    try:
        with anyio.fail_after(_PATIENCE):
            return (await doing).model_dump(mode="json", exclude_none=True)
    except MCPError as error:
        return error.error.model_dump(mode="json")
    except TimeoutError:
        return "no answer"
