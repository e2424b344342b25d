"""The order in which files are read: each after the one that it continues, by the hash that its first line carries. A
file that was changed, or is missing, leaves instance and number to go by; all else is ordered by its first timestamp.

The order proves nothing. A wrong one makes `chain_verifier` report problems that a right one would not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from doorward.audit.reading.files import MAX_LINE_BYTES, TrailFile
from doorward.audit.reading.lines import Line, hash_of, parse_line

__all__ = ["Ends", "in_order"]


@dataclass(frozen=True, slots=True)
class Ends:
    """The first and the last line of a file."""

    file: TrailFile
    first: Line | None
    first_raw: bytes
    last: Line | None
    """The last line that is one: what a crash tore or somebody spoilt may stand behind it."""
    behind: int
    """How many lines stand behind ``last``."""
    last_hash: bytes
    """Of the last line, and with what stands behind it: what the next file carries."""


def in_order(files: Sequence[TrailFile]) -> list[list[Ends]]:
    """The files that continue each other, in the order in which they were written; files without a byte are left out.
    Raises `OSError`."""
    links = _Links([_ends_of(file) for file in files if file.size])
    links.by_hash()
    links.by_number()
    links.by_instance()
    return sorted(links.chains(), key=_beginning)


def _beginning(chain: Sequence[Ends]) -> tuple[str, Path]:
    first = chain[0]
    return ("" if first.first is None else first.first.timestamp, first.file.path)


def _ends_of(file: TrailFile) -> Ends:
    with file.open() as opened:
        beginning = opened.read(min(file.size, MAX_LINE_BYTES))
        opened.seek(max(0, file.size - MAX_LINE_BYTES))
        ending = opened.read(min(file.size, MAX_LINE_BYTES))
    lines = ending.rstrip(b"\n").split(b"\n")
    told = ((parse_line(line), behind) for behind, line in enumerate(reversed(lines)))
    last, behind = next((each for each in told if each[0] is not None), (None, len(lines) - 1))
    carried = b"\n".join(lines[len(lines) - 1 - behind :])
    first = beginning.split(b"\n", 1)[0]
    return Ends(file, parse_line(first), first, last, behind, hash_of(carried))


class _Links:
    def __init__(self, ends: list[Ends]) -> None:
        self._ends = ends
        self._following: dict[int, int] = {}
        self._preceded: set[int] = set()

    def by_hash(self) -> None:
        """What an honest writer leaves."""
        by_hash = {earlier.last_hash: position for position, earlier in enumerate(self._ends)}
        for position, later in enumerate(self._ends):
            if later.first is not None and later.first.previous is not None:
                self._link(by_hash.get(later.first.previous), position)

    def by_number(self) -> None:
        """Where the last line of a file was changed, so that it has another hash."""
        by_number = {
            earlier.last.sequence + earlier.behind + 1: position
            for position, earlier in enumerate(self._ends)
            if earlier.last is not None and position not in self._following
        }
        for position, later in self._unpreceded():
            before = by_number.get(later.sequence)
            if before is not None and (later.event == b"start" or self._instance(before) == later.instance):
                self._link(before, position)

    def by_instance(self) -> None:
        """Where a file between two others is gone: the walk will say how many lines that are."""
        for position, later in sorted(self._unpreceded(), key=lambda each: each[1].sequence):
            candidates = [
                (first.sequence, before)
                for before, ends in enumerate(self._ends)
                if before not in self._following
                and (first := ends.first) is not None
                and first.sequence < later.sequence
                and self._instance(before) == later.instance
            ]
            if candidates:
                self._link(max(candidates)[1], position)

    def chains(self) -> list[list[Ends]]:
        chains = [self._chain(first) for first in range(len(self._ends)) if first not in self._preceded]
        # Files that lead in a circle can only be made by hand: each stands alone, and nothing is before its first line.
        reached = {each.file.path for chain in chains for each in chain}
        return chains + [[each] for each in self._ends if each.file.path not in reached]

    def _chain(self, first: int) -> list[Ends]:
        chain = [first]
        while chain[-1] in self._following:
            chain.append(self._following[chain[-1]])
        return [self._ends[each] for each in chain]

    def _link(self, before: int | None, after: int) -> None:
        if before is not None and before != after and before not in self._following and after not in self._preceded:
            self._following[before] = after
            self._preceded.add(after)

    def _unpreceded(self) -> list[tuple[int, Line]]:
        return [
            (position, ends.first)
            for position, ends in enumerate(self._ends)
            if position not in self._preceded and ends.first is not None and ends.first.previous is not None
        ]

    def _instance(self, position: int) -> bytes | None:
        last = self._ends[position].last
        return None if last is None else last.instance
