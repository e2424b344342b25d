"""Ids of requests: random, so that ids of several workers never meet and none can be guessed from another.

Some are made in advance, and a machine that is copied while it runs gives these out in both copies. They are names in a
record, which has its instance beside it, and no secrets.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["request_id"]

_BYTES: Final = 12
_DIGITS: Final = 2 * _BYTES

_AT_ONCE: Final = 256
"""To ask the system for one takes longer than all else about a request's id."""

_ready: Final[list[str]] = []


def request_id() -> str:
    """A new one."""
    while True:
        try:
            return _ready.pop()
        except IndexError:
            digits = os.urandom(_BYTES * _AT_ONCE).hex()
            _ready.extend([digits[at : at + _DIGITS] for at in range(0, len(digits), _DIGITS)])


if hasattr(os, "register_at_fork"):
    # A child that went on with its parent's would give them out a second time.
    os.register_at_fork(after_in_child=_ready.clear)
