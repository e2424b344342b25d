"""What comes in: one HTTP request, and the one message in its body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Call", "Request"]


@dataclass(slots=True)
class Request:
    """One HTTP request as the gate judges it, whatever framework it came through; a header sent twice stands twice.
    Not to be changed: what is looked for in it was sorted when it was made."""

    scheme: str = "https"
    host: str = ""
    method: str = "POST"
    path: str = "/"
    query: str = field(default="", repr=False)
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    peer: str | None = None
    """The address at the other end of the connection."""
    certificate_sha256: bytes | None = None
    """SHA-256 of the client's TLS certificate."""
    body: bytes = field(default=b"", repr=False)
    _values: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A name in another case would be overlooked, and a check with it.
        for name, value in self.headers:
            self._values.setdefault(name.lower(), []).append(value)

    def header(self, name: str) -> str | None:
        """The first header of that name, which is lower case."""
        values = self._values.get(name)
        return values[0] if values else None

    def header_values(self, name: str) -> Sequence[str]:
        """Every header of that name, which is lower case."""
        return self._values.get(name, ())


class Call(NamedTuple):
    """One JSON-RPC message, as far as a decision depends on it."""

    kind: str
    """``request``, ``notification`` or ``response``."""
    method: str | None
    id: str | int | None
    target: str | None
    """What governs it: ``tool``, ``resource``, ``prompt``, or None for the method itself."""
    name: str | None
    """The name of the tool or prompt, or the URI of the resource."""
    arguments_hash: str | None
