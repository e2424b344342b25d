"""Secrets, which show in no repr."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Secret"]


@dataclass(frozen=True)
class Secret:
    """A secret's bytes and the id it is known by; the bytes never show in a repr."""

    value: bytes = field(repr=False)
    id: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.value, bytes) or not self.value:
            raise ValueError("value must be bytes, and not empty")
        if not isinstance(self.id, str):
            raise ValueError("id must be a string")
