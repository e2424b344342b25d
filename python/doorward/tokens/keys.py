"""The keys of one issuer, as the verifier of its tokens sees them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from typing import Protocol

from doorward._core import Claims, KeySet, Verifier
from doorward.settings import Issuer
from doorward.tokens.skipped_keys import log_skipped
from doorward.tokens.verified import Standing, Voucher

__all__ = ["GivenKeys", "Keys", "Published"]


class Published:
    """One key set of an issuer, and which of its keys verified what."""

    def __init__(
        self, issuer: Issuer, keys: KeySet, audiences: Sequence[str], *, before: Published | None = None
    ) -> None:
        """``before``: the set that this one replaces. Keys that are in both keep their `Standing`."""
        known: dict[bytes, Standing] = {} if before is None else before._standings
        self._verifier: Verifier = issuer.verifier(keys, audiences)
        self._standings: dict[bytes, Standing] = {each: known.get(each) or Standing() for each in keys.fingerprints}

    @property
    def standings(self) -> Collection[Standing]:
        """Those of its keys."""
        return self._standings.values()

    def has_keys_of(self, keys: KeySet) -> bool:
        """Whether the usable keys are the same ones, in whichever order."""
        return self._standings.keys() == set(keys.fingerprints)

    def verify(self, token: str, *, now: float, certificate_sha256: bytes | None) -> tuple[Claims, Standing]:
        """The token's claims, and the standing of the key that verified it. Raises `Unauthenticated`."""
        claims = self._verifier.verify(token, now=now, certificate_sha256=certificate_sha256)
        return claims, self._standings[claims.key_fingerprint]

    def withdraw(self, *, keep: Container[Standing] = ()) -> None:
        """Withdraw the keys whose standing is not in ``keep``."""
        for standing in self._standings.values():
            if standing not in keep:
                standing.withdraw()


class Keys(Voucher, Protocol):
    """Where the keys of an issuer come from."""

    @property
    def fresh_until(self) -> float:
        """Seconds since the epoch; then what was verified with these keys is verified anew, so that somebody looks
        whether they still count."""

    async def published(self, *, now: float) -> Published:
        """The keys known now. Raises `Unavailable` while there are none, or none but too old ones."""

    async def renewed(self, seen: Published, *, now: float) -> bool:
        """Look for a key that is not in ``seen``; whether there is anything new to try. Raises `Unavailable` where
        looking fails: then nobody knows whether the key is good."""

    async def replaced(self, seen: Published, *, now: float, charge: Callable[[], None]) -> bool:
        """Look whether a key of ``seen`` that did not verify a signature was replaced under its `kid`; whether there is
        anything new to try. ``charge`` is called before anything is fetched, and may refuse."""


class GivenKeys:
    """Keys that stand in the configuration: they change with it and never otherwise."""

    fresh_until = float("inf")

    def __init__(self, issuer: Issuer, audiences: Sequence[str], *, before: GivenKeys | None = None) -> None:
        """``before``: the keys that the configuration gave so far. Those that it still gives stay valid."""
        known = None if before is None else before._published
        keys = issuer.given_keys()
        log_skipped(issuer.url, keys.skipped)
        self._published: Published = Published(issuer, keys, audiences, before=known)

    @property
    def standings(self) -> Collection[Standing]:
        """See `Voucher`."""
        return self._published.standings

    def retire(self, *, keep: Container[Standing]) -> None:
        """See `Voucher`."""
        self._published.withdraw(keep=keep)

    async def published(self, *, now: float) -> Published:
        """The one set there is."""
        return self._published

    async def renewed(self, seen: Published, *, now: float) -> bool:
        """Never: there is nowhere to look."""
        return False

    async def replaced(self, seen: Published, *, now: float, charge: Callable[[], None]) -> bool:
        """Never: there is nowhere to look."""
        return False
