"""The pure-Python twin of ``toolgate._rust``: correct first, the same answers."""

from __future__ import annotations

from toolgate._pure.charge import Charge
from toolgate._pure.limiter import Grant, Limiter

__all__ = ["Charge", "Grant", "Limiter"]
