"""Keys that are fetched from their issuer, and outlive its bad day.

Four ages of the keys known, in seconds since they were fetched:

====================  ==================================================================================================
fresh                 they count; nobody waits, nobody looks
due                   they count; the request that finds it starts a task that looks for newer ones, and nobody waits
expired               the first requests wait for newer ones; once that has failed, the old ones count on (`max_stale`)
                      and again a task looks from time to time
dead                  nothing is verified: `Unavailable`
====================  ==================================================================================================

So keys are looked at ahead of their end because of requests and not by a timer: an issuer is left alone by a gate that
nobody asks, no task holds an event loop open or dies unnoticed, and what a timer would add - the first request after
an idle hour - waits for one fetch.

Whatever the reason to look, at most one fetch is under way. One that somebody waits for is shielded from its
requester's cancellation; each is over at its deadline.

A key id that is not known, or a signature that the key of that id does not verify (the issuer may have replaced the key
and kept its id, or publish keys without ids), makes the gate fetch the keys at most every `COOL_DOWN` seconds, for both
reasons together. Which ids and signatures failed is not remembered: an attacker could fill that table, and a key that
appears late would stay unknown. Only the request that starts a fetch because of a signature waits for it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Collection, Container, Sequence
from functools import partial
from threading import Lock
from typing import Final

import anyio

from doorward import background
from doorward._core import KeySet
from doorward.errors import Malformed, Unavailable
from doorward.settings import Issuer
from doorward.tokens.discovery import find_key_set_url
from doorward.tokens.fetch import DEADLINE, MAX_KEY_SET_BYTES, Fetcher, unavailable
from doorward.tokens.flights import Landing
from doorward.tokens.keys import Published
from doorward.tokens.skipped_keys import log_skipped, reasons
from doorward.tokens.verified import Standing

__all__ = ["COOL_DOWN", "FIRST_PAUSE", "LIFETIME", "FetchedKeys", "fetched_document"]

LIFETIME: Final = 3600.0
"""Seconds for which keys count unasked: a withdrawn one dies within them, where nothing else fetches sooner."""

DUE: Final = 0.8 * LIFETIME
"""From here on one request looks for all, so that on an ordinary day none finds the keys expired."""

COOL_DOWN: Final = 30.0
"""Seconds between two fetches because of tokens that no known key verifies, counted from the start of any fetch. A new
key is usable after no more than these, and a flood of such tokens costs the issuer two fetches a minute."""

FIRST_PAUSE: Final = 5.0
"""Seconds after a fetch that failed; each further failure doubles them, up to the cool-down."""

_log = logging.getLogger("doorward")


class FetchedKeys:
    """The keys of one issuer, from its ``jwks_url`` or by discovery."""

    def __init__(
        self,
        issuer: Issuer,
        audiences: Sequence[str],
        *,
        alarm: Callable[[str], None],
        fetcher: Fetcher | None = None,
        spawn: Callable[[Callable[[], Awaitable[None]]], object] = background.start,
    ) -> None:
        """``alarm`` is told ``keys_unreachable`` or ``keys_malformed`` when a fetch fails, and ``keys_stale`` when keys
        count on past their lifetime for that. ``spawn`` runs a function as a task, like `TaskGroup.start_soon`.

        Raises `ValueError` for an issuer over plain http that is not on this machine."""
        self._issuer = issuer
        self._audiences = tuple(audiences)
        self._alarm = alarm
        # An operator wrote down either URL: that host may be a private one, whichever a document names may not.
        self._fetcher = fetcher or Fetcher(issuer.jwks_url or issuer.url)
        self._spawn = spawn
        self._url = issuer.jwks_url
        self._published: Published | None = None
        self._is_retired = False
        self._fetched_at = -math.inf
        self._tried_at = -math.inf
        self._failures = 0
        self._failure = ""
        """Why the last fetches failed; it was logged."""
        self._skipped: frozenset[str] = frozenset()
        """Keys of the last set that cannot be used; they were logged."""
        self._flight: Landing | None = None
        self._lock = Lock()
        """Held over no await: a gate may serve several event loops."""

    @property
    def standings(self) -> Collection[Standing]:
        """See `Voucher`."""
        return () if self._published is None else self._published.standings

    def retire(self, *, keep: Container[Standing]) -> None:
        """See `Voucher`."""
        self._is_retired = True  # a fetch that is under way publishes no valid keys
        if self._published is not None:
            self._published.withdraw(keep=keep)

    @property
    def fresh_until(self) -> float:
        """Seconds since the epoch: when it is time to look again. Were that left to new tokens to notice, a withdrawn
        key would live on in remembered ones until somebody brings another."""
        look_again = max(self._fetched_at + DUE, self._tried_at + max(self._pause, FIRST_PAUSE))
        return min(look_again, self._fetched_at + LIFETIME + self._issuer.max_stale)

    async def published(self, *, now: float) -> Published:
        """The keys known now. Raises `Unavailable` while there are none, or none but too old ones."""
        while self._is_worth_waiting(now):
            await self._look(now)
        if self._is_due(now):
            self._look_for_all(now)
        if self._published is None or self._is_dead(now):
            retry_after = self._pause - abs(now - self._tried_at)
            raise unavailable(self._unavailable, retry_after=max(retry_after, 1.0))
        return self._published

    async def renewed(self, seen: Published, *, now: float) -> bool:
        """See `Keys`."""
        if self._published is seen and (self._flight is not None or self._has_cooled_down(now)):
            await self._look(now)
        if self._published is seen and self._failures:
            raise unavailable(f"kid names no known key, and {self._unavailable}", retry_after=self._pause)
        return self._published is not seen

    async def replaced(self, seen: Published, *, now: float, charge: Callable[[], None]) -> bool:
        """See `Keys`. Within the cool-down no request waits, also while a fetch is under way: forged signatures cost
        nothing to make, and each of them would hold a connection."""
        if self._published is seen and self._has_cooled_down(now):
            charge()
            if self._begins_cool_down(now):
                await self._look(now)
        return self._published is not seen

    @property
    def _unavailable(self) -> str:
        return f"the keys of {self._issuer.url} cannot be had: {self._failure or 'nothing was fetched yet'}"

    # --- when to look -------------------------------------------------------------------------------------------------
    # Ages are distances: a clock that jumped says nothing about the keys, in whichever direction.

    @property
    def _pause(self) -> float:
        return min(FIRST_PAUSE * 2.0 ** min(self._failures - 1, 8), COOL_DOWN) if self._failures else 0.0

    def _is_dead(self, now: float) -> bool:
        return abs(now - self._fetched_at) >= LIFETIME + self._issuer.max_stale

    def _is_worth_waiting(self, now: float) -> bool:
        """Whether a caller has nothing better than what a fetch may bring, and one is under way or may be made."""
        if abs(now - self._fetched_at) < LIFETIME:
            return False
        if self._failures and not self._is_dead(now):
            return False
        return self._flight is not None or abs(now - self._tried_at) >= self._pause

    def _has_cooled_down(self, now: float) -> bool:
        return abs(now - self._tried_at) >= COOL_DOWN

    def _begins_cool_down(self, now: float) -> bool:
        """Whether this is the one request that may fetch; another event loop may have been first."""
        with self._lock:
            if not self._has_cooled_down(now):
                return False
            self._tried_at = now
            return True

    def _is_due(self, now: float) -> bool:
        tried = abs(now - self._tried_at) < max(self._pause, FIRST_PAUSE)
        return abs(now - self._fetched_at) >= DUE and self._flight is None and not tried

    # --- looking ------------------------------------------------------------------------------------------------------

    def _look_for_all(self, now: float) -> None:
        self._tried_at = now  # before the task runs: until it does, more requests find the keys due
        # Not shielded: when its loop ends, nobody is left to wait for.
        self._spawn(partial(self._look, now, shield=False))

    async def _look(self, now: float, *, shield: bool = True) -> None:
        """Fetch, or wait for the fetch that is under way."""
        flight, begun = self._board(now)
        if not begun:
            if not await flight.wait():
                self._leave(flight)
            return
        try:
            # Others wait for this: a caller that goes away takes only itself along.
            with anyio.CancelScope(shield=shield):
                await self._fetch(now)
        finally:
            self._leave(flight)
            flight.reach()

    def _board(self, now: float) -> tuple[Landing, bool]:
        """The fetch, and whether it is the caller's to make."""
        with self._lock:
            if self._flight is not None:
                return self._flight, False
            self._tried_at = now
            self._flight = Landing()
            return self._flight, True

    def _leave(self, flight: Landing) -> None:
        with self._lock:
            if self._flight is flight:
                self._flight = None

    async def _fetch(self, now: float) -> None:
        try:
            with anyio.fail_after(DEADLINE):
                if self._url is None:
                    self._url = await find_key_set_url(self._issuer.url, self._fetcher)
                document = await self._fetcher.get(self._url, max_bytes=MAX_KEY_SET_BYTES)
            self._publish(document)
        except TimeoutError:
            self._failed("keys_unreachable", now, "it took too long")
        except Unavailable as error:
            self._failed("keys_unreachable", now, error.detail)
        except Malformed as error:
            self._failed("keys_malformed", now, error.detail)
        else:
            self._fetched_at = now
            self._failures = 0
            self._failure = ""

    def _publish(self, document: bytes) -> None:
        keys = KeySet.from_json(document)
        if len(keys) == 0:
            raise Malformed("malformed_key_set", f"no key can be used: {reasons(keys.skipped)}")
        self._skipped = log_skipped(self._issuer.url, keys.skipped, said=self._skipped)
        before = self._published
        if before is not None and before.has_keys_of(keys):
            return
        self._published = Published(self._issuer, keys, self._audiences, before=before)
        if before is not None:
            before.withdraw(keep=set(self._published.standings))
        if self._is_retired:
            self._published.withdraw()

    def _failed(self, slug: str, now: float, why: str) -> None:
        self._failures += 1
        self._url = self._issuer.jwks_url  # what was discovered may have moved
        self._alarm(slug)
        if why != self._failure:
            self._failure = why
            _log.warning("the keys of %s cannot be had: %s", self._issuer.url, why)
        if self._published is not None and abs(now - self._fetched_at) >= LIFETIME:
            self._alarm("keys_stale")


async def fetched_document(issuer: Issuer) -> bytes:
    """The JWK Set that an issuer publishes, fetched as a server does. Raises `Unavailable` and `Malformed`."""
    fetcher = Fetcher(issuer.jwks_url or issuer.url)
    url = issuer.jwks_url or await find_key_set_url(issuer.url, fetcher)
    return await fetcher.get(url, max_bytes=MAX_KEY_SET_BYTES)
