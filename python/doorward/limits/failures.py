"""Failed authentications have a budget of their own: in this process, and spent before anybody else is asked."""

from __future__ import annotations

from copy import copy
from functools import lru_cache
from typing import Final

from doorward._core import Charge, Grant, Limiter
from doorward.addresses import site_of
from doorward.errors import Limited
from doorward.settings import Limits, budgets_of

__all__ = ["FailedAttempts"]

_VERIFICATIONS: Final = Charge("verifications", "1000/second burst 100")
"""Of new tokens from all addresses that are over their budget: a fiftieth of what one core verifies, so that a flood of
forgeries costs little, and an honest caller behind the same address is still heard."""

_SHARE: Final = "500/second burst 50"
"""Of those, from one address: a flood from one leaves half to the others."""

_MAX_KNOWN: Final = 1024
"""Addresses whose charge is kept ready."""


class FailedAttempts:
    """The budget of failed authentications: per peer address, spent by failures alone."""

    def __init__(self, limits: Limits) -> None:
        self._budget = budgets_of([limits.failed_auth])[0]
        # Strangers in a full table are let in: none of them answers for the others.
        self._limiter = Limiter(max_keys=limits.max_keys, overflow=False)
        # Apart, so that no flood of addresses takes its room.
        self._verifications = Limiter(max_keys=1)
        self._shares = Limiter(max_keys=_MAX_KNOWN, overflow=False)

    def succeeded(self, limits: Limits) -> FailedAttempts:
        """The budget of another configuration: who failed stays known."""
        successor = copy(self)
        successor._budget = budgets_of([limits.failed_auth])[0]
        return successor

    def ensure_left(self, address: str, *, tick: int) -> None:
        """Raises `Limited` when the address has no failure left: nobody is asked about its tokens then."""
        self._limiter.refund(self._spend(address, tick))

    def pace(self, address: str, *, tick: int) -> None:
        """Before a new token is verified: of addresses over their budget so many tokens are verified in the whole
        process, and a part of them for one address. Raises `Limited` beyond that; an honest caller behind the address
        has to try again."""
        try:
            self.ensure_left(address, tick=tick)
        except Limited:
            try:
                self._shares.admit(domain="", charges=(_charge(address, _SHARE, False),), tick=tick)
                self._verifications.admit(domain="", charges=(_VERIFICATIONS,), tick=tick)
            except Limited as limited:
                raise self._over(limited) from None

    def record(self, address: str, *, tick: int) -> None:
        """Count a failure. Raises `Limited` when the address is over its budget."""
        self._spend(address, tick)

    def _spend(self, address: str, tick: int) -> Grant:
        charge = _charge(address, self._budget.limit, self._budget.mode == "observe")
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
            scope="failed_auth",
        )


@lru_cache(_MAX_KNOWN)
def _charge(address: str, limit: str, observe: bool) -> Charge:
    return Charge(site_of(address), limit, observe=observe)
