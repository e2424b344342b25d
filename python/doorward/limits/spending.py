"""What one call spends: the budgets of the configuration become charges, keyed by verified claims alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from doorward._core import Charge, Charges
from doorward.limits.slots import Slot
from doorward.methods import SESSION
from doorward.principal import Principal, joined
from doorward.settings import Budget, Limits, Rule, budgets_of

__all__ = ["MAX_WAITING", "Label", "Spending", "asking_of", "charged", "digest", "spending_of"]

MAX_WAITING: Final = 8
"""Questions of one client that wait for an answer within a call, in each process: an eighth of the threads in which
approvers block (`doorward.confirmation.approvers`). Each holds its body, and a thread, a connection or a session."""


@dataclass(frozen=True, slots=True)
class Label:
    """What the caller is told of one charge."""

    budget: str
    limit: str
    scope: str


@dataclass(frozen=True, slots=True)
class Spending:
    """What every call of one caller under one rule spends: made once, admitted on each call."""

    rule: Rule | None
    """Held, so that no other rule can take its identity."""
    domain: str
    charges: Charges
    labels: dict[str, Label]
    """By the key of the charge."""
    slots: tuple[Slot, ...]
    nested_slots: tuple[Slot, ...]
    """Those of a call that another call of the same client leads to: it counts as one of the client's with that."""
    streams: tuple[Slot, ...]
    """That of a stream, where what spends this may open one."""
    on_error: str


def spending_of(
    principal: Principal, rule: Rule | None, *, limits: Limits, governed: bool, opening: str | None = None
) -> Spending:
    """The charges of one message: those of its rule; for a ``governed`` call those of its client and its organisation;
    for a handshake the client's budget of handshakes. Other messages, such as lists, spend what a method rule says and
    nothing else. ``opening``: the method of a handshake (`HANDSHAKES`)."""
    found = tuple(charged(principal, rule, limits=limits, governed=governed, opening=opening))
    own = tuple(_rule_slots(principal, rule))
    if opening == SESSION:
        own += (Slot(digest(joined("sessions", principal.identity)), limits.sessions, "sessions"),)
    return Spending(
        rule=rule,
        # All buckets of an organisation stand under one lock; without organisation budgets a client has its own.
        domain=digest(principal.organization_identity if limits.organization else principal.identity),
        charges=Charges([charge for charge, _ in found]),
        labels={charge.key: label for charge, label in found},
        slots=own + (tuple(_client_slots(principal, limits)) if governed else ()),
        nested_slots=own,
        streams=() if governed else (_stream_slot(principal, limits),),
        on_error=(rule.on_error if rule is not None else None) or limits.on_error,
    )


def asking_of(principal: Principal, asks: Sequence[Budget | str], *, limits: Limits, reads: bool) -> Spending:
    """What asking a human costs the client, whatever it asks about, and its place among the client's questions that
    wait for an answer. ``reads``: what only reading the message costs, which has budgets of the same size and no
    place."""
    charge = _Charges(1, limits)
    key = digest(joined("confirmation, read" if reads else "confirmation", principal.identity))
    found = [(charge(key, budget), Label("confirmation", budget.rate, "client")) for budget in budgets_of(asks)]
    return Spending(
        rule=None,
        domain=digest(principal.organization_identity if limits.organization else principal.identity),
        charges=Charges([charge for charge, _ in found]),
        labels={charge.key: label for charge, label in found},
        slots=() if reads else (_waiting_slot(principal),),
        nested_slots=(),
        streams=(),
        on_error=limits.on_error,
    )


def charged(
    principal: Principal, rule: Rule | None, *, limits: Limits, governed: bool, opening: str | None = None
) -> Iterator[tuple[Charge, Label]]:
    """Each charge of such a message with its label."""
    if opening is not None:
        key = digest(joined("handshake", principal.identity))
        for budget in budgets_of([limits.handshake]):
            # One token, whatever a method rule says that the message costs its own budgets.
            yield _Charges(1, limits)(key, budget), Label("handshake", budget.rate, "client")
    cost = rule.cost if rule is not None else 1
    charge = _Charges(cost, limits)
    if governed:
        organization = digest(joined("organization", principal.organization_identity))
        for budget in budgets_of(limits.organization):
            yield charge(organization, budget), Label("organization", budget.rate, "organization")
        client = digest(joined("client", principal.identity))
        for budget in budgets_of(limits.client):
            yield charge(client, budget), Label("client", budget.rate, "client")
    if rule is not None:
        own = digest(joined(type(rule).__name__, rule.match, principal.identity))
        observe = rule.mode == "observe"
        for budget in budgets_of(rule.limit):
            yield charge(own, budget, observe=observe), Label(rule.match, budget.rate, "client")
        total = digest(joined(type(rule).__name__, rule.match))
        for budget in budgets_of(rule.total_limit):
            yield charge(total, budget, observe=observe, shared=True), Label(rule.match, budget.rate, "total")


class _Charges:
    """Makes the charges of one call."""

    def __init__(self, cost: int, limits: Limits) -> None:
        self._cost = cost
        # A store knows what the others spend; without one each instance takes its share.
        self._instances = limits.shares if limits.url is None else 1

    def __call__(self, kind: str, budget: Budget, *, observe: bool = False, shared: bool = False) -> Charge:
        # The unit belongs to the key and the limit does not: a changed limit keeps what was spent.
        return Charge(
            f"{budget.unit}/{kind}",
            budget.limit,
            cost=self._cost,
            observe=observe or budget.mode == "observe",
            shared=shared,
            instances=self._instances,
        )


def _rule_slots(principal: Principal, rule: Rule | None) -> Iterator[Slot]:
    if rule is not None and rule.concurrency is not None:
        key = digest(joined("in flight", type(rule).__name__, rule.match, principal.identity))
        yield Slot(key, rule.concurrency, rule.match, observe=rule.mode == "observe")


def _client_slots(principal: Principal, limits: Limits) -> Iterator[Slot]:
    if limits.concurrency is not None:
        yield Slot(digest(joined("in flight", principal.identity)), limits.concurrency, "client")


def _stream_slot(principal: Principal, limits: Limits) -> Slot:
    return Slot(digest(joined("streams", principal.identity)), limits.streams, "streams")


def _waiting_slot(principal: Principal) -> Slot:
    return Slot(digest(joined("waiting", principal.identity)), MAX_WAITING, "confirmation")


def digest(identity: str) -> str:
    """One length for all: claims and URIs can be long, and keys are kept for every caller and rule."""
    return sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
