"""The gate: who is calling, may they, may they now - and one record of that decision. The order of the steps stands in
`steps`; here is what people hold in their hands."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread

from doorward._core import Recognised
from doorward.audit import redact
from doorward.confirmation import Approver
from doorward.confirming import Confirming
from doorward.decision import Decision
from doorward.errors import Refused
from doorward.explanation import Explanation
from doorward.metadata import Metadata
from doorward.principal import Principal
from doorward.rendering import Response
from doorward.request import Call, Request
from doorward.settings import (
    MAX_BODY_BYTES,
    MAX_MESSAGE_BYTES,
    Agents,
    Audit,
    Configuration,
    Confirmation,
    Issuer,
    Limits,
    MethodRule,
    PromptRule,
    ResourceRule,
    Revocation,
    ToolRule,
)
from doorward.startup import Finding, Summary, findings_about_tools, summarise, unreachable_issuer
from doorward.steps import Steps, fail
from doorward.telemetry import Telemetry
from doorward.transport import Transport

if TYPE_CHECKING:
    from doorward.config import Source

__all__ = ["Gate"]

_log = logging.getLogger("doorward")


class Gate:
    """Decides about every message of one resource.

    ``resource`` is the URL that clients use: it drives the metadata, the challenge and the expected audience.
    ``scopes`` is the hierarchy: a scope and those it implies. The element types stand in `doorward.settings`.
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
        confirmation: Confirmation | None = None,
        approver: Approver | None = None,
        audiences: Sequence[str] = (),
        organization_claim: str | None = None,
        challenge_scopes: Sequence[str] | None = None,
        allowed_hosts: Sequence[str] = (),
        allowed_origins: Sequence[str] = (),
        trusted_proxies: Sequence[str] = (),
        client_certificate: str | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        filter_lists: bool = True,
        clock: Callable[[], float] = time.time,
        tick: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``approver``: who confirms calls under a rule with ``confirm = true``, a function of a `Question` that may be
        asynchronous; without one the client does. Raises `ValueError` for a configuration that cannot be right
        and `OSError` when the audit trail cannot be opened."""
        self.alarms: Counter[str] = Counter()
        """What an operator should know, by slug: how often it happened."""
        self._clock = clock
        self._tick = tick
        self._approver = approver
        self._source: Source | None = None
        self._telemetry = Telemetry()
        self._is_announced = False
        self._reported: set[Finding] = set()
        self._steps = Steps(
            Configuration(
                resource=resource,
                issuers=issuers,
                agents=agents,
                revocation=revocation,
                tools=tools,
                resources=resources,
                prompts=prompts,
                methods=methods,
                scopes={} if scopes is None else scopes,
                limits=Limits() if limits is None else limits,
                audit=Audit() if audit is None else audit,
                confirmation=Confirmation() if confirmation is None else confirmation,
                audiences=audiences,
                organization_claim=organization_claim,
                challenge_scopes=challenge_scopes,
                allowed_hosts=allowed_hosts,
                allowed_origins=allowed_origins,
                trusted_proxies=trusted_proxies,
                client_certificate=client_certificate,
                max_body_bytes=max_body_bytes,
                max_message_bytes=max_message_bytes,
                filter_lists=filter_lists,
            ),
            clock=clock,
            tick=tick,
            alarm=self._alarm,
            approver=approver,
            telemetry=self._telemetry,
        )

    @classmethod
    def from_file(cls, path: str | PathLike[str], *, watch: bool = False, approver: Approver | None = None) -> Gate:
        """The gate that a ``doorward.toml`` describes; with ``watch`` it is read again when it changes. Raises
        `ValueError` naming the file, the table, the key and the line."""
        from doorward.config import Source

        source = Source(path, watched=watch)
        settings = source.load()
        try:
            gate = cls(**settings, approver=approver)
        except (OSError, ValueError) as error:
            raise source.located(error) from None
        gate._source = source
        return gate

    @property
    def configuration(self) -> Configuration:
        """What decides now."""
        return self._steps.configuration

    @property
    def resource(self) -> str:
        """The URL that clients use."""
        return self._steps.configuration.resource

    @property
    def max_body_bytes(self) -> int:
        """Larger bodies are refused."""
        return self._steps.configuration.max_body_bytes

    @property
    def metadata(self) -> Metadata:
        """What clients read to find the authorization server (RFC 9728)."""
        return self._steps.metadata

    @property
    def transport(self) -> Transport:
        """What is asked of a request before its credentials."""
        return self._steps.transport

    def reload(self, configuration: Configuration | None = None) -> None:
        """Decide by another configuration from now on: that of the file the gate was made from, which is read again,
        or the one given. All or nothing: raises `ValueError` or `OSError`, and then nothing has changed. A decision
        ends under the configuration it began with; what was spent and revoked stays so."""
        if configuration is None:
            if self._source is None:
                raise ValueError("configuration is missing: this gate was not made from a file")
            loaded = self._source.load()
            try:
                self.reload(Configuration(**loaded))
            except (OSError, ValueError) as error:
                raise self._source.located(error) from None
            return
        self._steps.configuration.check_successor(configuration)
        before = self._steps
        self._steps = Steps(
            configuration,
            clock=self._clock,
            tick=self._tick,
            alarm=self._alarm,
            approver=self._approver,
            telemetry=self._telemetry,
            before=before,
        )
        before.tokens.give_way_to(self._steps.tokens)
        if self._is_announced:
            self._report(self.summary.problems)

    @property
    def summary(self) -> Summary:
        """What the configuration does, and what in it will fail at the first call."""
        return summarise(self.configuration, self._steps.tokens.agents)

    async def check_start(self, tools: Callable[[], Awaitable[Sequence[str]]] | None = None) -> None:
        """Log what only a running server can find out: issuers whose keys cannot be fetched, and tools without a rule.
        ``tools``: returns the names of the server's tools."""
        unreachable = await self._steps.tokens.unreachable_issuers(now=self._clock())
        self._report(map(unreachable_issuer, unreachable))
        if tools is not None:
            self._report(findings_about_tools(self.configuration, await tools()))

    def protect(self, server: Any, **options: Any) -> Any:
        """The ASGI app that serves ``server`` - an `MCPServer`, a low-level `Server`, or any ASGI app - behind this
        gate, at the resource's path. ``options`` go to the SDK's app. Raises `ValueError` for a server that brings
        auth of its own."""
        from doorward.adapters import protect

        self._announce()
        return protect(self, server, **options)

    def well_known(self) -> Any:
        """The metadata alone, as an ASGI app: ``Mount("/.well-known", gate.well_known())`` where the protected app is
        itself mounted below a path, since clients ask for it at the root of the host (RFC 9728 section 3.1)."""
        from doorward.adapters import well_known

        return well_known(self)

    def protect_stdio(
        self, server: Any, *, token_file: str | PathLike[str] | None = None, token_env: str | None = None
    ) -> Any:
        """The server, behind this gate where it is reached without HTTP: ``gate.protect_stdio(server).run("stdio")``,
        and in-memory clients. Whoever starts it gives the caller's token in ``token_file``, which nobody else may
        read, or in the environment (``DOORWARD_TOKEN``). Records that nobody has sent elsewhere go to the standard
        error. Raises `ValueError` where there is no token, and where records are sent to the standard output."""
        from doorward.adapters import LocalCredential, protect_stdio

        self._announce()
        credential = LocalCredential(token_file=token_file, token_env=token_env, alarm=self._alarm)
        self._steps.trail.leave_stdout()
        return protect_stdio(self, server, credential)

    def auth(self) -> Any:
        """For ``FastMCP(auth=gate.auth())``, which then serves itself: the ASGI tier in the place of its own
        authentication. `protect` does the same from outside."""
        from doorward.adapters import auth

        self._announce()
        return auth(self)

    def middleware(self) -> Any:
        """For ``server.add_middleware(gate.middleware())`` beside `auth`. Without a decision it refuses."""
        from doorward.adapters import middleware

        self._announce()
        return middleware(self)

    def token_verifier(self) -> Any:
        """Just the verifier, for the official SDK's or fastmcp's own authentication: who holds a token, and nothing of
        what they may do. No rule, limit or record; ``docs/adapters.md`` says what else is missing then."""
        from doorward.adapters import token_verifier

        self._announce()
        return token_verifier(self)

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
        if request is not None:
            decision, is_call, body = await self.begin(request), request.method == "POST", request.body
        else:
            decision, is_call = await self._begin_call(authorization, peer), True
        if decision.refusal is None and is_call:
            left = self.judge_at_once(decision, body)
            if left is not None:
                await left
        return decision

    def recognise(
        self, headers: object, *, scheme: str, peer: str | None, path: str | None = None
    ) -> tuple[Decision, Recognised[Any] | None] | None:
        """Steps 2 and 3 on the fast path: for a POST without a query whose headers are all known to be harmless and
        whose token is cached and still valid. None means "take the slow path", which is `begin`. ``headers``: a list of
        pairs of bytes, as ASGI has them; ``path``: of the URL, for the record. A decision without a `Recognised` is
        refused for an unexpected error."""
        if self._source is not None and self._source.is_due(self._tick()):
            return None
        return self._steps.recognise(headers, scheme=scheme, peer=peer, path=path)

    async def begin(self, request: Request) -> Decision:
        """Steps 2 and 3, for which no body is needed."""
        await self._look_if_due()
        return await self._steps.begin(request)

    async def judge(self, decision: Decision, body: bytes, *, by_client: bool = False) -> None:
        """Steps 4 to 7, for the request that `begin` let through. ``by_client`` says that whoever asks can have the
        client ask its user, and runs nothing while the decision `is_pending`; else a call that needs a human waits here
        for the operator's approver, or is refused."""
        left = self.judge_at_once(decision, body, by_client=by_client)
        if left is not None:
            await left

    def judge_at_once(self, decision: Decision, body: bytes, *, by_client: bool = False) -> Awaitable[None] | None:
        """`judge` as far as nobody has to be waited for, which mostly is all of it; what is left to be awaited."""
        left: Awaitable[None] | None = decision.steps.judge(decision, body, by_client=by_client)
        return left

    async def judge_message(
        self, parent: Decision, call: Call, params: Mapping[str, Any] | None = None, *, refused: Refused | None = None
    ) -> Decision:
        """Decide anew about a message that the call of ``parent`` led to: same principal, a record of its own. With its
        ``params`` it may be pending, as in `judge`. ``refused``: what its adapter holds against it already."""
        made: Decision = await parent.steps.judge_message(parent, call, params, refused=refused)
        return made

    def fail(self, decision: Decision, error: Exception) -> None:
        """Refuse with ``internal_error`` what an adapter could not have judged because of an unexpected error."""
        fail(decision, error)

    def confirming(self, decision: Decision) -> Confirming:
        """What settles a decision that is pending."""
        found: Confirming = decision.steps.confirming
        return found

    @property
    def has_approver(self) -> bool:
        """Whether the operator answers for calls that have to be confirmed."""
        return self._steps.confirming.confirmations.has_approver

    async def decide_local(
        self, token: Callable[[], str], *, method: str, rpc_id: str | int | None, params: Mapping[str, Any] | None
    ) -> Decision:
        """Decide about a message that came without HTTP, from whoever holds what ``token`` says; the decision may be
        pending."""
        await self._look_if_due()
        return await self._steps.decide_local(token, method=method, rpc_id=rpc_id, params=params)

    async def authenticate(self, token: str) -> Principal:
        """Whose token it is: step 3 alone. No rule, no limit, no record. Raises `Unauthenticated`, or `Unavailable`
        where it cannot be told now."""
        await self._look_if_due()
        return (await self._steps.caller_of(token)).principal

    def made(self, decision: Decision | None) -> bool:
        """Whether it is a decision of this gate, under this or an earlier configuration: another gate's rules say
        nothing about what this one protects."""
        return decision is not None and decision.steps.trail is self._steps.trail

    def ensure_held(self, decision: Decision) -> None:
        """Raises `Unauthenticated` when the credential behind a decision has expired or was withdrawn since."""
        decision.steps.ensure_held(decision)

    def shows(self, decision: Decision, target: str, name: str) -> bool:
        """Whether a list names this to the caller. ``target``: ``tool``, ``resource``, ``template`` or ``prompt``."""
        return not self.configuration.filter_lists or decision.steps.shows(decision, target, name)

    def call_of_message(
        self, method: str, rpc_id: str | int | None, params: Mapping[str, Any] | None, *, under: Decision
    ) -> Call:
        """The call a message makes, read from a framework's objects by the reader that `judge` uses on the body, and
        hashed with the key it used: two readers could differ. Raises `Malformed`."""
        call: Call = under.steps.call_of_message(method, rpc_id, params, under=under)
        return call

    def render(self, decision: Decision) -> Response:
        """The HTTP answer to a refused decision."""
        rendered: Response = decision.steps.render(decision)
        return rendered

    def explain(self, name: str, *, kind: str | None = None, scopes: Iterable[str] = ()) -> Explanation:
        """Which rule governs a tool, resource or prompt, what it asks for, and whether these scopes are enough.
        ``kind``: ``tool``, ``resource`` or ``prompt``; None for a resource where the name is a URI (it contains
        ``://``), and for a tool otherwise. Raises `ValueError` for another kind."""
        return self._steps.explain(name, kind=kind, scopes=scopes)

    def revoke(
        self,
        *,
        token_id: str | None = None,
        subject: str | None = None,
        client: str | None = None,
        agent: str | None = None,
        issuer: str | None = None,
        until: float | None = None,
    ) -> None:
        """Refuse from now on what one of these names, also where it was verified before: a token by its id, every token
        of a subject or of a client, an agent; until ``until`` (seconds since the epoch), when all such tokens have
        expired, or for ever. Every instance with the same store refuses it within a second. Raises `ValueError`."""
        self._steps.tokens.revocations.revoke(
            token_id=token_id, subject=subject, client=client, agent=agent, issuer=issuer, until=until
        )

    def now(self) -> float:
        """Seconds since the epoch, by the gate's clock."""
        return self._clock()

    async def flush(self) -> None:
        """Write what waits, and give back to the store what was taken from it in advance: what a server does when it
        ends, and may do at any time."""
        await self._steps.spender.flush()
        # A server program that was told to end by a signal sends it to itself afterwards: nothing else runs then.
        await to_thread.run_sync(self._steps.trail.rest, limiter=CapacityLimiter(1))
        self._steps.tokens.flush()
        self._telemetry.flush()

    def close(self) -> None:
        """Write what waits, with the last use of agents, and close the audit trail."""
        self._steps.spender.close()
        self._steps.trail.close()
        self._steps.tokens.flush()
        self._telemetry.flush()

    async def aclose(self) -> None:
        """`flush` and `close`."""
        await self.flush()
        self.close()

    async def _begin_call(self, authorization: str | None, peer: str | None) -> Decision:
        parts = urlsplit(self.resource)
        known = self.recognise(_headers(parts.netloc, authorization), scheme="https", peer=peer, path=parts.path)
        if known is not None:
            return known[0]
        headers = () if authorization is None else (("authorization", authorization),)
        return await self.begin(Request("https", parts.netloc, "POST", parts.path, headers=headers, peer=peer))

    async def _look_if_due(self) -> None:
        source = self._source
        if source is not None and source.is_due(tick := self._tick()):
            source.looked_at = tick
            await self._look()

    async def _look(self) -> None:
        """Whether the file is another one; what cannot be read never replaces what could."""
        source = self._source
        if source is None or not source.has_changed():
            return
        try:
            # In a thread, as a thousand rules take long to read; with a limiter of its own, as tools may hold all of
            # anyio's threads.
            await to_thread.run_sync(self.reload, limiter=CapacityLimiter(1))
        except Exception as error:  # also of kinds that no configuration should cause: requests go on
            _log.error("%s; the previous configuration stays in force", error)
            self._alarm("configuration_unreadable")
        else:
            _log.info("%s: read again", source.path)

    def _announce(self) -> None:
        """Log the start-up summary, once. Credentials are redacted in the logs before anything is served: servers log
        the query of each request."""
        redact.install()
        if not self._is_announced:
            self._is_announced = True
            summary = self.summary
            _log.info("protecting %s; credentials are redacted in all logs of this process; %s", self.resource, summary)
            self._report(summary.problems)

    def _report(self, findings: Iterable[Finding]) -> None:
        """Log each finding once."""
        for finding in findings:
            if finding not in self._reported:
                self._reported.add(finding)
                _log.warning("%s: %s", finding.code, finding.message)

    def _alarm(self, slug: str) -> None:
        self.alarms[slug] += 1
        self._telemetry.alarm(slug)
        _log.warning("%s", slug)


def _headers(host: str, authorization: str | None) -> list[tuple[bytes, bytes]] | None:
    if authorization is None or not authorization.isascii():
        return None
    return [(b"host", host.encode()), (b"authorization", authorization.encode())]
