"""The causes of refusals, in the log: each one once, and once more when it comes back.

Records have every refusal. The log is for the operator who finds that callers are refused, and is read by people: a
flood of refused requests must not fill it. A cause is a reason and its detail, which are fixed words and configured
values, and values of tokens only where their signature was good.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from threading import Lock
from typing import Final

from doorward.errors import Refused

__all__ = ["MAX_CAUSES", "MAX_LINES", "QUIET_SECONDS", "RefusalLog"]

QUIET_SECONDS: Final = 600.0
"""A cause that was not seen for this long has gone away, and is logged again when it comes back."""

MAX_LINES: Final = 10
"""Lines in `WINDOW_SECONDS`: as many as a person reads."""

WINDOW_SECONDS: Final = 60.0

MAX_CAUSES: Final = 256
"""Causes remembered; each is at most a few hundred bytes. One that was dropped is logged again."""

_ORDINARY: Final = frozenset({"missing_credentials", "token_expired"})
"""Refusals that honest clients meet: they ask without a token to find the authorization server, and tokens expire."""

_log = logging.getLogger("doorward")


class RefusalLog:
    """Which causes were logged."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], int] = OrderedDict()
        """When each cause was seen last, in nanoseconds; the one seen longest ago comes first."""
        self._window = 0
        self._lines = 0
        self._left_out = 0
        self._lock = Lock()
        """A gate may serve several event loops."""

    def note(self, refused: Refused, *, tick: int) -> None:
        """Log the cause of a refusal, unless it was logged and has been seen since. ``tick``: monotonic nanoseconds."""
        cause = refused.code, refused.detail
        with self._lock:
            seen = self._seen.get(cause)
            if seen is not None and tick - seen < QUIET_SECONDS * 1e9:
                self._remember(cause, tick)
                return
            if not self._has_room(tick):
                self._left_out += 1  # not remembered, so that it is logged once there is room
                return
            self._remember(cause, tick)
            left_out, self._left_out = self._left_out, 0
        _log.log(
            logging.INFO if refused.code in _ORDINARY else logging.WARNING,
            "requests are refused with %d %s: %s%s%s",
            refused.status,
            refused.code,
            refused.detail or refused.description,
            "; `doorward tokens explain` says more about one token" if refused.status == 401 else "",
            f" ({left_out} refusals of other causes were not logged)" if left_out else "",
        )

    def _remember(self, cause: tuple[str, str], tick: int) -> None:
        self._seen[cause] = tick
        self._seen.move_to_end(cause)
        if len(self._seen) > MAX_CAUSES:
            self._seen.popitem(last=False)

    def _has_room(self, tick: int) -> bool:
        if tick - self._window >= WINDOW_SECONDS * 1e9 or not self._lines:
            self._window, self._lines = tick, 0
        if self._lines >= MAX_LINES:
            return False
        self._lines += 1
        return True
