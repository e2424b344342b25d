"""Who calls: what the gate knows of a caller once its credentials are verified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from sys import getsizeof
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
        object.__setattr__(self, "claims", _Claims(self.claims))

    @property
    def identity(self) -> str:
        """The caller as one string in which no two callers collide: every part carries its length."""
        return joined(self.issuer, self.client_id, self.subject)

    @property
    def organization_identity(self) -> str:
        """The caller's organisation: an issuer and its value; callers without one share their issuer's "none"."""
        return joined(self.issuer, self.organization)


class _Claims(Mapping[str, Any]):
    """Claims to be read: what has parts is handed out as a copy."""

    __slots__ = ("_claims",)

    def __init__(self, claims: Mapping[str, Any]) -> None:
        self._claims = dict(claims)

    def __getitem__(self, name: str) -> Any:
        value = self._claims[name]
        return deepcopy(value) if isinstance(value, dict | list) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)

    def __sizeof__(self) -> int:
        """With all parts, which the token's own bound bounds: a cache has to know what it keeps."""
        left: list[Any] = [self._claims]
        total = object.__sizeof__(self) + getsizeof(self._claims)
        while left:
            value = left.pop()
            parts = value
            if isinstance(value, dict):
                total += sum(map(getsizeof, value))
                parts = value.values()
            total += sum(map(getsizeof, parts))
            left += [part for part in parts if isinstance(part, dict | list)]
        return total


def joined(*parts: str | None) -> str:
    """The parts behind their lengths, absent told apart from empty, so that no two lists make one string."""
    return "".join(["-" if part is None else f"{len(part)}:{part}" for part in parts])
