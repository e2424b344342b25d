"""When to stop asking somebody who does not answer, and when to try again."""

from __future__ import annotations

import random
from typing import Final

__all__ = ["FAILURES", "Breaker"]

FAILURES: Final = 3
"""One is an accident, three in a row are none."""

_PAUSE: Final = (0.8, 0.9)
"""Seconds between two attempts: about one a second, spread so that many instances do not come at once, and short enough
that a store which is back is used again within a second."""


class Breaker:
    """Closed while answers come; open, it says when the next attempt is due."""

    __slots__ = ("_due", "_failures")

    def __init__(self) -> None:
        self._failures = 0
        self._due = 0.0

    @property
    def is_open(self) -> bool:
        """Whether nobody is to be asked now."""
        return self._failures >= FAILURES

    @property
    def has_failed(self) -> bool:
        """Whether the last attempt was in vain."""
        return self._failures > 0

    def wait(self, now: float) -> float:
        """Seconds until the next attempt is due."""
        return max(self._due - now, 0.0)

    def succeeded(self) -> bool:
        """An answer came. Says whether the breaker closes with it."""
        closes, self._failures = self.is_open, 0
        return closes

    def failed(self, now: float) -> bool:
        """No answer came. Says whether the breaker opens with it."""
        was_open = self.is_open
        self._failures += 1
        self._due = now + random.uniform(*_PAUSE)  # noqa: S311 - spreads attempts, keeps no secret
        return self.is_open and not was_open
