"""Whether a trail is all there, after every line was read: each file, each instance, each remembered head, and a
signature where one is due."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from doorward.audit.reading.chain_state import ChainState
from doorward.audit.reading.chain_verifier import ChainVerifier
from doorward.audit.reading.findings import Findings, Place, Problem
from doorward.audit.reading.heads import Head

__all__ = ["check_completeness"]


def check_completeness(verifier: ChainVerifier, findings: Findings, heads: Sequence[Head]) -> None:
    """Add to ``findings`` what the lines of all chains together show."""
    check = _Completeness(verifier, findings)
    for chain in verifier.chains:
        check.end(chain)
        check.signatures(chain)
    check.named_instances()
    for head in heads:
        check.head(head)


class _Completeness:
    def __init__(self, verifier: ChainVerifier, findings: Findings) -> None:
        self._verifier = verifier
        self._findings = findings
        self._since = findings.since

    def end(self, chain: ChainState) -> None:
        """A file whose name says that it was rotated has a successor."""
        last = chain.last_file
        if last is None or last.rotated is None or chain.is_copy:
            return
        if self._began_anew(chain) and not self._went_on(chain, last.rotated):
            return
        words = "the file after this one is missing: deleted, or never made where files have no hard links"
        self._add("missing_after", Place(last.path, 0), words)

    def _began_anew(self, chain: ChainState) -> bool:
        """Whether another chain began after this one, and before ``since``: then a process may have been killed while
        it rotated its file, so that there was no file after this one. A chain whose first lines are missing did not
        begin where its lines now begin."""
        ended = chain.findings.ended
        if self._since is None or ended is None:
            return False
        others = (each.findings for each in self._verifier.chains if each is not chain and not each.is_copy)
        begins = (each.began for each in others if each.first_sequence == 1)
        return any(began is not None and ended <= began <= self._since for began in begins)

    def _went_on(self, chain: ChainState, rotated: str) -> bool:
        """Whether a checkpoint, not before ``since``, says that the instance wrote after this rotation. Checkpoints
        name an instance by the file that it writes to, never by one that was rotated."""
        named = self._verifier.checkpoints.named.get(chain.instance[1:-1].decode("ascii"))
        return named is not None and named[0] > rotated and not self._is_old(named[0])

    def signatures(self, chain: ChainState) -> None:
        """Every process signs its first line at once, and then within a minute: a chain without a signature of its
        time, and an instance without one, were made up. Of a process that was killed when it had written no more than
        its start, that start may be all there is."""
        of_chain = chain.findings
        if not self._findings.with_key or of_chain.first_sequence is None or chain.is_copy:
            return
        first = Place(of_chain.files[0], 0)
        if chain.unnumbered is not None and not (of_chain.checkpoints and self._is_old(chain.unnumbered[1])):
            self._add("other_release", chain.unnumbered[0], self._other_release(chain, chain.unnumbered[1]))
        elif not of_chain.checkpoints:
            words = "no line is signed with a key given: made up, or of a server without checkpoints"
            self._add("unsigned", first, words)
        elif self._since is not None and (of_chain.signed_until or "") < self._since <= chain.latest_unsigned:
            words = f"no line since {self._since} is signed with a key given: the last signature is older"
            self._add("unsigned", of_chain.last_checkpoint or first, words)
        else:
            for instance, lines in chain.unsigned.items():
                if instance != chain.signer and lines > 1:
                    name = instance[1:-1].decode("ascii")
                    words = (
                        f"none of the {lines} lines of instance {name} is signed: made up, or of a server without "
                        "checkpoints"
                    )
                    self._add("unsigned", Place(of_chain.files[-1], 0), words)

    def _other_release(self, chain: ChainState, latest: str) -> str:
        words = (
            "this checkpoint is of an earlier release, whose signatures this one does not verify: verify this trail "
            "with the release that wrote it"
        )
        if chain.findings.checkpoints:
            return f"{words}, and what this release wrote after {latest} with --since and a later time"
        return f"{words}, and move its files away"

    def named_instances(self) -> None:
        """An instance that a checkpoint names has a line that a checkpoint covers."""
        signed = self._verifier.checkpoints.signed
        for instance, (timestamp, place) in self._verifier.checkpoints.named.items():
            if instance not in signed and not self._is_old(timestamp):
                words = f"instance {instance} was writing, as this checkpoint says, and no signed line of it is here"
                self._add("missing_instance", place, words)

    def head(self, head: Head) -> None:
        """A remembered head is a line that was read, with its instance and number."""
        if self._is_old(head.timestamp) or head in self._verifier.found_heads:
            return
        words = (
            f"number {head.sequence} of instance {head.instance} ({head.timestamp}) was here when the trail was last "
            "verified: it and what followed were cut off or changed"
        )
        chains = (each.findings for each in self._verifier.chains if head.instance in each.findings.instances)
        where = next((chain.files[-1] for chain in chains), Path("trail"))
        self._add("missing_remembered", Place(where, 0), words)

    def _add(self, kind: str, place: Place, words: str) -> None:
        self._findings.add(Problem(kind, place, words))

    def _is_old(self, timestamp: str) -> bool:
        return self._since is not None and timestamp < self._since
