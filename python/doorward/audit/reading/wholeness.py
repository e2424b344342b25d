"""Whether a trail is all there: every file of a chain, every chain, and each of them once."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from doorward.audit.reading.files import own_file
from doorward.audit.reading.findings import ChainFindings, Findings, Place, Problem
from doorward.audit.reading.order import Ends

__all__ = ["Head", "Wholeness"]


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain as an earlier verification found it. Kept elsewhere, it shows what was cut off since."""

    instance: str
    sequence: int
    hash: str
    """Hexadecimal, of the line of that number."""
    timestamp: str


class Wholeness:
    """Looks at what stands beside each other, when every chain has been walked along."""

    def __init__(
        self,
        chains: Sequence[Sequence[Ends]],
        findings: Findings,
        since: str | None,
        look_again: Callable[[], list[Ends]],
    ) -> None:
        """``look_again``: the files as they are a little later, since a writer may have been about to make one."""
        self._chains = chains
        self._findings = findings
        self._since = since
        self._later = lru_cache(maxsize=1)(look_again)

    def check(self, named: Mapping[str, tuple[str, Place]], heads: Sequence[Head]) -> None:
        """``named``: the instances that checkpoints name, when and where."""
        for chain, of_chain in zip(self._chains, self._findings.chains, strict=True):
            self._check_end(chain[-1], of_chain)
            self._check_signed(chain[0], of_chain)
        self._check_copies()
        self._check_instances(named)
        for head in heads:
            self._check_head(head)

    def _check_end(self, last: Ends, of_chain: ChainFindings) -> None:
        if last.file.rotated is None or self._began_anew(of_chain):
            return
        if any(later.carries_on(last) for later in self._later()):
            return
        words = "the file after this one is missing: deleted, or never made where files have no hard links"
        self._findings.add(Problem("missing_after", Place(last.file.path, 0), words))

    def _began_anew(self, of_chain: ChainFindings) -> bool:
        """Whether another chain began behind this one, and so long ago that what lies between need not be there."""
        if self._since is None or of_chain.ended is None:
            return False
        begins = (each.began for each in self._findings.chains)
        return any(began is not None and of_chain.ended <= began <= self._since for began in begins)

    def _check_signed(self, first: Ends, of_chain: ChainFindings) -> None:
        if self._findings.with_key and not of_chain.checkpoints and of_chain.first_sequence is not None:
            words = "no line is signed with a key given: made up, or of a server without checkpoints"
            self._findings.add(Problem("unsigned", Place(first.file.path, 0), words))

    def _check_copies(self) -> None:
        """A chain that stands there twice is signed twice. A server may write two trails of the same records."""
        seen: dict[tuple[Path, bytes], Path] = {}
        for first, *_ in self._chains:
            path = first.file.path
            before = seen.setdefault((own_file(path), first.first_raw), path)
            if before != path:
                words = f"its first line is that of {before.name}: this file was copied and put in"
                self._findings.add(Problem("inserted", Place(path, 0), words))

    def _check_instances(self, named: Mapping[str, tuple[str, Place]]) -> None:
        seen = {instance for chain in self._findings.chains for instance in chain.instances}
        for instance, (timestamp, place) in named.items():
            if instance not in seen and not self._is_old(timestamp) and not self._came_later(instance):
                words = f"instance {instance} wrote beside this one, as this checkpoint says, and no line of it is here"
                self._findings.add(Problem("missing_instance", place, words))

    def _came_later(self, instance: str) -> bool:
        return any(ends.last is not None and ends.last.instance == f'"{instance}"'.encode() for ends in self._later())

    def _check_head(self, head: Head) -> None:
        if self._is_old(head.timestamp) or any(_has(ends, head) for chain in self._chains for ends in chain):
            return
        words = (
            f"number {head.sequence} of instance {head.instance} ({head.timestamp}) was here when the trail was last "
            "verified: it and what followed were cut off or changed"
        )
        chains = (each for each in self._findings.chains if head.instance in each.instances)
        where = next((chain.files[-1] for chain in chains), Path("trail"))
        self._findings.add(Problem("missing_remembered", Place(where, 0), words))

    def _is_old(self, timestamp: str) -> bool:
        return self._since is not None and timestamp < self._since


def _has(ends: Ends, head: Head) -> bool:
    if ends.last_hash == head.hash.encode():
        return True
    with ends.file.open() as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped.find(b'"previous":"sha256:%b"' % head.hash.encode(), 0, ends.file.size) >= 0
