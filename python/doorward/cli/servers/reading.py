"""Asks a server for its lists, with the official client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import anyio
from mcp import Client, MCPError

from doorward.cli.servers.catalogue import Catalogue, Item, Kind

__all__ = ["read"]

_MAX_PAGES: Final = 1000
_MAX_ITEMS: Final = 10_000
"""Of each kind. A server whose lists never end must not fill this process; rules for so many names nobody edits."""
_SECONDS: Final = 60.0
"""For all lists together, and to start the server: they are read once, by somebody who waits."""

_METHOD_NOT_FOUND: Final = -32601


async def read(server: Any) -> Catalogue:
    """What the server lists: ``server`` is whatever the official client connects to. Raises `ValueError`, and what
    the connection raises."""
    try:
        with anyio.fail_after(_SECONDS):
            async with Client(server) as client:
                return await _listed(client)
    except TimeoutError:
        raise ValueError(f"the server did not list what it has within {_SECONDS:.0f} s") from None


async def _listed(client: Client) -> Catalogue:
    items: list[Item] = []
    async for tool in _pages(client.list_tools, "tools"):
        hints = tool.annotations
        items.append(
            Item(
                "tool",
                tool.name,
                read_only=None if hints is None else hints.read_only_hint,
                destructive=None if hints is None else hints.destructive_hint,
            )
        )
    lists: tuple[tuple[Kind, Callable[..., Awaitable[Any]], str, str], ...] = (
        ("resource", client.list_resources, "resources", "uri"),
        ("template", client.list_resource_templates, "resource_templates", "uri_template"),
        ("prompt", client.list_prompts, "prompts", "name"),
    )
    for kind, fetch, member, named_by in lists:
        async for found in _pages(fetch, member):
            items.append(Item(kind, str(getattr(found, named_by))))  # noqa: PERF401 - each page is awaited
    info = client.server_info
    return Catalogue.of("" if info is None else info.name, items)


async def _pages(fetch: Callable[..., Awaitable[Any]], member: str) -> AsyncIterator[Any]:
    """Every item of a list; none where the server has no such list."""
    cursor: str | None = None
    count = 0
    for _ in range(_MAX_PAGES):
        try:
            page = await fetch(cursor=cursor)
        except MCPError as error:
            if error.error.code == _METHOD_NOT_FOUND:
                return
            raise
        for item in getattr(page, member):
            count += 1
            if count > _MAX_ITEMS:
                raise ValueError(f"the server lists more than {_MAX_ITEMS} {member}: write rules with * by hand")
            yield item
        cursor = page.next_cursor
        if cursor is None:
            return
    raise ValueError(f"the server's list of {member} has more than {_MAX_PAGES} pages")
