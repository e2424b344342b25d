"""The audit trail: where the record goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from typing import Final

from doorward import checks
from doorward.settings.checkpoints import Checkpoint
from doorward.settings.secrets import Secret
from doorward.settings.sinks import AuditSink

__all__ = ["MIN_KEY_BYTES", "Audit"]

MIN_KEY_BYTES: Final = 32
"""Of a key for HMAC-SHA-256: the hash's own length (RFC 2104 section 3)."""

_DURABILITIES: Final = ("buffered", "written", "durable")
_ON_FAILURE: Final = ("deny", "allow")


@dataclass(frozen=True)
class Audit:
    """Where the record goes, and what happens when it cannot go there."""

    path: str | PathLike[str] | None = None
    """A file, ``stdout`` or ``stderr``. Unsaid it is ``stdout``, unless a server's messages go over that: then it is
    ``stderr``."""
    durability: str = "written"
    on_failure: str = "deny"
    key: Secret | None = None
    """For HMAC fingerprints of arguments instead of bare hashes."""
    checkpoint: Checkpoint | None = None
    """Signed checkpoints in the chain."""
    sinks: Sequence[AuditSink] = ()
    """Instead of ``path``: several places at once."""

    def __post_init__(self) -> None:
        if self.path is not None:
            object.__setattr__(self, "path", checks.path("path", self.path))
        checks.one_of("durability", self.durability, _DURABILITIES)
        checks.one_of("on_failure", self.on_failure, _ON_FAILURE)
        if self.key is not None and not isinstance(self.key, Secret):
            raise ValueError("key must be a Secret")
        if self.key is not None and len(self.key.value) < MIN_KEY_BYTES:
            raise ValueError(f"key must have at least {MIN_KEY_BYTES} bytes")
        if self.checkpoint is not None and not isinstance(self.checkpoint, Checkpoint):
            raise ValueError("checkpoint must be a Checkpoint")
        checks.members_of("sinks", self.sinks, AuditSink)
        if self.sinks and self.path not in (None, "stdout"):
            raise ValueError("sinks must not stand beside path: one of them says where the record goes")
        object.__setattr__(self, "sinks", tuple(self.sinks))
        places = [(sink.path, sink.syslog, sink.otel) for sink in self.sinks if sink.sink is None]
        if len(set(places)) < len(places):
            raise ValueError("sinks name one place twice")
        if self.durability == "durable" and not any(sink.is_file for sink in self.places):
            raise ValueError("durability is 'durable': that needs a file, since nothing else says what is on a disk")

    @property
    def lasting(self) -> object:
        """All of it but the bytes of a key from a file: that one is read again while the gate runs."""
        if self.key is None or not self.key.file:
            return self
        return replace(self, key=None), self.key.id, self.key.file

    @property
    def places(self) -> tuple[AuditSink, ...]:
        """Every place that the record goes to."""
        return tuple(self.sinks) or (AuditSink("stdout" if self.path is None else fspath(self.path)),)

    @property
    def is_unsaid(self) -> bool:
        """Whether nobody has said where the record goes."""
        return self.path is None and not self.sinks
