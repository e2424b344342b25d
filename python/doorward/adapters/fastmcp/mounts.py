"""Servers that are mounted in the protected one: which component there is which one here.

Rules speak of names as the protected server shows them. What a mounted server calls by a name of its own is decided
under the name by which whoever calls from outside would reach the same component; what nobody could reach is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from weakref import ref

from fastmcp import FastMCP
from fastmcp.resources.template import forward_uri
from fastmcp.server.providers.addressing import parse_hashed_backend_name
from fastmcp.server.providers.aggregate import AggregateProvider
from fastmcp.server.providers.base import Provider
from fastmcp.server.providers.fastmcp_provider import (
    FastMCPProvider,
    FastMCPProviderPrompt,
    FastMCPProviderResource,
    FastMCPProviderResourceTemplate,
    FastMCPProviderTool,
)
from fastmcp.server.providers.wrapped_provider import _WrappedProvider
from fastmcp.tools.tool_transform import TransformedTool

from doorward.adapters.nested import Component

__all__ = ["Mounts", "is_part_of_another", "parts_of_a_list", "servers_in"]

Place = tuple[FastMCP[Any], str]
"""A component: its server, and its name or URI there."""

_is_part: Final[ContextVar[bool]] = ContextVar("doorward_part_of_a_list", default=False)


class Mounts:
    """The protected server and those mounted in it."""

    def __init__(self, root: FastMCP[Any]) -> None:
        self._root = ref(root)
        self._welcome: Callable[[FastMCP[Any]], None] = lambda server: None
        self._known: list[ref[FastMCP[Any]]] = []

    def each(self, welcome: Callable[[FastMCP[Any]], None]) -> None:
        """Call ``welcome`` for each server once, also for those mounted later."""
        self._welcome = welcome
        self.keep_up()

    def keep_up(self) -> None:
        """Servers may have been mounted since, or put in the place of others."""
        root = self._root()
        if root is None:
            return
        found = list(servers_in(root))
        known = self._known
        if len(found) == len(known) and all(one() is server for one, server in zip(known, found, strict=True)):
            return
        for server in found:
            if not any(server is one() for one in known):
                self._welcome(server)
        self._known = [ref(server) for server in found]

    def is_root(self, server: FastMCP[Any]) -> bool:
        """Whether it is the protected server itself."""
        return self._root() is server

    async def listed_name(self, component: Component) -> str:
        """Apps may also call a tool by a hash; the rules know the name that the server lists."""
        if component.method == "tools/call" and parse_hashed_backend_name(component.name) is not None:
            tool = await _tool(component.server, component.name)
            if tool is not None:
                return str(tool.name)
        return component.name

    async def leads_to(self, above: Component, component: Component, *, changed: bool) -> bool:
        """Whether the one is the other, mounted in its server, and called as it was: a tool that was made of another
        (`Tool.from_tool`) gives that one what arguments it likes, as its own code."""
        if above.server is component.server or above.method != component.method:
            return False
        if above.method == "tools/call":
            tool = await _tool(above.server, above.name)
            changed = changed and not isinstance(tool, TransformedTool)
            places = [_place_of(tool)]
        elif above.method == "prompts/get":
            places = [_place_of(await above.server.get_prompt(above.name))]
        else:
            template = await above.server.get_resource_template(above.name)
            places = [_place_of(await above.server.get_resource(above.name)), _expanded(template, above.name)]
        to = (component.server, component.name)
        return not changed and any(place is not None and _is_same(place, to) for place in places)

    async def public_name(self, component: Component) -> str | None:
        """The name by which the protected server shows it; None where it does not."""
        name = await self.listed_name(component)
        if self.is_root(component.server):
            return name
        for above in self._servers():
            if any(component.server is mounted for mounted in _mounted_in(above.providers)):
                for shown in await _names_above(above, component.method, (component.server, name)):
                    public = await self.public_name(Component(above, component.method, shown))
                    if public is not None:
                        return public
        return None

    async def public_names(self, server: FastMCP[Any], target: str) -> dict[str, str]:
        """What the protected server calls the components of one that is mounted in it, by the names they have there;
        what it does not show is missing. ``target``: ``tool``, ``resource``, ``template`` or ``prompt``."""
        found: dict[str, str] = {}
        for above in self._servers():
            if any(server is mounted for mounted in _mounted_in(above.providers)):
                public = None if self.is_root(above) else await self.public_names(above, target)
                for shown, place in await _listed(above, target):
                    name = shown if public is None else public.get(shown)
                    if name is not None and place is not None and place[0] is server:
                        found.setdefault(place[1], name)
        return found

    def _servers(self) -> list[FastMCP[Any]]:
        return [server for server in (known() for known in self._known) if server is not None]


@contextmanager
def parts_of_a_list() -> Iterator[None]:
    """While the block runs, what a server lists is a part of what another one lists or looks for, and whole."""
    token = _is_part.set(True)
    try:
        yield
    finally:
        _is_part.reset(token)


def is_part_of_another() -> bool:
    """Whether the list that is made now is."""
    return _is_part.get()


def servers_in(root: FastMCP[Any]) -> Iterator[FastMCP[Any]]:
    """The server and all that are mounted in it, at any depth, each once."""
    seen: set[int] = set()
    pending = [root]
    while pending:
        server = pending.pop()
        if id(server) not in seen:
            seen.add(id(server))
            yield server
            pending += _mounted_in(server.providers)


def _mounted_in(providers: Iterable[Provider]) -> Iterator[FastMCP[Any]]:
    for provider in providers:
        while isinstance(provider, _WrappedProvider):
            provider = provider._inner
        if isinstance(provider, FastMCPProvider):
            yield provider.server
        elif isinstance(provider, AggregateProvider):
            yield from _mounted_in(provider.providers)


async def _tool(server: FastMCP[Any], name: str) -> Any:
    tool = await server.get_tool(name)
    hashed = parse_hashed_backend_name(name) if tool is None else None
    return tool if hashed is None else await server.get_tool_by_hash(*hashed)


def _place_of(component: Any) -> Place | None:
    """Where a mounted component stands; None for any other."""
    while isinstance(component, TransformedTool):
        component = component.parent_tool
    if isinstance(component, FastMCPProviderTool | FastMCPProviderPrompt):
        return component._server, component._original_name or ""
    if isinstance(component, FastMCPProviderResource):
        return component._server, component._original_uri or ""
    if isinstance(component, FastMCPProviderResourceTemplate):
        return component._server, component._original_uri_template or ""
    return None


def _expanded(template: Any, uri: str) -> Place | None:
    place = _place_of(template)
    matched = None if place is None else template.matches(uri)
    return None if place is None or matched is None else (place[0], forward_uri(place[1], matched, uri))


def _is_same(one: Place, another: Place) -> bool:
    return one[0] is another[0] and one[1] == another[1]


async def _listed(server: FastMCP[Any], target: str) -> list[tuple[str, Place | None]]:
    """What a server lists, by name, and where that stands if it is mounted there."""
    components: Sequence[Any]
    with parts_of_a_list():
        if target == "tool":
            components = await server.list_tools(run_middleware=False)
            return [(tool.name, _place_of(tool)) for tool in components]
        if target == "prompt":
            components = await server.list_prompts(run_middleware=False)
            return [(prompt.name, _place_of(prompt)) for prompt in components]
        if target == "template":
            components = await server.list_resource_templates(run_middleware=False)
            return [(template.uri_template, _place_of(template)) for template in components]
        components = await server.list_resources(run_middleware=False)
        return [(str(resource.uri), _place_of(resource)) for resource in components]


async def _names_above(above: FastMCP[Any], method: str, place: Place) -> list[str]:
    """What ``above`` calls the component of a server that is mounted in it."""
    target = {"tools/call": "tool", "prompts/get": "prompt"}.get(method, "resource")
    found = [name for name, at in await _listed(above, target) if at is not None and _is_same(at, place)]
    if target != "resource":
        return found
    server, uri = place
    inner = await server.get_resource_template(uri)
    matched = None if inner is None else inner.matches(uri)
    if inner is None or matched is None:
        return found
    template = (server, inner.uri_template)
    shown = [name for name, at in await _listed(above, "template") if at is not None and _is_same(at, template)]
    return found + [forward_uri(each, matched, uri) for each in shown]
