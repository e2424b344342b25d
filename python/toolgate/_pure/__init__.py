"""The pure-Python twin of the native core: the same contract (``_rust.pyi``), file by file and name by name."""

from __future__ import annotations

from toolgate._pure.canonical import hash_arguments
from toolgate._pure.charge import Charge
from toolgate._pure.envelope import Envelope, read_envelope
from toolgate._pure.limiter import Grant, Limiter

__all__ = ["Charge", "Envelope", "Grant", "Limiter", "hash_arguments", "read_envelope"]
