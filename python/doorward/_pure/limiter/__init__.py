"""Buckets by domain and key: admit all or nothing, refund, settle. The twin of ``rust/limiter.rs``."""

from doorward._pure.limiter.charges import Charges
from doorward._pure.limiter.item import Grant
from doorward._pure.limiter.limiter import Limiter

__all__ = ["Charges", "Grant", "Limiter"]
