"""The keys of one issuer, as the verifier of its tokens sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from doorward._core import Verifier
from doorward.settings import Issuer
from doorward.tokens.skipped_keys import log_skipped
from doorward.tokens.verified import Voucher

__all__ = ["GivenKeys", "Keys"]


class Keys(Voucher, Protocol):
    """Where an issuer's verifier comes from."""

    @property
    def fresh_until(self) -> float:
        """Seconds since the epoch; then what was verified with these keys is verified anew, so that somebody looks
        whether they still count."""

    async def verifier(self, *, now: float) -> Verifier:
        """The verifier with the keys known now. Raises `Unavailable` while there are none, or none but too old ones."""

    async def renewed(self, *, now: float) -> bool:
        """Look for a key that the verifier does not know; whether there is anything new to try. Raises `Unavailable`
        where looking fails: then nobody knows whether the key is good."""


class GivenKeys:
    """Keys that stand in the configuration: they change with it and never otherwise."""

    generation = 0
    fresh_until = float("inf")

    def __init__(self, issuer: Issuer, audiences: Sequence[str]) -> None:
        keys = issuer.given_keys()
        log_skipped(issuer.url, keys.skipped)
        self._verifier = issuer.verifier(keys, audiences)

    def withdraw(self) -> None:
        """See `Voucher`."""
        self.generation += 1

    async def verifier(self, *, now: float) -> Verifier:
        """The one verifier there is."""
        return self._verifier

    async def renewed(self, *, now: float) -> bool:
        """Never: there is nowhere to look."""
        return False
