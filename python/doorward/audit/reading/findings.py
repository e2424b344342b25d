"""What verification finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from doorward.audit.reading.heads import Head

__all__ = ["MISSING", "OTHER_RELEASE", "ChainFindings", "Findings", "Listed", "Place", "Problem"]

MISSING: Final = frozenset(("incomplete", "missing_before", "missing_after", "missing_instance", "missing_remembered"))
"""Problems that leave what is there as it was written: a line that was cut, a file that was deleted, an instance or a
remembered line that is not there."""

OTHER_RELEASE: Final = "other_release"

MAX_LISTED: Final = 100
"""Problems, torn lines and unknown outcomes that are listed each; the rest is counted. The first one is the news."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file, counted from 1; 0 is the file itself."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else str(self.path)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that no honest writer leaves behind."""

    kind: str
    """Of a change: ``changed``, ``inserted``, ``deleted``, ``misplaced``, ``not_a_line``, ``bad_signature``,
    ``unsigned``. Of something that is not there: a kind in `MISSING`. For what another release wrote and this one
    cannot verify: `OTHER_RELEASE`."""
    place: Place
    words: str
    at: str | None = None
    """The time of the line, where what is missing may be older than what is kept."""

    def __str__(self) -> str:
        return f"{self.place}: {self.words}"


@dataclass(slots=True)
class Listed:
    """Places, the first of them by name and the rest by number."""

    places: list[Place] = field(default_factory=list)
    count: int = 0

    def add(self, place: Place) -> None:
        self.count += 1
        if len(self.places) < MAX_LISTED:
            self.places.append(place)


@dataclass(slots=True)
class ChainFindings:
    """One chain: the files of one writer after the other."""

    files: list[Path] = field(default_factory=list)
    instances: list[str] = field(default_factory=list)
    lines: int = 0
    first_sequence: int | None = None
    last_sequence: int | None = None
    began: str | None = None
    ended: str | None = None
    """Timestamps of the first and the last line."""
    last_hash: str | None = None
    checkpoints: int = 0
    """That verified; without a public key, that are there."""
    last_checkpoint: Place | None = None
    signed_until: str | None = None
    """The last checkpoint's timestamp."""
    behind_last_checkpoint: int = 0
    """Lines that no checkpoint covers."""
    lost: int = 0
    """Records that the writer gave a number and could not write."""
    gaps: Listed = field(default_factory=Listed)
    torn: Listed = field(default_factory=Listed)
    unknown_outcomes: Listed = field(default_factory=Listed)
    """Intents without their call."""


@dataclass(slots=True)
class Findings:
    """What all files together show."""

    files: int = 0
    size: int = 0
    """Bytes."""
    lines: int = 0
    with_key: bool = False
    """Whether signatures were verified."""
    since: str | None = None
    """The time before which nothing need be there."""
    chains: list[ChainFindings] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    """The last line of each chain."""
    problems: list[Problem] = field(default_factory=list)
    further_problems: int = 0
    kinds: set[str] = field(default_factory=set)
    """Of all problems."""

    def add(self, problem: Problem) -> None:
        self.kinds.add(problem.kind)
        if len(self.problems) < MAX_LISTED:
            self.problems.append(problem)
        else:
            self.further_problems += 1

    @property
    def intact(self) -> bool:
        """Whether nothing was found that no honest writer leaves behind."""
        return not self.problems

    @property
    def changed(self) -> bool:
        """Whether a problem shows that what is there was changed."""
        return bool(self.kinds - MISSING - {OTHER_RELEASE})

    @property
    def incomplete(self) -> bool:
        """Whether a problem shows that something is not there."""
        return bool(self.kinds & MISSING)

    @property
    def ended(self) -> str | None:
        """The timestamp of the last line of all."""
        return max((chain.ended for chain in self.chains if chain.ended is not None), default=None)

    @property
    def nothing_to_check(self) -> bool:
        """Whether there is no line, or none of the time that was asked about: everything may have been deleted."""
        return self.ended is None or (self.since is not None and self.ended < self.since)
