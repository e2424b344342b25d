"""Questions of one gate: asked, answered, carried through the tool's own rounds; each bound to one call, and good for
one."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from doorward._core import hash_arguments
from doorward.confirmation.consent import MAX_ROUNDS, Consent
from doorward.confirmation.kept import USED, Kept, KeptHere
from doorward.confirmation.keys import ConfiguredKey
from doorward.confirmation.message import METHODS, Brought, is_accepted
from doorward.confirmation.question import Approver, Ask, NotAsked, Question
from doorward.confirmation.shown import in_words
from doorward.confirmation.state import ASKED, State, Unread, new_key, new_nonce, read
from doorward.errors import Forbidden, Unavailable, refusal
from doorward.principal import Principal, joined
from doorward.request import Call
from doorward.settings import Confirmation, Rule, budgets_of

if TYPE_CHECKING:
    from doorward._redis import Store

__all__ = ["Confirmations"]

_GRACE_SECONDS: Final = 60.0
"""For how long a question is known after it has expired, so that a late answer is told so."""


class Confirmations:
    """What one configuration makes of calls that have to be confirmed."""

    def __init__(
        self,
        settings: Confirmation,
        *,
        resource: str,
        clock: Callable[[], float],
        alarm: Callable[[str], None] = lambda slug: None,
        approver: Approver | None = None,
        store: Store | None = None,
        prefix: str = "doorward",
        before: Confirmations | None = None,
    ) -> None:
        """``alarm`` is told ``approver_failing`` or ``confirmation_key_unreadable``. Those of a successor know the
        questions that were asked ``before``, and the key they were asked with. Raises `ValueError` for two approvers,
        and `TypeError` for one that cannot be called."""
        if approver is not None and settings.webhook is not None:
            raise ValueError("approver must not stand beside [confirmation] webhook: one of them answers")
        self.settings = settings
        self._alarm = alarm
        self._resource = resource
        self._clock = clock
        self._ask: Ask | None = None if approver is None else _asker(approver)
        if settings.webhook is not None and settings.webhook_key is not None:
            # Most gates ask nobody over the network, and TLS takes long to import.
            from doorward.confirmation.webhook import Webhook

            self._ask = _asker(Webhook(settings.webhook, ConfiguredKey(settings.webhook_key, alarm=alarm), clock=clock))
        self._key = ConfiguredKey(settings.key, alarm=alarm, keeps=settings.lifetime)
        if before is not None:
            self._key.replaces(before._key, clock())
        self._kept: Kept = KeptHere() if store is None else _kept_in(store, prefix)
        if before is not None:
            self._kept = before._kept

    @property
    def has_approver(self) -> bool:
        """Whether the operator has named somebody to answer; then nobody else is asked."""
        return self._ask is not None

    def describe(self) -> Iterator[str]:
        """Who answers, and how often one may be asked, a line each."""
        who = "the operator's approver" if self.has_approver else "the client"
        yield f"each call is confirmed within {self.settings.lifetime:g} s: by {who}"
        for budget in budgets_of(self.settings.asks):
            observed = " (observed)" if budget.mode == "observe" else ""
            yield f"asking spends 1 of {budget.limit} for confirmation (client){observed}"

    def ensure_possible(self, call: Call, *, by_client: bool) -> None:
        """Raises `Forbidden` where nobody can be asked about such a call."""
        if call.kind != "request" or call.method not in METHODS or not (by_client or self.has_approver):
            raise refusal("confirmation_unavailable")

    def about(self, call: Call, brought: Brought, *, principal: Principal, rule: Rule, request_id: str) -> Consent:
        """Nothing is known yet: what is asked, and what an answer is bound to."""
        digest = _digest_of(call, brought)
        name, kind = call.name or "", call.target or ""
        deadline = self._clock() + self.settings.lifetime

        def worded() -> Question:
            text = in_words(
                kind,
                name,
                brought.arguments,
                client=principal.client_id or principal.subject,
                organization=principal.organization,
                digest=digest,
                version=brought.version,
            )
            return Question(
                kind=kind,
                tool=name,
                arguments=brought.arguments,
                principal=principal,
                request_id=request_id,
                deadline=deadline,
                text=text,
                version=brought.version,
            )

        what = (call.method, kind, name, type(rule).__name__, rule.match, digest, brought.version)
        who = (principal.identity, principal.organization, _actor_of(principal))
        binding = joined("confirmation", *who, self._resource, *what)
        return Consent(worded, brought, binding, request_id=request_id, client=principal.identity)

    # --- through the client, by results -----------------------------------------------------------------------------

    async def find(self, state: str) -> tuple[Unread, bytes]:
        """What the client brought back, and the key of its question: before anything is made of the call. Raises
        `Forbidden`: of no question, used, expired; or `Unavailable`."""
        unread = read(state)
        key = await self._kept.key_of(unread.nonce, now=self._clock())
        if key is None:
            raise refusal("confirmation_expired", "nobody knows the question")
        if key == USED:
            raise refusal("confirmation_used")
        return unread, key

    def open(self, consent: Consent, unread: Unread, key: bytes) -> None:
        """Read it for this call. Raises `Forbidden`: not of this call, or expired."""
        now = self._clock()
        opened = self._verified(unread, key, consent.binding)
        if opened.stage == ASKED and self.has_approver:
            raise refusal("confirmation_invalid", "the approver answers, and the client was asked before there was one")
        if opened.expires <= now:
            raise refusal("confirmation_expired")
        consent.opened, consent.nonce = opened, unread.nonce

    def is_answered(self, consent: Consent) -> bool:
        """Whether there is something to judge: an answer, or the tool's own round."""
        opened = consent.opened
        return opened is not None and (opened.stage != ASKED or consent.brought.answer is not None)

    async def ensure_accepted(self, consent: Consent) -> None:
        """Raises `Forbidden` where the client's answer is anything but a yes; that question is then answered."""
        if consent.opened is not None and consent.opened.stage == ASKED and not is_accepted(consent.brought.answer):
            await self.take(consent)
            raise refusal("confirmation_refused", "the client's answer is not a yes")

    async def take(self, consent: Consent) -> None:
        """Use it up: whoever comes second is refused. Raises `Forbidden` or `Unavailable`."""
        if not await self._kept.take(consent.nonce, now=self._clock()):
            raise refusal("confirmation_used")

    async def prepare(self, consent: Consent) -> None:
        """Make the state to ask with. Raises `Unavailable`."""
        expires = consent.question.deadline
        consent.asking = await self._sealed(State(ASKED, consent.request_id, expires, 0, None), consent)

    async def carry(self, consent: Consent, inner: str | None) -> str:
        """The state for a round that the tool itself has asked for. Raises `Unavailable`, `Forbidden` after too many
        rounds, and `ValueError` where the tool's own state is too large."""
        if consent.rounds >= MAX_ROUNDS:
            raise refusal("confirmation_expired", "the tool asks without end")
        expires = self._clock() + self.settings.lifetime
        return await self._sealed(consent.continued(inner, expires=expires), consent)

    # --- within the call --------------------------------------------------------------------------------------------

    async def consult(self, consent: Consent, *, ended: Callable[[], None]) -> bool:
        """Ask the operator's approver; whether it says yes. ``ended`` is called when the work of asking has ended: for
        an approver that blocks that can be long after nobody waits for it any more, and from its thread. Raises
        `Forbidden` where nobody answers in time, `Unavailable` where asking failed, and `NotAsked` where it did so
        before anybody could have been asked."""
        from doorward.confirmation.approvers import answer_of

        try:
            if self._ask is None:
                raise refusal("confirmation_unavailable")
            seconds = max(0.0, consent.question.deadline - self._clock())
            # Here, where asking is paid for: a body of empty lists takes a second to copy.
            own = replace(consent.question, arguments=deepcopy(dict(consent.question.arguments)))
        except BaseException:
            ended()
            raise
        try:
            return await answer_of(self._ask, own, seconds=seconds, ended=ended)
        except (Unavailable, NotAsked):
            self._alarm("approver_failing")
            raise

    async def _sealed(self, state: State, consent: Consent) -> str:
        nonce, key = new_nonce(), new_key()
        now = self._clock()
        text = state.sealed(nonce, key=_combined(self._key.now(now), key), binding=consent.binding)
        await self._kept.put(nonce, key, client=consent.client, seconds=state.expires - now + _GRACE_SECONDS, now=now)
        return text

    def _verified(self, unread: Unread, key: bytes, binding: str) -> State:
        current, *retired = self._key.all(self._clock())
        for configured in retired:
            with suppress(Forbidden):
                return unread.verified(key=_combined(configured, key), binding=binding)
        return unread.verified(key=_combined(current, key), binding=binding)


def _digest_of(call: Call, brought: Brought) -> str:
    """That of the record, which was made when the body was read; one with a key is no hash that others can make."""
    own = call.arguments_hash
    return own if own is not None and own.startswith("sha256:") else hash_arguments(dict(brought.arguments))


def _actor_of(principal: Principal) -> str | None:
    """Who acts for the subject (RFC 8693 section 4.1): the same client may do so for several, and not alike."""
    actor = principal.claims.get("act")
    return None if actor is None else hash_arguments({"act": actor})


def _asker(approver: Approver) -> Ask:
    # Most gates have none, and threads take long to import.
    from doorward.confirmation.approvers import asker

    return asker(approver)


def _combined(configured: bytes, own: bytes) -> bytes:
    return hmac.new(configured or b"doorward", own, hashlib.sha256).digest()


def _kept_in(store: Store, prefix: str) -> Kept:
    # Most processes share nothing.
    from doorward.confirmation.kept_in_store import KeptInStore

    return KeptInStore(store, prefix=prefix)
