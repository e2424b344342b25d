"""What verification knows of one hash chain after the lines that it has read so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from doorward.audit.reading.files import TrailFile
from doorward.audit.reading.findings import ChainFindings, Place
from doorward.audit.reading.heads import Head
from doorward.audit.reading.lines import Line, hash_of, name_of

__all__ = ["NO_STEP", "ChainState", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a chain, and where it is."""

    raw: bytes
    place: Place


NO_STEP: Final = Step(b"", Place(Path(), 0))
"""Before the first line of a chain."""


@dataclass(slots=True)
class ChainState:
    """The lines of one instance, and of the instances that continued the same chain after a restart."""

    findings: ChainFindings = field(default_factory=ChainFindings)
    instance: bytes = b""
    """The instance that writes the chain now, with its quotes as in the line."""
    sequence: int = 0
    hash: bytes = b""
    """The hash that the next line has to carry, in hexadecimal; empty before the first line."""
    hashed: bytes = b""
    """The bytes that `hash` is of: the last line, and the torn lines after it."""
    last: Step = NO_STEP
    before_last: Step = NO_STEP
    head: Head | None = None
    """The last line that could be parsed."""
    last_file: TrailFile | None = None
    intents: dict[bytes, Place] = field(default_factory=dict)
    """Intents whose calls have not been read yet, by request id."""
    unsigned: Counter[bytes] = field(default_factory=Counter)
    """Lines after the last verified checkpoint, by instance."""
    latest_unsigned: str = ""
    """The latest timestamp of those lines; only filled when verification has a ``since``."""
    signer: bytes = b""
    """The instance that made the last verified checkpoint."""
    is_copy: bool = False
    """Whether its instance has another chain: what it says proves nothing."""
    told: Place | None = None
    """The place of the last problem: one problem is reported for one line."""
    unnumbered: tuple[Place, str] | None = None
    """The first checkpoint of a release that did not number its schema, and the timestamp of the last one."""

    @property
    def is_empty(self) -> bool:
        """Whether no line was read yet, not even a torn one."""
        return self.last is NO_STEP

    def step(self, raw: bytes, place: Place, *, hashed: bytes) -> None:
        """Move on by one line. ``hashed``: what the next line carries the hash of."""
        self.hashed, self.hash = hashed, hash_of(hashed)
        self.before_last, self.last = self.last, Step(raw, place)
        self.findings.lines += 1

    def parsed(self, line: Line) -> None:
        """The line that `step` moved to could be parsed."""
        self.head = Head(name_of(line), line.sequence, self.hash.decode(), line.timestamp)

    def read_in(self, file: TrailFile) -> None:
        """Its next lines are in this file."""
        if self.last_file is not file:
            self.last_file = file
            self.findings.files.append(file.path)
