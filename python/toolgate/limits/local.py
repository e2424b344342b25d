"""Budgets in this process: which buckets one call spends, and what a caller over one of them is told.

The arithmetic is the core's (`toolgate.Limiter`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_network

from toolgate._core import Charge, Grant, Limiter
from toolgate.addresses import parse_address
from toolgate.errors import Limited
from toolgate.principal import Principal, joined
from toolgate.settings import Budget, Limits, Rule, budgets_of

__all__ = ["FailedAttempts", "Spender", "Spending"]

_VERIFICATIONS = Charge("verifications", "1000/second burst 100")
"""Of new tokens from addresses that are over their budget: a fiftieth of what one core verifies, so that a flood of
forgeries costs little, and somebody honest behind the same address is still heard."""

_MAX_KNOWN = 10_000
"""Clients and rules whose charges are kept ready, about 2 KiB each."""


@dataclass(frozen=True, slots=True)
class _Label:
    """What the caller is told of one charge."""

    budget: str
    limit: str
    shared_by: str


@dataclass(frozen=True, slots=True)
class Spending:
    """What every call of one caller under one rule spends: made once, admitted on each call."""

    rule: Rule | None
    """Held, so that no other rule can take its identity."""
    domain: str
    charges: tuple[Charge, ...]
    labels: tuple[_Label, ...]


class Spender:
    """Admits calls against the budgets of the configuration."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._limiter = Limiter(max_keys=limits.max_keys)
        self._known: dict[tuple[str, str, int], Spending] = {}

    def spending(self, principal: Principal, rule: Rule | None, *, governed: bool) -> Spending:
        """The charges of one call: the rule's, and for a ``governed`` call those of its client and its organisation.
        Lists and handshakes spend what a method rule says, nothing else."""
        # A client comes back with a new token every few minutes: what it spends stays the same.
        known_by = (principal.identity, principal.organization_identity, id(rule))
        spending = self._known.get(known_by)
        if spending is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            spending = self._known[known_by] = self._spending(principal, rule, governed=governed)
        return spending

    def admit(self, spending: Spending, *, tick: int) -> Grant | None:
        """Spend all or nothing. Raises `Limited` in the words of the configuration."""
        if not spending.charges:
            return None
        try:
            return self._limiter.admit(domain=spending.domain, charges=spending.charges, tick=tick)
        except Limited as limited:
            raise self._explained(limited, spending, tick) from None

    def refund(self, grant: Grant) -> None:
        """Give back what a call spent that never started."""
        self._limiter.refund(grant)

    def names(self, spending: Spending, keys: Iterable[str]) -> tuple[str, ...]:
        """The budgets behind the keys, in the words of the configuration."""
        wanted = set(keys)
        charged = zip(spending.charges, spending.labels, strict=True)
        return tuple(label.budget for charge, label in charged if charge.key in wanted)

    def describe(self, rule: Rule) -> Iterator[str]:
        """The budgets a call under the rule spends, a line each."""
        nobody = Principal("", "", None, None, (), None, 0.0)
        for charge, label in self._charged(nobody, rule, governed=True):
            shared = f" ({label.shared_by})" if label.shared_by else ""
            yield f"spends {charge.cost} of {charge.limit} for {label.budget}{shared}{' (observed)' * charge.observe}"

    def _spending(self, principal: Principal, rule: Rule | None, *, governed: bool) -> Spending:
        charged = tuple(self._charged(principal, rule, governed=governed))
        return Spending(
            rule=rule,
            # All buckets of an organisation stand under one lock; without organisation budgets a client has its own.
            domain=_digest(principal.organization_identity if self._limits.organization else principal.identity),
            charges=tuple(charge for charge, _ in charged),
            labels=tuple(label for _, label in charged),
        )

    def _charged(self, principal: Principal, rule: Rule | None, *, governed: bool) -> Iterator[tuple[Charge, _Label]]:
        cost = rule.cost if rule is not None else 1
        if governed:
            organization = _digest(joined("organization", principal.organization_identity))
            for budget in budgets_of(self._limits.organization):
                yield _charge(organization, budget, cost), _Label("organization", budget.rate, "")
            client = _digest(joined("client", principal.identity))
            for budget in budgets_of(self._limits.client):
                yield _charge(client, budget, cost), _Label("client", budget.rate, "")
        if rule is not None:
            own = _digest(joined(type(rule).__name__, rule.match, principal.identity))
            observe = rule.mode == "observe"
            for budget in budgets_of(rule.limit):
                yield _charge(own, budget, cost, observe=observe), _Label(rule.match, budget.rate, "client")
            total = _digest(joined(type(rule).__name__, rule.match))
            for budget in budgets_of(rule.total_limit):
                charge = _charge(total, budget, cost, observe=observe, shared=True)
                yield charge, _Label(rule.match, budget.rate, "total")

    def _explained(self, limited: Limited, spending: Spending, tick: int) -> Limited:
        position = next(i for i, charge in enumerate(spending.charges) if charge.key == limited.budget)
        worst, label = spending.charges[position], spending.labels[position]
        peek = Charge(worst.key, worst.limit, cost=0, shared=worst.shared, instances=worst.instances)
        left = self._limiter.admit(domain=spending.domain, charges=(peek,), tick=tick).remaining[0]
        return Limited(
            limited.code,
            retry_after=limited.retry_after,
            budget=label.budget,
            violated=self.names(spending, limited.violated),
            limit=label.limit,
            remaining=left,
            shared_by=label.shared_by,
        )


