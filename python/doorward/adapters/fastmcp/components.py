"""The gate in fastmcp's own chain: what it runs for a message, and what one component calls of another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from fastmcp import FastMCP
from fastmcp.exceptions import AuthorizationError, FastMCPError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from mcp.shared.exceptions import MCPError

from doorward.adapters.fastmcp.mounts import Mounts, is_part_of_another, parts_of_a_list
from doorward.adapters.lists import shown
from doorward.adapters.nested import Component, Nesting
from doorward.errors import Refused, refusal
from doorward.gate import Gate
from doorward.rendering import error_of

__all__ = ["ComponentMiddleware"]

T = TypeVar("T")


class ComponentMiddleware(Middleware):
    """The gate in fastmcp's own chain: of the protected server, and of each that is mounted in it."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._nesting = Nesting(gate, _error, (FastMCPError,), _is_crash)
        self.mounts: Mounts | None = None
        """Of the protected server; None until it is known which one that is."""

    async def on_message(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """Refuse what no call covers: a server called from outside of any message, and a list that is made for a call
        which has ended. What runs a component is refused, and recorded, where it would run."""
        decision = self._nesting.decision()
        if decision.has_ended and context.method not in _METHODS.values():
            raise _error(refusal("call_ended"), decision.request_id)
        self.guard(_server(context))
        if self.mounts is not None:
            self.mounts.keep_up()
        return await call_next(context)

    async def on_call_tool(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """A tool runs under the decision that was made for it."""
        asked = context.message
        return await self._run(context, "tools/call", asked.name, asked.arguments, lambda: call_next(context))

    async def on_read_resource(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """A resource is read under the decision that was made for it."""
        return await self._run(context, "resources/read", str(context.message.uri), None, lambda: call_next(context))

    async def on_get_prompt(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """A prompt is made under the decision that was made for it."""
        asked = context.message
        return await self._run(context, "prompts/get", asked.name, asked.arguments, lambda: call_next(context))

    async def on_list_tools(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Sequence[Any]:
        """Also a list that a tool makes shows what its caller may call."""
        return await self._list(context, call_next, "tool", lambda tool: str(tool.name))

    async def on_list_resources(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Sequence[Any]:
        """As for tools."""
        return await self._list(context, call_next, "resource", lambda resource: str(resource.uri))

    async def on_list_resource_templates(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]
    ) -> Sequence[Any]:
        """As for tools."""
        return await self._list(context, call_next, "template", lambda template: str(template.uri_template))

    async def on_list_prompts(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Sequence[Any]:
        """As for tools."""
        return await self._list(context, call_next, "prompt", lambda prompt: str(prompt.name))

    def guard(self, server: FastMCP[Any]) -> None:
        """Look at what the server runs once more behind all its middleware, also such as is added later: what that has
        made of a call is another one."""
        if _GUARDED not in vars(server):
            setattr(server, _GUARDED, True)
            for attribute, method in _METHODS.items():
                setattr(server, attribute, _Innermost(self, server, method, getattr(server, attribute)))

    async def run_last(
        self, server: FastMCP[Any], method: str, name: str, arguments: Any, run: Callable[[], Awaitable[T]]
    ) -> T:
        """Behind all middleware: a component runs as it was let in, once."""
        if self.mounts is not None:
            self.mounts.keep_up()
        component = Component(server, method, name)
        return await self._nesting.run(component, arguments, run, names=self.mounts)

    async def _run(
        self,
        context: MiddlewareContext[Any],
        method: str,
        name: str,
        arguments: dict[str, Any] | None,
        run: Callable[[], Awaitable[T]],
    ) -> T:
        component = Component(_server(context), method, name)
        return await self._nesting.run(component, arguments, run, names=self.mounts, is_last=False)

    async def _list(
        self,
        context: MiddlewareContext[Any],
        call_next: CallNext[Any, Any],
        target: str,
        name_of: Callable[[Any], str],
    ) -> Sequence[Any]:
        """A list, filtered where it was asked for: what a server takes from those mounted in it is only a part."""
        is_part = is_part_of_another()
        with parts_of_a_list():
            items: Sequence[Any] = await call_next(context)
        return items if is_part else await self._shown(_server(context), target, items, name_of)

    async def _shown(
        self, server: FastMCP[Any], target: str, items: Sequence[T], name_of: Callable[[T], str]
    ) -> Sequence[T]:
        decision = self._nesting.decision()
        if self.mounts is None or self.mounts.is_root(server) or not self.gate.configuration.filter_lists:
            return shown(self.gate, decision, target, items, name_of)
        # The rules speak of names as the protected server shows them.
        public = await self.mounts.public_names(server, target)
        shown_here = [item for item in items if name_of(item) in public]
        return shown(self.gate, decision, target, shown_here, lambda item: public[name_of(item)])


class _Innermost:
    """One of the server's methods, with which it runs what has come through its middleware."""

    def __init__(self, gate: ComponentMiddleware, server: FastMCP[Any], method: str, run: Any) -> None:
        self._gate = gate
        self._server = server
        self._method = method
        self._run = run

    def __call__(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """On its way to the middleware, or from there."""
        if kwargs.get("run_middleware", True):
            asked: Awaitable[Any] = self._run(*args, **kwargs)
            return asked
        name, arguments = _asked(*args, **kwargs)
        return self._gate.run_last(self._server, self._method, name, arguments, partial(self._run, *args, **kwargs))


_GUARDED: Final = "_doorward_guarded"
"""Says of a server that its methods are; others may have put themselves around them since."""

_METHODS: Final = {"call_tool": "tools/call", "read_resource": "resources/read", "render_prompt": "prompts/get"}


def _asked(
    name: Any = None, arguments: dict[str, Any] | None = None, *, uri: Any = None, **_: Any
) -> tuple[str, dict[str, Any] | None]:
    return str(name if uri is None else uri), arguments


def _server(context: MiddlewareContext[Any]) -> FastMCP[Any]:
    if context.fastmcp_context is None:
        raise _error(refusal("no_decision"), "")
    return context.fastmcp_context.fastmcp


def _is_crash(error: Exception) -> bool:
    """Whether fastmcp raised it for an exception that the component did not mean to raise. fastmcp has no type for
    that: it is raised with a cause, by the module of the server instead of by the component."""
    if error.__cause__ is None or isinstance(error.__cause__, FastMCPError | MCPError):
        return False
    raised = error.__traceback__
    while raised is not None and raised.tb_next is not None:
        raised = raised.tb_next
    return raised is not None and raised.tb_frame.f_globals.get("__name__") == FastMCP.__module__


def _error(refused: Refused, request_id: str) -> AuthorizationError:
    """In fastmcp's own words: whoever called it may catch it, and otherwise the caller's answer says it."""
    return AuthorizationError(error_of(refused, request_id=request_id)["message"])
