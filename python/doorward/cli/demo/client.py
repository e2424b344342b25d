"""One call by the official MCP client, and what its caller saw of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

__all__ = ["Seen", "call"]


@dataclass(frozen=True)
class Seen:
    """What came back."""

    status: int
    reason: str
    """``ok``, ``tool_error``, or the ``reason`` of the JSON-RPC error."""
    words: str
    retry_after: int | None = None
    """Seconds, as the header says."""
    retry_after_ms: int | None = None
    """Milliseconds, as the error's data says."""


async def call(url: str, token: str | None, tool: str, arguments: dict[str, Any], *, mode: str) -> Seen:
    """Call a tool. ``mode`` is the client's: a protocol version, or ``legacy`` for the older era."""
    responses: list[httpx2.Response] = []

    async def remember(response: httpx2.Response) -> None:
        responses.append(response)

    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, event_hooks={"response": [remember]}) as http:
        try:
            async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
                result = await client.call_tool(tool, arguments)
                status = next(
                    response.status_code for response in reversed(responses) if response.request.method == "POST"
                )
                return Seen(status, "tool_error" if result.is_error else "ok", _text(result))
        except Exception as error:  # the client's task groups wrap what it raises
            refused = next((response for response in reversed(responses) if response.status_code >= 400), None)
            if refused is None:
                raise
            return _refused(_innermost(error), refused)


def _refused(error: BaseException, response: httpx2.Response) -> Seen:
    retry_after = response.headers.get("retry-after")
    data = error.error.data if isinstance(error, MCPError) and isinstance(error.error.data, dict) else {}
    return Seen(
        response.status_code,
        data.get("reason") or "unknown",
        str(error),
        None if retry_after is None else int(retry_after),
        data.get("retryAfterMs"),
    )


def _text(result: Any) -> str:
    return " ".join(" ".join(part.text.split()) for part in result.content if part.type == "text")


def _innermost(error: BaseException) -> BaseException:
    while nested := getattr(error, "exceptions", ()):
        error = nested[0]
    return error
