"""Domains of buckets: admit all or nothing, refund, settle. The twin of ``rust/limiter.rs``."""

from toolgate._pure.limiter.item import Grant
from toolgate._pure.limiter.limiter import Limiter

__all__ = ["Grant", "Limiter"]
