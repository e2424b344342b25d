"""Step 7: the confirmation, before the call runs. Only here is it known that asking and calling have different budgets.

A call without an answer spends what asking costs; the answered one spends what its rule says, then takes the question,
and has its budgets back where somebody else has taken it already.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from doorward.admitting import Admitting
from doorward.confirmation import Confirmations, Consent, NotAsked, Unread, brought_by
from doorward.decision import Decision
from doorward.errors import Limited, Refused, refusal
from doorward.limits import Spending
from doorward.request import Call
from doorward.settings import Rule

if TYPE_CHECKING:
    from doorward._core import Grant, RemoteGrant

__all__ = ["Confirming"]

_LARGE: Final = 65_536
"""Bytes of a body that are read into objects in a few milliseconds."""


class Confirming:
    """What one configuration makes of rules with ``confirm = true``."""

    def __init__(
        self,
        confirmations: Confirmations,
        admitting: Admitting,
        *,
        ensure_still: Callable[[Decision], None],
        tick: Callable[[], int],
    ) -> None:
        """``ensure_still`` looks at the credential and the trail again."""
        self.confirmations = confirmations
        self._admitting = admitting
        self._spender = admitting.spender
        self._ensure_still = ensure_still
        self._tick = tick

    async def judge(
        self,
        decision: Decision,
        call: Call,
        rule: Rule,
        spending: Spending,
        params: Callable[[], Any],
        *,
        size: int,
        by_client: bool,
    ) -> None:
        """Where the message brings an answer, judge it. Otherwise the decision waits for one: for a message tier where
        the client may be asked, for the approver right here where it may not. ``size``: of the body that ``params``
        are read from, 0 where they are there already. Raises `Refused`."""
        self.confirmations.ensure_possible(call, by_client=by_client)
        # Only what is good is read for free: four megabytes of empty lists take everybody's time, 0.3 s. Its budgets
        # are as large as those of asking and apart from them: there must be room for each question's answer.
        paid = await self._pay(decision, reads=True) if size > _LARGE else None
        decision.hash_arguments()
        call = decision.call or call
        brought = brought_by(params())
        found = None if brought.state is None else await self.confirmations.find(brought.state)
        principal = decision.caller.principal
        consent = decision.consent = self.confirmations.about(
            call, brought, principal=principal, rule=rule, request_id=decision.request_id
        )
        consent.spending = spending
        is_answered = found is not None and await self._is_answered(decision, consent, *found)
        if is_answered:
            await self._judge_answer(decision, consent)
        else:
            await self._begin_to_ask(decision, consent, by_client=by_client)
        if paid is not None:
            await self._spender.settle(paid, 0)
        if not is_answered and not by_client:
            await self._consult(decision, consent)

    async def consult(self, decision: Decision) -> None:
        """Ask the operator's approver; the decision may run afterwards, or is refused."""
        await self._settling(decision, self._consult)

    def hold(self, decision: Decision) -> Callable[[], None]:
        """Its place among the calls in flight, where it has none yet, and one among its client's questions that wait
        for an answer within a call. Both are held until what is returned is called, which may be after the decision has
        ended: the work may go on without it. Raises `Limited`."""
        if decision.consent is not None:
            self._admitting.hold(decision, decision.consent.spending)
        asking = self._spender.asking(decision.caller.principal, self.confirmations.settings.asks)
        waiting = self._spender.hold(asking, nested=False, streams=False)
        in_flight = None if decision.held is None else decision.held.shared()

        def free() -> None:
            for held in (waiting, in_flight):
                if held is not None:
                    held.free()

        return free

    async def answered(self, decision: Decision, *, accepted: bool) -> None:
        """The client has answered within the call; the decision may run afterwards, or is refused."""

        async def judge(decision: Decision, consent: Consent) -> None:
            if not accepted:
                raise refusal("confirmation_refused", "the client's answer is not a yes")
            await self._confirm(decision, consent, by="client")

        await self._settling(decision, judge)

    async def give_up(self, decision: Decision, refused: Refused, *, is_asked: bool = True) -> None:
        """Nobody answered, or nobody could be asked: then asking has cost nothing, unless a question is kept for it.
        What may have reached a human stays spent: whoever is asked all the time says yes without looking."""
        consent = decision.consent
        if consent is not None and not is_asked and consent.asking is None:
            await self._refund_asking(consent)
        decision.refuse(refused)

    async def _is_answered(self, decision: Decision, consent: Consent, unread: Unread, key: bytes) -> bool:
        self.confirmations.open(consent, unread, key)
        if self.confirmations.is_answered(consent):
            # The question led to this call, and the record says so.
            decision.parent_id = consent.asked_in
            return True
        # Brought back without an answer. The new question takes the place of the old one: one call, one yes.
        await self.confirmations.take(consent)
        consent.opened = None
        return False

    async def _judge_answer(self, decision: Decision, consent: Consent) -> None:
        await self.confirmations.ensure_accepted(consent)
        await self._admitting.spend(decision, consent.spending)
        try:
            await self.confirmations.take(consent)
        except Refused:
            if decision.grant is not None:
                await self._spender.settle(decision.grant, 0)
            raise
        consent.given = True
        if consent.rounds == 0:
            decision.note("confirmed", by="client")
        await self._admitting.intend(decision)

    async def _begin_to_ask(self, decision: Decision, consent: Consent, *, by_client: bool) -> None:
        by_approver = self.confirmations.has_approver
        if not by_approver and consent.brought.shows_forms is False:
            raise refusal("confirmation_unavailable", "the client declares no forms")
        is_answer = by_client and not by_approver and bool(consent.brought.shows_forms)
        if not is_answer:
            # It waits here, and is in flight while it does.
            self._admitting.hold(decision, consent.spending)
        consent.grant = await self._pay(decision)
        if is_answer:
            try:
                await self.confirmations.prepare(consent)
            except Refused:
                await self._refund_asking(consent)
                raise

    async def _pay(self, decision: Decision, *, reads: bool = False) -> Grant | RemoteGrant | None:
        asks = self.confirmations.settings.asks
        spending = self._spender.asking(decision.caller.principal, asks, reads=reads)
        grant = await self._spender.admit(spending, tick=self._tick())
        if grant is not None and grant.would_deny:
            decision.would_deny += self._spender.names(spending, grant.would_deny)
        return grant

    async def _consult(self, decision: Decision, consent: Consent) -> None:
        try:
            ended = self.hold(decision)
        except Limited:
            await self._refund_asking(consent)
            raise
        decision.note("asked", by="approver")
        try:
            accepted = await self.confirmations.consult(consent, ended=ended)
        except NotAsked:
            await self._refund_asking(consent)
            raise refusal("approver_unavailable") from None
        if not accepted:
            raise refusal("confirmation_refused", "the approver's answer is not a yes")
        await self._confirm(decision, consent, by="approver")

    async def _confirm(self, decision: Decision, consent: Consent, *, by: str) -> None:
        # Answering may take minutes: the credential may have expired or been withdrawn meanwhile.
        self._ensure_still(decision)
        await self._admitting.spend(decision, consent.spending)
        consent.given = True
        decision.note("confirmed", by=by)
        await self._admitting.intend(decision)

    async def _settling(self, decision: Decision, judge: Callable[[Decision, Consent], Awaitable[None]]) -> None:
        consent = decision.consent
        if consent is None or consent.given or not decision.allowed:
            raise ValueError("the decision waits for nobody")
        try:
            await judge(decision, consent)
        except Refused as refused:
            decision.refuse(refused)

    async def _refund_asking(self, consent: Consent) -> None:
        grant, consent.grant = consent.grant, None
        if grant is not None:
            await self._spender.settle(grant, 0)
