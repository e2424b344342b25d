"""One decision: what the gate found about one message, and the one record that closes it.

Two tiers share it. The ASGI tier makes it and puts it into the scope; the message tier *claims* it, once, for the
very message it was made for, and from then on alone closes it. What nobody claimed the ASGI tier closes; what is
dropped unclosed records itself.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from doorward._core import Envelope
from doorward.audit import SUCCESS, UNKNOWN_PRINCIPAL, Outcome, Ticket, call_record, outcome_of
from doorward.errors import Refused
from doorward.limits import Held
from doorward.policy import HASHED_TARGETS, has_arguments, repeats, with_hash
from doorward.principal import Principal
from doorward.request import Call
from doorward.settings import Rule, Secret
from doorward.telemetry import Ended

if TYPE_CHECKING:
    from doorward.confirmation import Consent
    from doorward.telemetry.spans import Trace

__all__ = ["Decision", "Sink", "current", "current_decision"]

current_decision: Final[ContextVar[Decision | None]] = ContextVar("doorward_decision", default=None)

RESULTS: Final = ("success", "tool_error", "tool_failure", "error", "cancelled", "asked")
"""How a call that was allowed can end; one that was answered with a question has not run."""

MAX_HASHED: Final = 65_536
"""Bytes of the arguments of a refused call that are brought into canonical form for its record: larger ones would cost
the gate more than sending them costs the caller."""

_NO_CALL: Final = Call("", None, None, None, None, None)
_DROPPED: Final = Outcome("error", "dropped")


def current() -> Decision | None:
    """The decision of the call that this code runs for; None outside of a call, and in a task or thread that has
    outlived its call."""
    decision = current_decision.get()
    return None if decision is None or decision.has_ended else decision


class Sink:
    """What a decision needs of its gate to record itself."""

    __slots__ = ("clock", "kept", "leave", "settle", "write")

    def __init__(
        self,
        *,
        write: Callable[[Callable[[], str]], Ticket | None],
        leave: Callable[[str], None],
        kept: Callable[[Ticket], Awaitable[bool]],
        settle: Callable[[Any, int], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self.write = write
        self.leave = leave
        self.kept = kept
        self.settle = settle
        self.clock = clock


class Decision:
    """What the gate decided about one message. Made by a `Gate`, never by hand."""

    # What a class has as its default costs a decision nothing; most never set the half of it.
    principal: Principal | None = None
    fragment: tuple[str, str] | None = None
    """The principal as the record spells it."""
    caller: Any = None
    """The gate's own notes about the principal."""
    steps: Any = None
    """Under whose order it ends: a reload meanwhile changes nothing for it."""
    good_until = float("inf")
    """When the caller's credential stops to count, leeway included; seconds since the epoch."""
    protocol: str | None = None
    """The version that the request says it speaks; None where it says none."""
    call: Call | None = None
    envelope: Envelope | None = None
    """The message of its call, until the arguments are hashed."""
    hash_key: Secret | None = None
    """What the arguments of its call are hashed with."""
    rule: Rule | None = None
    parent_id: str | None = None
    """The id of the call that led to it."""
    transport = "http"
    """How its message came: ``http`` or ``stdio``."""
    peer: str | None = None
    """The address of the client: the peer's, or the one that trusted proxies vouch for. None without HTTP."""
    http_method: str | None = None
    path: str | None = None
    """Of the URL that was asked for, without its query."""
    limits_fallback: str | None = None
    """What decided its budgets where the store did not: ``local``, ``allow`` or ``deny``."""
    grant: Any = None
    """What was spent, and what it takes to settle it."""
    held: Held | None = None
    """The call's place among those in flight."""
    is_nested = False
    """Whether it counts as one of its client's with the call that led to it,"""
    shared: Held | None = None
    """whose place it keeps with it until both have ended."""
    consent: Consent | None = None
    """What is known of its confirmation, where the rule asks for one."""
    refusal: Refused | None = None
    would_deny: tuple[str, ...] = ()
    """What observed rules and budgets would have refused."""
    disconnected = False
    """Whether the client had gone before the answer was complete."""
    trace: Trace | None = None
    """Its span and what is measured of it; None where nobody listens."""
    is_open = True
    """Whether nobody has claimed or closed it yet."""
    has_begun = False
    """Whether its own call has begun to run."""
    running = 0
    """How many handlers run under it now: one, or several for a notification that is dispatched more than once."""
    has_crashed = False
    """Whether its tool raised an exception that it did not mean to raise."""
    has_run = False
    """Whether the handler of its own call has returned or raised."""
    exchange_is_over = False
    """Whether the app has returned from the HTTP request that brought it."""
    ticket: Ticket | None = None
    """What `kept` waits for; None where there is nothing to wait for."""
    _is_closed = False
    _has_digest = False
    """Whether its record has a hash of the arguments, made with `hash_key` where there is one."""
    _if_dropped = _DROPPED

    def __init__(self, sink: Sink, request_id: str) -> None:
        self._sink = sink
        self.began = time.perf_counter_ns()
        """By `time.perf_counter_ns`."""
        self.request_id = request_id

    @property
    def trace_id(self) -> str | None:
        """Of its span (W3C Trace Context), where there is one."""
        return None if self.trace is None else self.trace.trace_id

    @property
    def allowed(self) -> bool:
        """Whether the call may run."""
        return self.refusal is None

    @property
    def is_pending(self) -> bool:
        """Whether it waits for a confirmation: nothing may run under it before."""
        return self.consent is not None and not self.consent.given and self.refusal is None

    @property
    def has_ended(self) -> bool:
        """Whether its call is recorded and no handler runs under it any more: then nothing runs on its behalf. A call
        goes on without its client as long as its handler runs."""
        return self._is_closed and not self.running and (self.has_run or self.exchange_is_over)

    def belongs_to(self, caller: Any) -> None:
        """It is about this caller."""
        self.caller = caller
        self.principal = caller.principal
        self.fragment = caller.fragment
        self.good_until = caller.good_until

    def is_led_to_by(self, parent: Decision) -> None:
        """The call of ``parent`` led to it: the same principal, and one place in flight for both, as long as that one
        has it."""
        self.belongs_to(parent.caller)
        self.peer, self.http_method, self.path = parent.peer, parent.http_method, parent.path
        self.transport, self.parent_id, self.hash_key = parent.transport, parent.request_id, parent.hash_key
        place = parent.shared or parent.held
        self.shared = None if place is None else place.shared()
        self.is_nested = place is None or self.shared is not None

    def hash_arguments(self) -> None:
        """Hash the arguments of its call, once. Not before it is admitted: a refusal must not cost more than reading
        the body."""
        envelope, call, key = self.envelope, self.call, self.hash_key
        self.envelope = None
        if envelope is not None and call is not None:
            self.call = with_hash(call, envelope, key=None if key is None else key.value)

    def claim(self, call: Call) -> bool:
        """Whether ``call`` is the message this decision was made for; true once. A claimed request is closed by its
        claimant alone; a notification ends with its HTTP exchange, so it stays with the ASGI tier."""
        if self.refusal is not None or not self.is_open or self.call != call:
            return False
        self.is_open = call.kind != "request"
        return True

    def repeats(
        self, method: str, rpc_id: str | int | None, params: Mapping[str, Any] | None, *, arguments: bool = True
    ) -> bool:
        """Whether a message in a framework's objects is for certain the call it was made for. Where it is not,
        `Gate.call_of_message` tells what it is. Without ``arguments`` the rest is compared: then `runs` looks at them
        where they run."""
        call, key = self.call, self.hash_key
        return call is not None and repeats(
            call, method, rpc_id, params, key=None if key is None else key.value, arguments=arguments
        )

    def runs(self, method: str, name: str, arguments: Mapping[str, Any] | None) -> bool:
        """Whether a component that is about to run is for certain the one its call names, with its arguments."""
        call, key = self.call, self.hash_key
        if call is None or call.method != method or call.name != name:
            return False
        return call.target == "resource" or has_arguments(call, arguments or {}, key=None if key is None else key.value)

    def begin(self) -> bool:
        """Whether its own call has yet to run; true once. Whatever runs afterwards is another call."""
        if self.has_begun:
            return False
        self.has_begun = True
        return True

    def refuse(self, refusal: Refused) -> None:
        """Refuse and record it."""
        # A traceback holds the frames that hold the decision: a circle for the collector, at each refusal.
        self.refusal = refusal.with_traceback(None)
        if not self._is_closed:
            self.ticket = self._sink.write(self._ended(outcome_of(refusal)))

    def close(self, result: str = "success", *, reason: str | None = None) -> None:
        """Write the one record; every later call does nothing. ``result``: ``success``, ``tool_error`` (the tool
        reported an error), ``tool_failure`` (it raised an exception that it did not mean to raise), ``error``,
        ``cancelled`` or ``asked``; that of a refused decision is the refusal's."""
        if result not in RESULTS:
            raise ValueError(f"result is {result!r}: it must be {', '.join(RESULTS)}")
        if not self._is_closed:
            plain = result == "success" and reason is None
            self.ticket = self._sink.write(self._ended(SUCCESS if plain else Outcome(result, reason)))

    def leave(self, result: str, *, reason: str | None = None) -> None:
        """Let go of it while its message may still be on its way to whoever claims it; dropped on that way, this is
        how it ended."""
        self._if_dropped = Outcome(result, reason)

    async def settle(self, cost: int) -> None:
        """What the call turned out to cost, where that is known only afterwards: its budgets are charged ``cost``
        instead of what the rule says, once, and may fall short by it. From a handler that runs in a thread:
        ``anyio.from_thread.run(decision.settle, cost)``. Raises `ValueError` for a call that has ended, and for a cost
        that is none."""
        if self._is_closed or self.refusal is not None:
            raise ValueError("the call has ended: settle what it costs before it does")
        if self.grant is not None:
            await self._sink.settle(self.grant, cost)

    async def aclose(self, result: str = "success", *, reason: str | None = None) -> None:
        """`close`, for every durability: in ``durable`` mode the record is on disk afterwards."""
        self.close(result, reason=reason)
        if self.ticket is not None:
            await self.kept()

    async def kept(self) -> None:
        """Wait until its record is on disk, where that was promised and for as long as the disk works."""
        if self.ticket is not None:
            await self._sink.kept(self.ticket)

    def decided_without_store(self, policy: str) -> None:
        """Its budgets were not decided by the store but by ``on_error``, which is ``policy``."""
        self.limits_fallback = policy

    def intent(self) -> str:
        """The record that it is about to run."""
        return self._record(None, self._sink.clock(), None, self.disconnected)

    def note(self, event: str, *, by: str) -> None:
        """Record a confirmation that is under way: ``asked`` or ``confirmed``. ``by``: who is asked or has answered,
        ``client`` or ``approver``; it becomes the reason of the record."""
        known = (None, by, None, None, None, None, None)
        self._sink.write(partial(self._record, known, self._sink.clock(), None, self.disconnected, event))

    def __repr__(self) -> str:
        verdict = "allowed" if self.refusal is None else self.refusal.code
        return f"<Decision {self.request_id} {verdict}>"

    def __del__(self) -> None:
        # Dropped: whoever asked never said how the call ended.
        if not self._is_closed:
            self._sink.leave(self._ended(self._if_dropped, later=True)())

    def _ended(self, outcome: Outcome, *, later: bool = False) -> Callable[[], str]:
        """End it: what makes its record; when that was is known now. ``later``: whether this is no time to tell
        others."""
        self.is_open, self._is_closed = False, True
        if self.held is not None:
            self.held.free()
        if self.shared is not None:
            self.shared.free()
        if self.envelope is not None:
            outcome = self._with_arguments(outcome, self.envelope)
        latency = (time.perf_counter_ns() - self.began) / 1e6
        if self.trace is not None:
            self._tell(self.trace, outcome, latency / 1e3, later=later)
        return partial(self._record, outcome, self._sink.clock(), latency, self.disconnected)

    def _with_arguments(self, outcome: Outcome, envelope: Envelope) -> Outcome:
        """The outcome of a call that ends before its arguments were hashed, with what the record says of them."""
        size, key = envelope.arguments_size, self.hash_key
        if size <= MAX_HASHED or self.call is None or self.call.target not in HASHED_TARGETS:
            self.hash_arguments()
            return outcome
        self.envelope, self._has_digest = None, True
        digest = envelope.digest_arguments(key=None if key is None else key.value)
        said = f"arguments of {size} bytes, {digest}"
        return outcome._replace(detail=said if outcome.detail is None else f"{outcome.detail}; {said}")

    def _record(
        self,
        outcome: tuple[str | None, str | None, str | None, int | None, str | None, str | None, str | None] | None,
        at: float,
        latency: float | None,
        disconnected: bool,
        event: str = "",
    ) -> str:
        call, key, trace = self.call or _NO_CALL, self.hash_key, self.trace
        who, scopes = self.fragment or UNKNOWN_PRINCIPAL
        return call_record(
            event or ("intent" if outcome is None else "call"),
            at,
            self.request_id,
            self.parent_id,
            call.id,
            None if trace is None else trace.trace_id,
            who,
            self.transport,
            self.peer,
            self.http_method,
            self.path,
            call.method,
            call.name,
            call.arguments_hash,
            None if key is None or not (self._has_digest or call.arguments_hash) else key.id,
            scopes,
            outcome,
            self.limits_fallback,
            None if self.rule is None else self.rule.match,
            self.would_deny,
            disconnected,
            latency,
        )

    def _tell(self, trace: Trace, outcome: Outcome, seconds: float, *, later: bool) -> None:
        call, rule = self.call, self.rule
        ended = Ended(
            seconds=seconds,
            request_id=self.request_id,
            parent_id=self.parent_id,
            transport=self.transport,
            method=None if call is None else call.method,
            tool=call.name if call is not None and rule is not None and call.target == "tool" else None,
            client_id=None if self.principal is None else self.principal.client_id,
            rule=None if rule is None else rule.match,
            result=outcome.result,
            reason=outcome.reason,
            budget=outcome.budget,
            budget_scope=outcome.budget_scope,
            budget_window=outcome.budget_window,
            limits_fallback=self.limits_fallback,
            retry_after_ms=outcome.retry_after_ms,
            would_deny=self.would_deny,
            disconnected=self.disconnected,
        )
        if later:
            trace.end_later(ended)
        else:
            trace.start(ended.method, is_known=self.principal is not None)
            trace.end(ended)