class FailedAttempts:
    """The budget of failed authentications: per peer address, spent by failures alone."""

    def __init__(self, limits: Limits) -> None:
        self._budget = budgets_of([limits.failed_auth])[0]
        # Strangers in a full table are let in: none of them answers for the others.
        self._limiter = Limiter(max_keys=limits.max_keys, overflow=False)
        # Apart, so that no flood of addresses takes its room.
        self._verifications = Limiter(max_keys=1)

    def ensure_left(self, address: str, *, tick: int) -> None:
        """Raises `Limited` when the address has no failure left: nobody is asked about its tokens then."""
        self._limiter.refund(self._spend(address, tick))

    def pace(self, address: str, *, tick: int) -> None:
        """Before a new token is verified: an address over its budget has so many verified in the whole process. Raises
        `Limited` beyond that; whoever behind the address has an honest token only has to try again."""
        try:
            self.ensure_left(address, tick=tick)
        except Limited:
            try:
                self._verifications.admit(domain="", charges=(_VERIFICATIONS,), tick=tick)
            except Limited as limited:
                raise self._over(limited) from None

    def record(self, address: str, *, tick: int) -> None:
        """Count a failure. Raises `Limited` when the address is over its budget."""
        self._spend(address, tick)

    def _spend(self, address: str, tick: int) -> Grant:
        charge = Charge(_site(address), self._budget.limit, observe=self._budget.mode == "observe")
        try:
            return self._limiter.admit(domain="failed_auth", charges=(charge,), tick=tick)
        except Limited as limited:
            raise self._over(limited) from None

    def _over(self, limited: Limited) -> Limited:
        return Limited(
            "too_many_failures",
            retry_after=limited.retry_after,
            budget="failed_auth",
            limit=self._budget.rate,
            shared_by="address",
        )


def _charge(kind: str, budget: Budget, cost: int, *, observe: bool = False, shared: bool = False) -> Charge:
    # The unit belongs to the key and the limit does not: a changed limit keeps what was spent.
    return Charge(
        f"{budget.unit}/{kind}",
        budget.limit,
        cost=cost,
        observe=observe or budget.mode == "observe",
        shared=shared,
    )


def _digest(identity: str) -> str:
    """One length for all: claims and URIs can be long, and keys are kept for every caller and rule."""
    return sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()


def _site(address: str) -> str:
    """The address, or its /64 for IPv6: whoever has one address of a /64 has all of them."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((int(parsed), 64), strict=False))
    return address if parsed is None else str(parsed)
