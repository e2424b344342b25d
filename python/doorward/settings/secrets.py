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
        _remember(self)


def known_secrets() -> frozenset[bytes]:
    """The bytes of every `Secret` of this process that is still held: what no log may show."""
    global _cached
    version, values = _cached
    if version is not _version:
        # Taken before the secrets are: one that is made meanwhile has the next look find it.
        version = _version
        values = frozenset(secret.value for each in list(_known.values()) if (secret := each()) is not None)
        _cached = version, values
    return values


_known: dict[int, weakref.ref[Secret]] = {}
"""By identity: of two equal secrets one may end before the other."""

_version = object()
"""Another one whenever a secret was made or has ended."""

_cached: tuple[object, frozenset[bytes]] = (_version, frozenset())


def _remember(secret: Secret) -> None:
    identity = id(secret)

    def forget(ended: weakref.ref[Secret]) -> None:
        if _known.get(identity) is ended:
            del _known[identity]
        _change()

    _known[identity] = weakref.ref(secret, forget)
    _change()


def _change() -> None:
    global _version
    _version = object()
