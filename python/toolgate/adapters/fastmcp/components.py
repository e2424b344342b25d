"""Calls that a component makes of another: fastmcp runs its chain again, and no message is sent.

The first run under a claimed decision is that decision's own call. Every other one is decided anew under the same
principal, and its record names its parent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, TypeVar

from fastmcp import FastMCP
from fastmcp.exceptions import AuthorizationError, FastMCPError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext

from toolgate.adapters.fastmcp.mounts import Mounts
from toolgate.adapters.lists import shown
from toolgate.adapters.messages import run_under
from toolgate.decision import Decision, current_decision
from toolgate.errors import Refused, refusal
from toolgate.gate import Gate
from toolgate.rendering import error_of

__all__ = ["ComponentMiddleware"]

T = TypeVar("T")


class _Run(NamedTuple):
    """A component that runs: under which decision, in which server, by which name there."""

    decision: Decision
    server: FastMCP[Any]
    name: str


_running: Final[ContextVar[_Run | None]] = ContextVar("toolgate_fastmcp_run", default=None)


class ComponentMiddleware(Middleware):
    """The gate in fastmcp's own chain: of the protected server, and of each that is mounted in it."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.mounts: Mounts | None = None
        """Of the protected server; None until it is known which one that is."""

    async def on_message(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """Refuse what met no gate at all: a server called from outside of any message."""
        _decision()
        if self.mounts is not None:
            self.mounts.keep_up()
        return await call_next(context)

    async def on_call_tool(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """A tool runs under the decision that was made for it."""
        params = {"name": context.message.name, "arguments": context.message.arguments or {}}
        return await self._run(context, "tools/call", params["name"], params, lambda: call_next(context))

    async def on_read_resource(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """A resource is read under the decision that was made for it."""
        uri = str(context.message.uri)
        return await self._run(context, "resources/read", uri, {"uri": uri}, lambda: call_next(context))

    async def on_get_prompt(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """A prompt is made under the decision that was made for it."""
        params = {"name": context.message.name, "arguments": context.message.arguments or {}}
        return await self._run(context, "prompts/get", params["name"], params, lambda: call_next(context))

    async def on_list_tools(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Sequence[Any]:
        """Also a list that a tool makes shows what its caller may call."""
        return self._shown(context, "tool", await call_next(context), lambda tool: str(tool.name))

    async def on_list_resources(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Sequence[Any]:
        """As for tools."""
        return self._shown(context, "resource", await call_next(context), lambda resource: str(resource.uri))

    async def on_list_resource_templates(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]
    ) -> Sequence[Any]:
        """As for tools."""
        return self._shown(context, "template", await call_next(context), lambda template: str(template.uri_template))

    async def on_list_prompts(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Sequence[Any]:
        """As for tools."""
        return self._shown(context, "prompt", await call_next(context), lambda prompt: str(prompt.name))

    async def _run(
        self,
        context: MiddlewareContext[Any],
        method: str,
        name: str,
        params: dict[str, Any],
        run: Callable[[], Awaitable[T]],
    ) -> T:
        decision, server, above = _decision(), _server(context), _running.get()
        call = self.gate.call_of_message(method, decision.call.id if decision.call else None, params, under=decision)
        mounts = self.mounts or Mounts(server)
        if above is None or above.decision is not decision:
            alias = await mounts.listed_name(server, method, name)
            if decision.call == call and alias == name:
                return await _entered(_Run(decision, server, name), run)
        elif above.server is not server and await mounts.leads_to(above.server, method, above.name, (server, name)):
            return await _entered(_Run(decision, server, name), run)
        return await self._anew(decision, _Run(decision, server, name), method, params, run)

    async def _anew(
        self, parent: Decision, wanted: _Run, method: str, params: dict[str, Any], run: Callable[[], Awaitable[T]]
    ) -> T:
        mounts = self.mounts or Mounts(wanted.server)
        public = await mounts.public_name(wanted.server, method, wanted.name)
        key = "uri" if method == "resources/read" else "name"
        rpc_id = parent.call.id if parent.call else None
        params = params | {key: wanted.name if public is None else public}
        call = self.gate.call_of_message(method, rpc_id, params, under=parent)
        hidden = refusal("no_rule", "the gated server does not show it") if public is None else None
        decision = await self.gate.judge_message(parent, call, refused=hidden)
        if decision.refusal is not None:
            await decision.kept()
            raise _error(decision.refusal, decision.request_id)
        return await run_under(
            decision,
            lambda: _entered(wanted._replace(decision=decision), run),
            is_error=lambda answer: getattr(answer, "is_error", None) is True,
            tool_errors=(FastMCPError,),
        )

    def _shown(
        self, context: MiddlewareContext[Any], target: str, items: Sequence[T], name_of: Callable[[T], str]
    ) -> Sequence[T]:
        # The rules speak of names as the protected server shows them: what a mounted one lists is filtered there.
        if self.mounts is not None and not self.mounts.is_root(_server(context)):
            return items
        return shown(self.gate, _decision(), target, items, name_of)


async def _entered(what: _Run, run: Callable[[], Awaitable[T]]) -> T:
    token = _running.set(what)
    try:
        return await run()
    finally:
        _running.reset(token)


def _decision() -> Decision:
    decision = current_decision.get()
    if decision is None:
        raise _error(refusal("no_decision"))
    return decision


def _server(context: MiddlewareContext[Any]) -> FastMCP[Any]:
    if context.fastmcp_context is None:
        raise _error(refusal("no_decision"))
    return context.fastmcp_context.fastmcp


def _error(refused: Refused, request_id: str = "") -> AuthorizationError:
    """In fastmcp's own words: whoever called it may catch it, and otherwise the caller's answer says it."""
    return AuthorizationError(error_of(refused, request_id=request_id)["message"])
