"""The pure-Python twin of the native core: the same contract (``_rust.pyi``), file by file and name by name."""

from __future__ import annotations

from toolgate._pure.canonical import hash_arguments
from toolgate._pure.envelope import Envelope, read_envelope

__all__ = ["Envelope", "hash_arguments", "read_envelope"]
