"""Signed checkpoints of the audit trail: which key, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from doorward import checks
from doorward.settings.secrets import Secret

__all__ = ["Checkpoint"]

_MAX_EVERY: Final = 1_000_000
"""Records without a checkpoint: a signature costs as much as ten records, so that rarer ones save nothing."""

_MAX_SECONDS: Final = 86_400.0
"""Between two checkpoints: what a day's trail can lose unseen is lost too long."""


@dataclass(frozen=True)
class Checkpoint:
    """How often the chain is signed, so that whoever lacks the key cannot rewrite what lies before."""

    key: Secret
    """An Ed25519 private key in PEM; its public half is all that `doorward audit verify` needs."""
    every: int = 1000
    """Records after which one is due."""
    seconds: float = 60.0
    """Seconds after which one is due, whatever the number of records."""

    def __post_init__(self) -> None:
        if not isinstance(self.key, Secret):
            raise ValueError("key must be a Secret")
        checks.whole("every", self.every, at_least=1)
        if self.every > _MAX_EVERY:
            raise ValueError(f"every must be at most {_MAX_EVERY} records")
        checks.number("seconds", self.seconds)
        if not 1 <= self.seconds <= _MAX_SECONDS:
            raise ValueError(f"seconds must be from 1 to {_MAX_SECONDS:g}")
