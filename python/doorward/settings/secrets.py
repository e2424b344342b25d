"""Secrets, which show in no repr."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

__all__ = ["Secret", "known_secrets"]


@dataclass(frozen=True)
class Secret:
    """A secret's bytes and the id it is known by; the bytes never show in a repr."""

    value: bytes = field(repr=False)
    id: str = ""
    file: str = field(default="", repr=False, compare=False)
    """Where it was read: what reads it again when it changes looks there."""

    def __post_init__(self) -> None:
        if not isinstance(self.value, bytes) or not self.value:
            raise ValueError("value must be bytes, and not empty")
        if not isinstance(self.id, str):
            raise ValueError("id must be a string")
        if not isinstance(self.file, str):
            raise ValueError("file must be a string")
        _known.add(self)


_known: weakref.WeakSet[Secret] = weakref.WeakSet()


def known_secrets() -> frozenset[bytes]:
    """Every secret of this process: what no log may show."""
    return frozenset(secret.value for secret in list(_known))
