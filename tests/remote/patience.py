"""More time than the 50 ms that Redis has: for tests of what is decided, on machines that have other things to do.

The outages are tested with the deadline as it is, and so is everything else under `make prove`.
"""

from __future__ import annotations

from typing import Final

from toolgate._redis import links, owner

SECONDS: Final = 20.0

PLACES: Final = [(module, name) for module in (links, owner) for name in ("CONNECT", "DEADLINE")]
"""Where the package keeps its own."""


def be_patient() -> None:
    """For the rest of this process."""
    for module, name in PLACES:
        setattr(module, name, SECONDS)
