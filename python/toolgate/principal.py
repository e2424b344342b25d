"""Who calls: what the gate knows of a caller once its credentials are verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["Principal"]


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller.

    Two callers are the same exactly when issuer, client and subject are: a subject means nothing outside its issuer,
    and a client id is chosen by whoever registers it.
    """

    issuer: str
    subject: str
    client_id: str | None
    organization: str | None
    scopes: tuple[str, ...]
    token_id: str | None
    expires_at: float
    """Seconds since the epoch."""
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Every claim of the token, to be read; for handlers, never for a log."""

    def __post_init__(self) -> None:
        # One principal serves many calls: what a handler changed here, the next call would see.
        object.__setattr__(self, "claims", MappingProxyType(dict(self.claims)))

    @property
    def identity(self) -> str:
        """The caller as one string in which no two callers collide: every part carries its length."""
        return joined(self.issuer, self.client_id, self.subject)

    @property
    def organization_identity(self) -> str:
        """The caller's organisation: an issuer and its value; callers without one share their issuer's "none"."""
        return joined(self.issuer, self.organization)


def joined(*parts: str | None) -> str:
    """The parts behind their lengths, absent told apart from empty, so that no two lists make one string."""
    return "".join(["-" if part is None else f"{len(part)}:{part}" for part in parts])
