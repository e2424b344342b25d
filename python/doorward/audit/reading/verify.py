"""Verification of whole trails: every chain, and whether all of them are there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from doorward.audit.reading.files import TrailFile, trail_files
from doorward.audit.reading.findings import Findings, Problem
from doorward.audit.reading.order import Ends, chains_of, ends_of
from doorward.audit.reading.walk import Verify, Walk
from doorward.audit.reading.wholeness import Head, Wholeness

__all__ = ["heads_of", "load_public_keys", "verify"]

_PAUSE_SECONDS: Final = 1.0
"""Between two looks for the file behind a rotated one, which its writer may be about to make."""

MAX_KEYS: Final = 64
"""Public keys that one verification tries: those of some years."""


def verify(
    paths: Sequence[Path],
    *,
    public_keys: Verify | None = None,
    since: str | None = None,
    heads: Sequence[Head] = (),
    progress: Callable[[int, int], None] = lambda done, size: None,
    pause: Callable[[], None] = lambda: time.sleep(_PAUSE_SECONDS),
) -> Findings:
    """What the trails at ``paths`` show.

    ``since``: a timestamp (ISO 8601, UTC, as in the records); what was written before may have been deleted.
    ``heads``: what an earlier verification found, and must be there still. ``progress``: bytes done, of all.
    ``pause``: waits until a writer that is rotating now has gone on.
    Raises `OSError` and `ValueError` for what cannot be read.
    """

    def look_again() -> list[Ends]:
        pause()
        with trail_files(paths) as now:
            return [ends_of(file) for file in now if file.size]

    with trail_files(paths) as files:
        return _verified(files, public_keys, since, heads, progress, look_again)


def _verified(
    files: Sequence[TrailFile],
    public_keys: Verify | None,
    since: str | None,
    heads: Sequence[Head],
    progress: Callable[[int, int], None],
    look_again: Callable[[], list[Ends]],
) -> Findings:
    size = sum(file.size for file in files)
    findings = Findings(files=len(files), size=size, with_key=public_keys is not None, since=since)
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
        for ends, following in zip_longest(chain, chain[1:]):
            walk.file(ends.file, [] if following is None else [following.first_raw])
        findings.chains.append(walk.end())
        findings.lines += walk.findings.lines
        walks.append(walk)
    named = {instance: said for walk in walks for instance, said in walk.named.items()}
    Wholeness(chains, findings, since, look_again).check(named, heads)
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
            raise ValueError(f"{file} is not an Ed25519 public key in PEM, as `doorward audit keygen` makes it")
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
