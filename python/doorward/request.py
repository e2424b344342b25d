"""What comes in: one HTTP request, and the one message in its body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Call", "Request"]


@dataclass(slots=True)
class Request:
    """One HTTP request as the gate judges it, whatever framework it came through; a header sent twice stands twice."""

    scheme: str = "https"
    host: str = ""
    method: str = "POST"
    path: str = "/"
    query: str = field(default="", repr=False)
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    peer: str | None = None
    """The address at the other end of the connection."""
    certificate_sha256: bytes | None = None
    """SHA-256 of the client's TLS certificate (32 bytes), from a caller that ends TLS itself. It has precedence over a
    header."""
    body: bytes = field(default=b"", repr=False)
    raw_headers: Sequence[tuple[bytes, bytes]] = field(default=(), repr=False)
    """The headers as ASGI has them, instead of ``headers``."""
    _values: dict[str, list[str | bytes]] | None = field(default=None, init=False, repr=False, compare=False)

    def header(self, name: str) -> str | None:
        """The first header of that name, which is lower case."""
        values = self.header_values(name)
        return values[0] if values else None

    def header_values(self, name: str) -> Sequence[str]:
        """Every header of that name, which is lower case."""
        if self._values is None:
            self._values = self._sorted()
        values = self._values.get(name)
        return [_text(value) for value in values] if values else ()

    def _sorted(self) -> dict[str, list[str | bytes]]:
        values: dict[str, list[str | bytes]] = {}
        # A name in another case would be overlooked, and a check with it.
        for name, value in self.headers:
            values.setdefault(name.lower(), []).append(value)
        for raw_name, raw_value in self.raw_headers:
            values.setdefault(raw_name.decode("latin-1").lower(), []).append(raw_value)
        return values


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


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
