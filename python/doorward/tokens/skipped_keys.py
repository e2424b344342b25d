"""Keys of an issuer that cannot be used, in the log: tokens signed with them are refused as `unknown_key`."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

__all__ = ["MAX_NAMED", "log_skipped", "reasons"]

MAX_NAMED: Final = 10
"""Keys that are named at once. Issuers publish two to ten, and one that publishes 256 may not fill the log."""

_EXPECTED: Final = ("use is not sig", "key_ops lacks verify", "repeats an earlier key")
"""Reasons that mean no fault: issuers publish keys for encryption in the same set."""

_log = logging.getLogger("doorward")


def log_skipped(issuer: str, skipped: Iterable[str], *, said: frozenset[str] = frozenset()) -> frozenset[str]:
    """Log each skipped key of a set with its reason, but for those that were ``said`` of the set before; what was said
    now. ``skipped``: as in `KeySet.skipped`, fixed words and a position."""
    found = tuple(skipped)
    new = [each for each in found if each not in said]
    for each in new[:MAX_NAMED]:
        _log.log(
            logging.INFO if each.endswith(_EXPECTED) else logging.WARNING,
            "a key of %s cannot be used: %s; tokens that are signed with it are refused as unknown_key",
            issuer,
            each,
        )
    if len(new) > MAX_NAMED:
        _log.warning("%d more keys of %s cannot be used", len(new) - MAX_NAMED, issuer)
    return frozenset(found)


def reasons(skipped: Iterable[str]) -> str:
    """Why no key of a set can be used, for one line of the log."""
    found = tuple(skipped)
    more = f"; and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return f"{'; '.join(found[:MAX_NAMED])}{more}" if found else "the set is empty"
