"""Verification of whole trails: every chain, whether all of its files are there, and all of the instances."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolgate.audit.reading.files import TrailFile, find_files, own_file
from toolgate.audit.reading.findings import ChainFindings, Findings, Place, Problem
from toolgate.audit.reading.order import Ends, chains_of
from toolgate.audit.reading.walk import Verify, Walk

__all__ = ["Head", "load_public_keys", "verify"]

MAX_KEYS: Final = 64
"""Public keys that one verification tries: those of some years."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain as an earlier verification found it. Kept elsewhere, it shows what was cut off since."""

    instance: str
    sequence: int
    hash: str
    """Hexadecimal, of the line of that number."""
    timestamp: str


def verify(
    paths: Sequence[Path],
    *,
    public_keys: Verify | None = None,
    since: str | None = None,
    heads: Sequence[Head] = (),
    progress: Callable[[int, int], None] = lambda done, size: None,
) -> Findings:
    """What the trails at ``paths`` show.

    ``since``: a timestamp (ISO 8601, UTC, as in the records); what was written before may have been deleted.
    ``heads``: what an earlier verification found, and must be there still. ``progress``: bytes done, of all.
    Raises `OSError` and `ValueError` for what cannot be read.
    """
    files = find_files(paths)
    findings = Findings(files=len(files), size=sum(file.size for file in files), with_key=public_keys is not None)
    done = 0

    def read(size: int) -> None:
        nonlocal done
        done += size
        progress(done, findings.size)

    def found(problem: Problem) -> None:
        if problem.kind != "missing_before" or since is None or problem.at is None or problem.at > since:
            findings.add(problem)

    walks: list[Walk] = []
    chains = chains_of(files)
    for chain in chains:
        walk = Walk(verify=public_keys, found=found, progress=read)
        for ends in chain:
            walk.file(ends.file)
        findings.chains.append(walk.end())
        findings.lines += walk.findings.lines
        walks.append(walk)
    for chain, of_chain in zip(chains, findings.chains, strict=True):
        _check_end(chain, of_chain, findings, since)
    _check_copies(chains, findings)
    _check_instances(walks, since, findings)
    _check_heads(heads, chains, since, findings)
    return findings


def heads_of(findings: Findings) -> list[Head]:
    """Where each chain ends now."""
    return [
        Head(chain.instances[-1], chain.last_sequence, chain.last_hash, chain.ended)
        for chain in findings.chains
        if chain.instances and chain.last_sequence and chain.last_hash and chain.ended
    ]


def load_public_keys(files: Sequence[Path]) -> Verify:
    """Verification by any of these keys: Ed25519 in PEM. Raises `OSError`, and `ValueError` that names the file."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if len(files) > MAX_KEYS:
        raise ValueError(f"{len(files)} public keys: at most {MAX_KEYS} are tried")
    keys = []
    for file in files:
        try:
            key = load_pem_public_key(file.read_bytes())
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError(f"{file} is not an Ed25519 public key in PEM, as `toolgate audit keygen` makes it")
        keys.append(key)

    def verified(signature: bytes, message: bytes) -> bool:
        for key in keys:
            try:
                key.verify(signature, message)
            except InvalidSignature:
                continue
            return True
        return False

    return verified


def _check_end(chain: list[Ends], of_chain: ChainFindings, findings: Findings, since: str | None) -> None:
    last: TrailFile = chain[-1].file
    if last.rotated is not None and not _began_anew(of_chain, findings, since):
        words = "the file after this one is missing: deleted, unless its writer was killed while it rotated"
        findings.add(Problem("missing_after", Place(last.path, 0), words))
    if findings.with_key and not of_chain.checkpoints and of_chain.first_sequence is not None:
        words = "no line is signed with a key given: made up, or of a server without checkpoints"
        findings.add(Problem("unsigned", Place(chain[0].file.path, 0), words))


def _began_anew(of_chain: ChainFindings, findings: Findings, since: str | None) -> bool:
    """Whether another chain began behind this one, and so long ago that what lies between need not be there."""
    if since is None or of_chain.ended is None:
        return False
    return any(each.began is not None and of_chain.ended <= each.began <= since for each in findings.chains)


def _check_copies(chains: list[list[Ends]], findings: Findings) -> None:
    """A chain that stands there twice is signed twice. A server may write two trails of the same records."""
    seen: dict[tuple[Path, bytes], Path] = {}
    for first, *_ in chains:
        path = first.file.path
        before = seen.setdefault((own_file(path), first.first_hash), path)
        if before != path:
            words = f"its first line is that of {before.name}: this file was copied and put in"
            findings.add(Problem("inserted", Place(path, 0), words))


def _check_instances(walks: Sequence[Walk], since: str | None, findings: Findings) -> None:
    seen = {instance for chain in findings.chains for instance in chain.instances}
    told: set[str] = set()
    for walk in walks:
        for instance, (timestamp, place) in walk.named.items():
            if instance in seen | told or (since is not None and timestamp < since):
                continue
            told.add(instance)
            words = f"instance {instance} wrote beside this one, as this checkpoint says, and no line of it is here"
            findings.add(Problem("missing_instance", place, words))


def _check_heads(heads: Sequence[Head], chains: list[list[Ends]], since: str | None, findings: Findings) -> None:
    for head in heads:
        if since is not None and head.timestamp < since:
            continue
        if not any(_has(ends, head) for chain in chains for ends in chain):
            words = (
                f"number {head.sequence} of instance {head.instance} ({head.timestamp}) was here when the trail was "
                "last verified: it and what followed were cut off or changed"
            )
            where = next((each.files[-1] for each in findings.chains if head.instance in each.instances), Path("trail"))
            findings.add(Problem("missing_remembered", Place(where, 0), words))


def _has(ends: Ends, head: Head) -> bool:
    if ends.last_hash == head.hash.encode():
        return True
    with ends.file.path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped.find(b'"previous":"sha256:%b"' % head.hash.encode(), 0, ends.file.size) >= 0
