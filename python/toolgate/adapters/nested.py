"""Components that call components: the framework runs them, and no message is sent.

The first run under a claimed decision is that decision's own call. Every other one is decided anew under the same
principal, and its record names its parent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from toolgate.adapters.asking import current_message, settle
from toolgate.adapters.messages import run_under
from toolgate.decision import Decision, current_decision
from toolgate.errors import Refused, refusal
from toolgate.gate import Gate
from toolgate.request import Call

__all__ = ["Component", "Names", "Nesting"]

T = TypeVar("T")


class Component(NamedTuple):
    """What runs: of which server, by which name or URI there, by which method."""

    server: Any
    method: str
    name: str


class Names(Protocol):
    """What components are called in a server, and in those it is mounted in."""

    async def listed_name(self, component: Component) -> str:
        """The name that the server lists it by."""

    async def leads_to(self, above: Component, component: Component) -> bool:
        """Whether the one is the other, mounted in its server."""

    async def public_name(self, component: Component) -> str | None:
        """The name by which whoever calls from outside reaches it; None where nobody does."""


_Run = tuple[Decision, Component]

_running: Final[ContextVar[_Run | None]] = ContextVar("toolgate_component", default=None)


@dataclass(frozen=True, slots=True)
class Nesting:
    """How one framework's components meet the gate."""

    gate: Gate
    error: Callable[[Refused, str], Exception]
    """A refusal in the framework's own words, with the id of the decision."""
    tool_errors: tuple[type[Exception], ...] = ()
    """What its tools raise to say that they failed."""

    def decision(self) -> Decision:
        """The decision that covers what runs now. Raises where none of this gate does."""
        decision = current_decision.get()
        if decision is None or not self.gate.made(decision):
            raise self.error(refusal("no_decision"), "")
        return decision

    async def run(
        self,
        component: Component,
        arguments: dict[str, Any] | None,
        run: Callable[[], Awaitable[T]],
        *,
        names: Names | None = None,
    ) -> T:
        """Run a component under the decision made for it, or under one of its own. ``names``: where servers are
        mounted in others."""
        decision, above = self.decision(), _running.get()
        if above is None or above[0] is not decision:
            is_own = decision.runs(component.method, component.name, arguments) and not decision.is_pending
            is_covered = is_own and (names is None or await names.listed_name(component) == component.name)
        else:
            is_covered = names is not None and await names.leads_to(above[1], component)
        if not is_covered:
            return await self._run_anew(decision, component, arguments, run, names)
        token = _running.set((decision, component))
        try:
            return await run()
        finally:
            _running.reset(token)

    async def _run_anew(
        self,
        parent: Decision,
        component: Component,
        arguments: dict[str, Any] | None,
        run: Callable[[], Awaitable[T]],
        names: Names | None,
    ) -> T:
        public = component.name if names is None else await names.public_name(component)
        params = _params(component.method, component.name if public is None else public, arguments)
        call = self._call(parent, component, params)
        hidden = refusal("no_rule", "the protected server does not show it") if public is None else None
        decision = await self.gate.judge_message(parent, call, params, refused=hidden)
        if decision.is_pending:
            # The answer to the message is not ours to give: its own call runs already.
            await settle(self.gate, decision, current_message.get(), by_result=False)
        if decision.refusal is not None:
            await decision.kept()
            raise self.error(decision.refusal, decision.request_id)
        return await run_under(
            decision,
            lambda: _entered((decision, component), run),
            is_error=lambda answer: getattr(answer, "is_error", None) is True,
            tool_errors=self.tool_errors,
        )

    def _call(self, parent: Decision, component: Component, params: dict[str, Any]) -> Call:
        rpc_id = parent.call.id if parent.call else None
        return self.gate.call_of_message(component.method, rpc_id, params, under=parent)


def _params(method: str, name: str, arguments: dict[str, Any] | None) -> dict[str, Any]:
    return {"uri": name} if method == "resources/read" else {"name": name, "arguments": arguments or {}}


async def _entered(what: _Run, run: Callable[[], Awaitable[T]]) -> T:
    token = _running.set(what)
    try:
        return await run()
    finally:
        _running.reset(token)
