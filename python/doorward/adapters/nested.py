"""Components that call components: the framework runs them, and no message is sent.

The first run under a claimed decision is that decision's own call, once. Every other one is decided anew under the same
principal, and its record names its parent. Once that call has ended, nothing more runs under it: a task or thread that
it has left behind is refused.

Where middleware stands between the look that lets a call in and what runs, there are two looks at each run: the second
one, behind all middleware, lets it run once, as the first one saw it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from pydantic_core import to_json

from doorward.adapters.asking import current_message, settle
from doorward.adapters.messages import run_under
from doorward.arguments import hash_arguments
from doorward.decision import Decision, current_decision
from doorward.errors import Malformed, Refused, refusal
from doorward.gate import Gate
from doorward.request import Call

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

    async def leads_to(self, above: Component, component: Component, *, changed: bool) -> bool:
        """Whether the one is the other, mounted in its server. ``changed``: with other arguments, which only a tool
        may give that was made of the other."""

    async def public_name(self, component: Component) -> str | None:
        """The name by which whoever calls from outside reaches it; None where nobody does."""


class _Run:
    """A component that was let in: it runs once, and leads on once to where it is mounted."""

    __slots__ = ("component", "decision", "digest", "has_begun", "has_led")

    def __init__(self, decision: Decision, component: Component, digest: str | bytes, has_begun: bool = False) -> None:
        self.decision = decision
        self.component = component
        self.digest = digest
        self.has_begun = has_begun
        self.has_led = False

    def begins(self, component: Component, arguments: dict[str, Any] | None) -> bool:
        """Whether this is what was let in, and the first time that it runs."""
        server, method, name = self.component
        if self.has_begun or server is not component.server or (method, name) != component[1:]:
            return False
        self.has_begun = _digest(self.decision, component, arguments) == self.digest
        return self.has_begun

    def leads(self) -> bool:
        """Whether it has yet to lead on; true once."""
        if self.has_led:
            return False
        self.has_led = True
        return True


_running: Final[ContextVar[_Run | None]] = ContextVar("doorward_component", default=None)


@dataclass(frozen=True, slots=True)
class Nesting:
    """How one framework's components meet the gate."""

    gate: Gate
    error: Callable[[Refused, str], Exception]
    """A refusal in the framework's own words, with the id of the decision."""
    tool_errors: tuple[type[Exception], ...] = ()
    """What its tools raise to say that they failed."""
    is_crash: Callable[[Exception], bool] = lambda error: False
    """Whether an exception stands for one that a component did not mean to raise."""

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
        is_last: bool = True,
    ) -> T:
        """Run a component under the decision made for it, or under one of its own. ``names``: where servers are
        mounted in others; ``is_last``: whether nothing stands any more between this look and what runs."""
        decision, above = self.decision(), _running.get()
        if decision.has_ended:
            return await self._run_anew(decision, component, arguments, run, names, is_last)
        if above is not None and above.decision is not decision:
            above = None
        if is_last and above is not None and above.begins(component, arguments):
            return await self._entered(above, run)
        digest = await _covered(decision, above, component, arguments, names)
        if digest is None:
            return await self._run_anew(decision, component, arguments, run, names, is_last)
        return await self._entered(_Run(decision, component, digest, is_last), run)

    async def _run_anew(
        self,
        parent: Decision,
        component: Component,
        arguments: dict[str, Any] | None,
        run: Callable[[], Awaitable[T]],
        names: Names | None,
        is_last: bool,
    ) -> T:
        public = component.name if names is None else await names.public_name(component)
        params = _params(component.method, component.name if public is None else public, arguments)
        call, digest = self._call(parent, component, params), _digest(parent, component, arguments)
        refused = refusal("no_rule", "the protected server does not show it") if public is None else None
        if parent.has_ended:
            refused = refusal("call_ended")
        decision = await self.gate.judge_message(parent, call, params, refused=refused)
        if decision.is_pending:
            # The answer to the message is not ours to give: its own call runs already.
            await settle(self.gate, decision, current_message.get(), by_result=False)
        if decision.refusal is not None:
            await decision.kept()
            raise self.error(decision.refusal, decision.request_id)
        decision.begin()
        # A human may have thought about it for long, and arguments are objects that others hold as well.
        once_more = partial(self.run, component, arguments, run, names=names) if is_last else run
        return await run_under(
            decision,
            lambda: self._entered(_Run(decision, component, digest), once_more),
            is_error=lambda answer: getattr(answer, "is_error", None) is True,
            tool_errors=self.tool_errors,
        )

    async def _entered(self, what: _Run, run: Callable[[], Awaitable[T]]) -> T:
        token = _running.set(what)
        try:
            return await run()
        except Exception as error:
            if self.is_crash(error):
                what.decision.has_crashed = True
            raise
        finally:
            _running.reset(token)

    def _call(self, parent: Decision, component: Component, params: dict[str, Any]) -> Call:
        rpc_id = parent.call.id if parent.call else None
        return self.gate.call_of_message(component.method, rpc_id, params, under=parent)


async def _covered(
    decision: Decision,
    above: _Run | None,
    component: Component,
    arguments: dict[str, Any] | None,
    names: Names | None,
) -> str | bytes | None:
    """The arguments' digest, where the decision is about this run. Others may come in while names are looked up: what
    happens once is taken without waiting."""
    if above is None:
        is_own = decision.runs(component.method, component.name, arguments) and not decision.is_pending
        if not is_own or not decision.begin():
            return None
        is_called_so = names is None or await names.listed_name(component) == component.name
        return ((decision.call and decision.call.arguments_hash) or "") if is_called_so else None
    if names is None or not above.has_begun or above.has_led:
        return None
    digest = _digest(decision, component, arguments)
    is_same = await names.leads_to(above.component, component, changed=digest != above.digest)
    return digest if is_same and above.leads() else None


def _digest(decision: Decision, component: Component, arguments: dict[str, Any] | None) -> str | bytes:
    """What tells one call's arguments from another's; a resource has none."""
    if component.method == "resources/read":
        return ""
    key = decision.hash_key
    try:
        return hash_arguments(arguments or {}, key=None if key is None else key.value)
    except (TypeError, Malformed):
        # No JSON: what one tool hands to the other that it was made of.
        return to_json(arguments, fallback=repr)


def _params(method: str, name: str, arguments: dict[str, Any] | None) -> dict[str, Any]:
    return {"uri": name} if method == "resources/read" else {"name": name, "arguments": arguments or {}}
