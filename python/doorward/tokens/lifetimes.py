"""Tokens that live long: a stolen one works for as long. The log says so, once for each process and issuer.

RFC 9700 section 2.2.1 asks for access tokens that are bound to their sender or short-lived.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Final

from doorward.principal import Principal
from doorward.settings import Issuer

__all__ = ["LONG_SECONDS", "unbounded_lifetimes", "warn_of_long_lifetime", "warn_of_unbounded_lifetimes"]

LONG_SECONDS: Final = 86_400.0
"""A day: access tokens of providers live from five minutes to one day by default."""

_log = logging.getLogger("doorward")

_unbounded: Final[set[str]] = set()
"""Issuers without `max_token_lifetime` that were named in the log. Only configured issuers get here, so both sets stay
small."""

_long: Final[set[str]] = set()
"""Issuers of tokens that live long, that were named in the log."""


def warn_of_unbounded_lifetimes(issuers: Iterable[Issuer]) -> None:
    """Name in the log each issuer whose tokens may live for any time."""
    for issuer in issuers:
        for message in unbounded_lifetimes([issuer]) if issuer.url not in _unbounded else ():
            _unbounded.add(issuer.url)
            _log.warning("%s", message)


def unbounded_lifetimes(issuers: Iterable[Issuer]) -> Iterator[str]:
    """A message for each issuer whose tokens may live for any time."""
    for issuer in issuers:
        if issuer.max_token_lifetime is None:
            yield (
                f"issuer {issuer.url} has no max_token_lifetime: a token that lives for years is accepted. Set it in "
                'the issuer\'s table, for example max_token_lifetime = "24h"'
            )


def warn_of_long_lifetime(principal: Principal, *, now: float) -> None:
    """Name the issuer of a verified token in the log where the token lives longer than a day, from ``iat`` or, without
    one, from ``now`` on (seconds since the epoch)."""
    if principal.issuer in _long:
        return
    issued = principal.claims.get("iat")
    begins = issued if isinstance(issued, int | float) and not isinstance(issued, bool) else now
    seconds = principal.expires_at - begins
    if seconds > LONG_SECONDS:
        _long.add(principal.issuer)
        _log.warning(
            "a token of issuer %s lives %.1f days: a stolen one is good until it expires or is revoked. Configure the "
            "issuer to make them shorter, and refuse longer ones with max_token_lifetime",
            principal.issuer,
            seconds / LONG_SECONDS,
        )
