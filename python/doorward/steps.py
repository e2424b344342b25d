"""The one order of the steps, under one configuration.

2 transport, 3 authenticate (`begin`); 4 read, 5 authorise, 6 limit, 7 confirm (`judge`); 9 record is the decision's own
`close`. 1 exempt and 8 forward belong to the adapters. A decision ends under the steps it began with.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from doorward import checks
from doorward._core import Envelope, Recognised, read_envelope
from doorward.admitting import Admitting
from doorward.audit import HashKey, Trail
from doorward.callers import Caller, Callers
from doorward.confirmation import Approver, Confirmations, params_in
from doorward.confirming import Confirming
from doorward.decision import Decision, Sink
from doorward.errors import Forbidden, Refused, refusal
from doorward.explanation import Explanation, explained
from doorward.limits import FailedAttempts, Spender, Spending, remote_limiter
from doorward.metadata import Metadata
from doorward.methods import HANDSHAKES
from doorward.policy import MAX_FILTER_BYTES, Policy, call_of, watched_by, with_hash
from doorward.refusal_log import RefusalLog
from doorward.rendering import Challenge, Response, render
from doorward.request import Call, Request
from doorward.request_ids import request_id
from doorward.resource import spellings
from doorward.settings import Configuration, Rule
from doorward.telemetry import Telemetry, traceparent_of
from doorward.tokens import Tokens, warn_of_unbounded_lifetimes
from doorward.transport import Transport
from doorward.workers import ensure_known_to_all, is_worker

if TYPE_CHECKING:
    from doorward._redis import Store
    from doorward.limits import RedisLimiter

__all__ = ["Steps", "fail"]

_NO_STREAM: Final = frozenset({"POST", "DELETE"})
"""What comes with these methods is a message, or the end of a session; what others open may stay open."""

_log = logging.getLogger("doorward")

_FRAMES: Final = 4
"""Innermost frames of an unexpected error that the log names."""

_JUDGED_PARAMS: Final = ("name", "uri", "ref", "arguments")


class Steps:
    """What one configuration makes of each request."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        clock: Callable[[], float],
        tick: Callable[[], int],
        alarm: Callable[[str], None],
        approver: Approver | None = None,
        telemetry: Telemetry,
        before: Steps | None = None,
    ) -> None:
        """Those of a successor keep what was spent, revoked and fetched ``before``. Raises `ValueError` and
        `OSError`, and then has changed nothing."""
        self.configuration = configuration
        self._clock = clock
        self._tick = tick
        self.asks_humans = configuration.asks_humans
        self._telemetry = telemetry
        self.max_body_bytes = configuration.max_body_bytes
        self._max_message_bytes = configuration.max_message_bytes
        self.policy = Policy(configuration.rules, configuration.scopes)
        self.transport = Transport(
            configuration.resource,
            allowed_hosts=configuration.allowed_hosts,
            allowed_origins=configuration.allowed_origins,
            trusted_proxies=configuration.trusted_proxies,
            client_certificate=configuration.client_certificate,
            max_body_bytes=configuration.max_body_bytes,
        )
        limits, audit = configuration.limits, configuration.audit
        ensure_known_to_all(configuration)
        self._remote: RedisLimiter | None = remote_limiter(limits, alarm) if before is None else before._remote
        self.tokens: Tokens = _tokens(
            configuration,
            alarm,
            store=None if self._remote is None else self._remote.store,
            before=None if before is None else before.tokens,
        )
        self.metadata = Metadata.of(
            configuration.resource, [issuer.url for issuer in configuration.issuers], self.policy.scopes
        )
        asked = configuration.challenge_scopes
        self._challenge = Challenge(
            self.metadata.url if configuration.issuers else None,
            checks.scopes("challenge_scopes", self.policy.narrowest_scopes if asked is None else asked),
        )
        self._confirmations: Confirmations = Confirmations(
            configuration.confirmation,
            resource=configuration.resource,
            clock=clock,
            alarm=alarm,
            approver=approver,
            store=None if self._remote is None else self._remote.store,
            prefix=limits.prefix,
            before=None if before is None else before._confirmations,
        )
        # Last, because these take files for themselves.
        if before is None:
            if limits.url is None and limits.instances is None and is_worker():
                _log.warning(
                    "this process may be one of several workers, and each would have all of every budget: "
                    "set [limits] instances to their number, or a store"
                )
            self.spender = Spender(limits, clock=clock, tick=tick, alarm=alarm, remote=self._remote)
            self._failures = FailedAttempts(limits)
            self.trail = Trail(audit, alarm=alarm, clock=clock)
            self._hash_key = HashKey(audit.key, alarm=alarm)
        else:
            self.spender = before.spender.succeeded(limits)
            self._failures = before._failures.succeeded(limits)
            self.trail = before.trail
            self._hash_key = before._hash_key
        self._admitting = Admitting(self.spender, self.trail, tick=tick)
        self.confirming = Confirming(self._confirmations, self._admitting, ensure_still=self._ensure_still, tick=tick)
        self._refusals: RefusalLog = RefusalLog() if before is None else before._refusals
        self._callers = Callers(self.tokens, self.policy, self._failures, self.transport)
        self._sink = Sink(
            write=self.trail.write,
            leave=self.trail.leave,
            kept=self.trail.kept,
            settle=self.spender.settle,
            clock=clock,
        )
        # After everything that may refuse the configuration.
        warn_of_unbounded_lifetimes(configuration.issuers)

    def recognise(
        self, headers: object, *, scheme: str, peer: str | None, path: str | None
    ) -> tuple[Decision, Recognised[Caller] | None] | None:
        """See `Gate.recognise`."""
        now = self._clock()
        try:
            seen = self._callers.recognise(headers, scheme=scheme, peer=peer, now=now)
        except Exception as error:
            decision = self._made(now)
            fail(decision, error)
            return decision, None
        if seen is None:
            return None
        decision = self._made(now)
        decision.protocol = seen.protocol
        decision.peer, decision.http_method, decision.path = self.transport.peer_name(peer), "POST", path
        if decision.trace is not None and seen.traceparent is not None:
            decision.trace.claimed = traceparent_of((seen.traceparent,))
        decision.belongs_to(seen.caller)
        return decision, seen

    async def begin(self, request: Request) -> Decision:
        """Steps 2 and 3, for which no body is needed."""
        now = self._clock()
        decision = self._made(now)
        if decision.trace is not None:
            decision.trace.claimed = traceparent_of(request.header_values("traceparent"))
        decision.protocol = request.header("mcp-protocol-version")
        decision.http_method, decision.path = request.method, request.path
        decision.peer = self.transport.address(request)
        try:
            self.transport.check(request)
            decision.belongs_to(await self._callers.of(request, now=now, tick=self._tick()))
            if decision.trace is not None and request.method != "POST":
                decision.trace.start(None, is_known=True)  # no message will say what it is part of
        except Refused as refused:
            self._refusals.note(refused, tick=self._tick())
            decision.fragment = self._callers.unverified(request, refused)
            decision.refuse(refused)
            return decision
        except Exception as error:
            fail(decision, error)
            return decision
        if request.method not in _NO_STREAM:
            self._admitting.open_stream(decision)
        return decision

    async def decide_local(
        self, token: Callable[[], str], *, method: str, rpc_id: str | int | None, params: Mapping[str, Any] | None
    ) -> Decision:
        """Steps 3 to 7 for a message that came without HTTP: step 2 has nothing to look at. ``token`` may refuse."""
        decision = self._made(self._clock())
        decision.transport = "stdio"
        try:
            decision.call = self.call_of_message(method, rpc_id, params, under=decision)
            # Its credential logs why it is refused.
            decision.belongs_to(await self._callers.holder_of(token(), now=self._clock()))
            if decision.trace is not None:
                decision.trace.start(method, is_known=True)
            left = self._judge(decision, decision.call, lambda: params, by_client=True)
            if left is not None:
                await left
        except Refused as refused:
            decision.refuse(refused)
        except Exception as error:
            fail(decision, error)
        return decision

    async def caller_of(self, token: str) -> Caller:
        """Whose token it is, and nothing else. Raises `Unauthenticated` or `Unavailable`."""
        try:
            return await self._callers.holder_of(token, now=self._clock())
        except Refused as refused:
            self._refusals.note(refused, tick=self._tick())
            raise

    def judge(self, decision: Decision, body: bytes, *, by_client: bool = False) -> Awaitable[None] | None:
        """Steps 4 to 7, for the request that `begin` let through. See `Gate.judge`."""
        try:
            if decision.good_until <= self._clock():
                # The body may have taken its time.
                raise refusal("token_expired")
            if len(body) > self.max_body_bytes:
                raise refusal("body_too_large")
            envelope = decision.envelope = read_envelope(body)
            call = decision.call = call_of(envelope, protocol=decision.protocol)
            if decision.trace is not None:
                claimed = traceparent_of((envelope.traceparent,))
                decision.trace.start(call.method, is_known=True, claimed=claimed)
            if call.target is None and call.kind != "response" and len(body) > self._max_message_bytes:
                raise refusal("body_too_large", "larger than max_message_bytes, and calls nothing")
            params = partial(self._params_in, envelope, call)
            left = self._judge(decision, call, params, size=len(body), by_client=by_client)
        except Refused as refused:
            decision.refuse(refused)
            return None
        except Exception as error:
            fail(decision, error)
            return None
        return None if left is None else _refusing(decision, left)

    async def judge_message(
        self, parent: Decision, call: Call, params: Mapping[str, Any] | None = None, *, refused: Refused | None = None
    ) -> Decision:
        """Decide anew about a message that the call of ``parent`` led to: same principal, a record of its own.
        ``refused``: what its adapter holds against it already."""
        decision = self._made(self._clock())
        decision.is_led_to_by(parent)
        decision.call = call
        if decision.trace is not None:
            decision.trace.start(call.method, is_known=True)
        try:
            # The first call was allowed a while ago: its credential may have been withdrawn since.
            self.ensure_held(parent)
            if refused is not None:
                raise refused
            left = self._judge(decision, call, lambda: params, by_client=params is not None)
            if left is not None:
                await left
        except Refused as found:
            decision.refuse(found)
        except Exception as error:
            fail(decision, error)
        return decision

    def ensure_held(self, decision: Decision) -> None:
        """Raises `Unauthenticated` when the credential behind a decision has expired or was withdrawn since."""
        now, verified = self._clock(), decision.caller.verified
        is_withdrawn = self.tokens.has_withdrawn(verified, now=now)
        # A rotation may have made an agent's token end earlier.
        if min(decision.good_until, verified.standing.good_until) <= now:
            raise refusal("token_expired")
        if is_withdrawn:
            raise refusal("token_revoked")

    def shows(self, decision: Decision, target: str, name: str) -> bool:
        """Whether a list names this tool, resource, template or prompt to the caller: what could not be called is left
        out. No check, only a courtesy: each call is judged."""
        return self.policy.may_reach(target, name, decision.caller.effective)

    def call_of_message(
        self, method: str, rpc_id: str | int | None, params: Mapping[str, Any] | None, *, under: Decision
    ) -> Call:
        """See `Gate.call_of_message`."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if rpc_id is not None:
            message["id"] = rpc_id
        message["params"] = {name: params[name] for name in _JUDGED_PARAMS if name in params} if params else {}
        envelope, key = read_envelope(json.dumps(message).encode()), under.hash_key
        return with_hash(call_of(envelope), envelope, key=None if key is None else key.value)

    def render(self, decision: Decision) -> Response:
        """The HTTP answer to a refused decision."""
        if decision.refusal is None:
            raise ValueError("an allowed decision is answered by the server")
        rpc_id = None if decision.call is None else decision.call.id
        return render(decision.refusal, request_id=decision.request_id, rpc_id=rpc_id, challenge=self._challenge)

    def explain(self, name: str, *, kind: str | None, scopes: Iterable[str]) -> Explanation:
        """See `Gate.explain`."""
        found = explained(self.policy, name, kind, tuple(scopes))
        if found.rule is None:
            return found
        asked = self._confirmations.describe() if found.rule.confirm else ()
        return replace(found, spends=(*self.spender.describe(found.rule), *asked))

    def _made(self, now: float) -> Decision:
        decision = Decision(self._sink, request_id())
        decision.steps, decision.hash_key = self, self._hash_key.now(now)
        decision.trace = self._telemetry.begin(decision.began)
        return decision

    def _judge(
        self, decision: Decision, call: Call, params: Callable[[], Any], *, size: int = 0, by_client: bool = False
    ) -> Awaitable[None] | None:
        caller = decision.caller
        rule = decision.rule = self.policy.rule_for(call)
        opening = call.method if call.target is None and call.method in HANDSHAKES else None
        spending = None if opening is not None else caller.spendings.get(id(rule))
        if spending is None:
            spending = self._authorised(decision, caller, rule, call, opening)
        self.trail.ensure_writable()
        if rule is not None and rule.confirm and rule.mode != "observe":
            return self.confirming.judge(decision, call, rule, spending, params, size=size, by_client=by_client)
        if call.method == "subscriptions/listen":
            return self._admitting.admit(decision, spending, partial(self._authorise_watching, decision, params))
        return self._admitting.admit(decision, spending, decision.hash_arguments)

    def _params_in(self, envelope: Envelope, call: Call) -> Mapping[str, Any]:
        """The members of a body's params that the envelope does not hold, read only where they are needed."""
        if call.method == "subscriptions/listen":
            return {"notifications": envelope.param("notifications", max_bytes=MAX_FILTER_BYTES)}
        return params_in(envelope, max_arguments=self.max_body_bytes)

    def _authorised(
        self, decision: Decision, caller: Caller, rule: Rule | None, call: Call, opening: str | None
    ) -> Spending:
        """What a call under the rule spends, if the caller may make it: remembered, with that, where nothing is held
        against it."""
        if rule is not None:
            self._authorise(decision, rule, caller.effective)
        spending = self.spender.spending(caller.principal, rule, governed=call.target is not None, opening=opening)
        if opening is None and not decision.would_deny:
            caller.spendings[id(rule)] = spending
        return spending

    def _ensure_still(self, decision: Decision) -> None:
        """What held when a call began to wait for a human, and may not hold any more."""
        self.ensure_held(decision)
        self.trail.ensure_writable()

    def _authorise_watching(self, decision: Decision, params: Callable[[], Any]) -> None:
        """To be told about a resource takes what reading it takes."""
        for rule in self.policy.rules_for_subscription(watched_by(params())):
            self._authorise(decision, rule, decision.caller.effective, is_call=False)

    def _authorise(self, decision: Decision, rule: Rule, effective: frozenset[str], *, is_call: bool = True) -> None:
        try:
            self.policy.authorise(rule, effective)
            if rule.confirm and (rule.mode == "observe" or not is_call):
                # Nobody is asked about what is observed, nor about being told of a resource.
                raise refusal("confirmation_unavailable")
        except Forbidden as refused:
            if rule.mode != "observe":
                raise
            decision.would_deny += (refused.code,)


def _tokens(
    configuration: Configuration, alarm: Callable[[str], None], *, store: Store | None, before: Tokens | None
) -> Tokens:
    aliases = configuration.audiences
    claim = configuration.organization_claim
    return Tokens(
        configuration.issuers,
        audiences=[*spellings(configuration.resource), *(checks.texts("audiences", aliases) if aliases else ())],
        organization_claim=None if claim is None else checks.text("organization_claim", claim),
        agents=configuration.agents,
        revocation=configuration.revocation,
        alarm=alarm,
        store=store,
        prefix=configuration.limits.prefix,
        before=before,
    )


async def _refusing(decision: Decision, left: Awaitable[None]) -> None:
    try:
        await left
    except Refused as refused:
        decision.refuse(refused)
    except Exception as error:
        fail(decision, error)


def fail(decision: Decision, error: Exception) -> None:
    """Refuse with ``internal_error`` what could not be judged because of a fault in the gate. The log gets one line
    with the error's class and place: its text may repeat what a caller sent."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = " > ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in frames)
    _log.error("request %s is refused: unexpected %s at %s", decision.request_id, type(error).__name__, places)
    decision.refuse(refusal("internal_error", f"unexpected {type(error).__name__}"))
