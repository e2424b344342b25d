"""The gate: who is calling, may they, may they now - and one record of that decision. The one order of the steps is
here.

1 exempt and 8 forward belong to the adapters; 2 transport, 3 authenticate (`begin`); 4 read, 5 authorise, 6 limit, 7
confirm (`judge`); 9 record is the decision's own `close`.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any
from urllib.parse import urlsplit

from toolgate import checks
from toolgate._core import read_envelope
from toolgate.audit import Trail
from toolgate.callers import Callers
from toolgate.decision import Decision, Sink
from toolgate.errors import Forbidden, Refused, refusal
from toolgate.limits import FailedAttempts, Spender
from toolgate.metadata import Metadata
from toolgate.policy import Policy, call_of
from toolgate.rendering import Challenge, Response, render
from toolgate.request import Call, Request
from toolgate.resource import parse_resource, spellings
from toolgate.settings import (
    Agents,
    Audit,
    Issuer,
    Limits,
    MethodRule,
    PromptRule,
    ResourceRule,
    Revocation,
    Rule,
    ToolRule,
)
from toolgate.tokens import Tokens
from toolgate.transport import Transport

__all__ = ["Gate", "request_id"]

MAX_BODY_BYTES = 4 * 1024 * 1024
"""The SDK's own bound: a larger body could not be served anyway."""

_REQUEST_ID_BYTES = 12

_MAX_WATCHED = 1000
"""Resources that one subscription may name."""

_log = logging.getLogger("toolgate")

_JUDGED_PARAMS = ("name", "uri", "ref", "arguments")


class Gate:
    """Decides about every message of one resource.

    ``resource`` is the URL that clients use: it drives the metadata, the challenge and the expected audience.
    ``scopes`` is the hierarchy: a scope and those it implies. The element types stand in `toolgate.settings`.
    """

    def __init__(
        self,
        *,
        resource: str,
        issuers: Sequence[Issuer] = (),
        agents: Agents | None = None,
        revocation: Revocation | None = None,
        tools: Sequence[ToolRule] = (),
        resources: Sequence[ResourceRule] = (),
        prompts: Sequence[PromptRule] = (),
        methods: Sequence[MethodRule] = (),
        scopes: Mapping[str, Sequence[str]] | None = None,
        limits: Limits | None = None,
        audit: Audit | None = None,
        audiences: Sequence[str] = (),
        organization_claim: str | None = None,
        challenge_scopes: Sequence[str] | None = None,
        allowed_hosts: Sequence[str] = (),
        allowed_origins: Sequence[str] = (),
        trusted_proxies: Sequence[str] = (),
        max_body_bytes: int = MAX_BODY_BYTES,
        clock: Callable[[], float] = time.time,
        tick: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Raises `ValueError` for a configuration that cannot be right and `OSError` when the audit trail cannot be
        opened."""
        if not issuers and agents is None:
            raise ValueError("issuers must name at least one issuer, where there are no agents")
        self.resource = parse_resource(checks.text("resource", resource))
        self.max_body_bytes = max_body_bytes
        self.alarms: Counter[str] = Counter()
        """What an operator should know, by slug: how often it happened."""
        self._clock = clock
        self._tick = tick
        self.policy = Policy([*tools, *resources, *prompts, *methods], scopes or {})
        self.transport = Transport(
            self.resource,
            allowed_hosts=allowed_hosts,
            allowed_origins=allowed_origins,
            trusted_proxies=trusted_proxies,
            max_body_bytes=max_body_bytes,
        )
        self._tokens = Tokens(
            issuers,
            audiences=[*spellings(self.resource), *(checks.texts("audiences", audiences) if audiences else ())],
            organization_claim=None
            if organization_claim is None
            else checks.text("organization_claim", organization_claim),
            agents=agents,
            revocation=revocation,
            alarm=self._alarm,
        )
        limits = limits or Limits()
        self._spender = Spender(limits, clock=clock, tick=tick, alarm=self._alarm)
        self._callers = Callers(self._tokens, self.policy, FailedAttempts(limits), self.transport)
        self.metadata = Metadata.of(self.resource, [issuer.url for issuer in issuers], self.policy.scopes)
        asked = self.policy.narrowest_scopes if challenge_scopes is None else challenge_scopes
        self._challenge = Challenge(self.metadata.url, checks.scopes("challenge_scopes", asked))
        audit = audit or Audit()
        self._hash_key = audit.key.value if audit.key is not None else None
        self._trail = Trail(audit)
        self._sink = Sink(
            write=self._trail.write,
            leave=self._trail.leave,
            settle=self._spender.settle,
            clock=clock,
            hash_key=audit.key.id if audit.key is not None else None,
        )

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Gate:
        """The gate that a ``toolgate.toml`` describes. Raises `ValueError` naming the file, the table, the key and
        the line."""
        from toolgate.config import load

        settings = load(path)
        try:
            return cls(**settings)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def protect(self, server: Any, **options: Any) -> Any:
        """The ASGI app that serves ``server`` - an `MCPServer`, a low-level `Server`, or any ASGI app - behind this
        gate, at the resource's path. ``options`` go to the SDK's app. Raises `ValueError` for a server that brings
        auth of its own."""
        from toolgate.adapters import protect

        return protect(self, server, **options)

    async def decide(
        self,
        request: Request | None = None,
        *,
        authorization: str | None = None,
        body: bytes = b"",
        peer: str | None = None,
    ) -> Decision:
        """Decide about one request. The shorthand is a POST to the resource. Nothing is sent: whoever asks renders
        the decision and closes it."""
        if request is None:
            parts = urlsplit(self.resource)
            request = Request(
                scheme="https",
                host=parts.netloc,
                path=parts.path,
                headers=() if authorization is None else (("authorization", authorization),),
                peer=peer,
                body=body,
            )
        decision = await self.begin(request)
        if decision.allowed and request.method == "POST":
            await self.judge(decision, request.body)
        return decision

    async def begin(self, request: Request) -> Decision:
        """Steps 2 and 3, for which no body is needed."""
        decision = Decision(self._sink, request_id())
        try:
            self.transport.check(request)
            caller = await self._callers.of(request, now=self._clock(), tick=self._tick())
        except Refused as refused:
            decision.refuse(refused)
        else:
            decision.caller = caller
            decision.principal = caller.principal
            decision.fragment = caller.fragment
            decision.good_until = caller.good_until
        return decision

    async def judge(self, decision: Decision, body: bytes) -> None:
        """Steps 4 to 7, for the request that `begin` let through."""
        try:
            if decision.good_until <= self._clock():
                # The body may have taken its time.
                raise refusal("token_expired")
            if len(body) > self.max_body_bytes:
                raise refusal("body_too_large")
            decision.call = call_of(read_envelope(body, key=self._hash_key))
            if decision.call.method == "subscriptions/listen":
                for rule in self.policy.rules_for_subscription(_watched(body)):
                    self._authorise(decision, rule, decision.caller.effective)
            await self._judge(decision, decision.call)
        except Refused as refused:
            decision.refuse(refused)

    async def judge_message(self, parent: Decision, call: Call) -> Decision:
        """Decide anew about a message that the call of ``parent`` led to: same principal, a record of its own."""
        decision = Decision(self._sink, request_id(), parent_id=parent.request_id, transport=parent.transport)
        decision.caller, decision.principal, decision.fragment = parent.caller, parent.principal, parent.fragment
        decision.call = call
        try:
            decision.good_until = parent.good_until
            if decision.good_until <= self._clock():
                raise refusal("token_expired")
            await self._judge(decision, call)
        except Refused as refused:
            decision.refuse(refused)
        return decision

    def call_of_message(self, method: str, rpc_id: str | int | None, params: Mapping[str, Any] | None) -> Call:
        """The call a message makes, read from a framework's objects by the reader that `judge` uses on the body: two
        readers could differ. Raises `Malformed`."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if rpc_id is not None:
            message["id"] = rpc_id
        message["params"] = {name: params[name] for name in _JUDGED_PARAMS if name in params} if params else {}
        return call_of(read_envelope(json.dumps(message).encode(), key=self._hash_key))

    def render(self, decision: Decision) -> Response:
        """The HTTP answer to a refused decision."""
        if decision.refusal is None:
            raise ValueError("an allowed decision is answered by the server")
        rpc_id = None if decision.call is None else decision.call.id
        return render(decision.refusal, request_id=decision.request_id, rpc_id=rpc_id, challenge=self._challenge)

    def explain(self, tool: str, *, scopes: Iterable[str] = ()) -> str:
        """Which rule governs a tool, what it asks for, and whether these scopes are enough, as text."""
        call = Call("request", "tools/call", 0, "tool", tool, None)
        try:
            rule = self.policy.rule_for(call)
        except Forbidden:
            rule = None
        if rule is None:
            return f"{tool}: no rule matches, so nobody may call it"
        given = tuple(scopes)
        enough = self.policy.effective(given).issuperset(rule.scopes)
        lines = [
            f"{tool}: governed by match = {rule.match!r} ({rule.mode})",
            f"  scopes: {' '.join(rule.scopes) or 'none'}",
            f"  with {' '.join(given) or 'no scopes'}: {'allowed' if enough else 'refused (insufficient_scope)'}",
        ]
        lines += [f"  {line}" for line in self._spender.describe(rule)]
        if rule.confirm:
            lines.append("  a human confirms each call")
        return "\n".join(lines)

    def revoke(
        self,
        *,
        token_id: str | None = None,
        subject: str | None = None,
        client: str | None = None,
        agent: str | None = None,
        issuer: str | None = None,
    ) -> None:
        """Refuse from now on what these name, also where it was verified before: a token by its id, every token of a
        subject or of a client, an agent."""
        self._tokens.revocations.revoke(token_id=token_id, subject=subject, client=client, agent=agent, issuer=issuer)

    def now(self) -> float:
        """Seconds since the epoch, by the gate's clock."""
        return self._clock()

    def close(self) -> None:
        """Write what waits and close the audit trail."""
        self._spender.close()
        self._trail.close()

    async def flush(self) -> None:
        """Write what waits, and give back to the store what was taken from it in advance: what a server does when it
        ends, and may do at any time."""
        await self._spender.flush()

    async def aclose(self) -> None:
        """`flush` and `close`."""
        await self.flush()
        self.close()

    def _alarm(self, slug: str) -> None:
        self.alarms[slug] += 1
        _log.warning("%s", slug)

    async def _judge(self, decision: Decision, call: Call) -> None:
        caller = decision.caller
        rule = decision.rule = self.policy.rule_for(call)
        if rule is not None:
            self._authorise(decision, rule, caller.effective)
        self._trail.ensure_writable()
        spending = caller.spendings.get(id(rule))
        if spending is None:
            spending = self._spender.spending(caller.principal, rule, governed=call.target is not None)
            caller.spendings[id(rule)] = spending
        # Before the budgets: a slot costs nothing, and comes back by itself when the decision closes.
        held = decision.held = self._spender.hold(spending, nested=decision.parent_id is not None)
        if held is not None:
            decision.would_deny += held.would_deny
        grant = decision.grant = await self._spender.admit(spending, tick=self._tick())
        if grant is not None and grant.would_deny:
            decision.would_deny += self._spender.names(spending, grant.would_deny)

    def _authorise(self, decision: Decision, rule: Rule, effective: frozenset[str]) -> None:
        try:
            self.policy.authorise(rule, effective)
            if rule.confirm:
                # Fails closed: whoever could ask a human claims this step.
                raise refusal("confirmation_unavailable")
        except Forbidden as refused:
            if rule.mode != "observe":
                raise
            decision.would_deny += (refused.code,)


def _watched(body: bytes) -> list[str]:
    """The URIs of a ``subscriptions/listen``, in a body that was read strictly before."""
    asked = json.loads(body).get("params", {}).get("notifications")
    uris = asked.get("resourceSubscriptions") if isinstance(asked, dict) else None
    if uris is None:
        return []
    if not isinstance(uris, list) or len(uris) > _MAX_WATCHED or not all(isinstance(uri, str) for uri in uris):
        raise refusal("invalid_request", "resourceSubscriptions is not a list of URIs, or too long")
    return uris


def request_id() -> str:
    """A new id for a request: random, so that ids of several workers never meet and none can be guessed from
    another."""
    return os.urandom(_REQUEST_ID_BYTES).hex()
