"""Verification of whole trails: every chain, and whether all of them are there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from doorward.audit.reading.chain_verifier import ChainVerifier
from doorward.audit.reading.checkpoint_lines import Verify
from doorward.audit.reading.completeness import check_completeness
from doorward.audit.reading.file_order import in_order
from doorward.audit.reading.files import TrailFile, trail_files
from doorward.audit.reading.findings import Findings, Problem
from doorward.audit.reading.heads import Head

__all__ = ["heads_of", "load_public_keys", "verify"]

_PAUSE_SECONDS: Final = 1.0
"""Before a second look, when a file is missing that its writer may be about to make."""

MAX_KEYS: Final = 64
"""Public keys that one verification tries: those of some years."""

_NOT_YET: Final = frozenset(("missing_after", "missing_instance"))
"""Problems that a writer leaves for a moment, while it rotates or writes its first line."""


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
    ``pause``: waits until a writer that is rotating now has continued; then everything is verified once more.
    Raises `OSError` and `ValueError` for what cannot be read.
    """
    findings = _verified(paths, public_keys, since, heads, progress)
    if findings.problems and findings.kinds <= _NOT_YET:
        pause()
        findings = _verified(paths, public_keys, since, heads, progress)
    return findings


def _verified(
    paths: Sequence[Path],
    public_keys: Verify | None,
    since: str | None,
    heads: Sequence[Head],
    progress: Callable[[int, int], None],
) -> Findings:
    with trail_files(paths) as files:
        size = sum(file.size for file in files)
        findings = Findings(files=len(files), size=size, with_key=public_keys is not None, since=since)
        verifier = ChainVerifier(
            verify=public_keys,
            found=_adding_to(findings, since),
            since=since,
            heads=heads,
            progress=_counting(progress, size),
        )
        _read(verifier, files)
        verifier.end()
    findings.chains = [chain.findings for chain in verifier.chains]
    findings.lines = sum(chain.lines for chain in findings.chains)
    findings.heads = [chain.head for chain in verifier.chains if chain.head is not None]
    check_completeness(verifier, findings, heads)
    return findings


def _read(verifier: ChainVerifier, files: Sequence[TrailFile]) -> None:
    for chain in in_order(files):
        for ends, following in zip_longest(chain, chain[1:]):
            verifier.file(ends.file, [] if following is None else [following.first_raw])


def _adding_to(findings: Findings, since: str | None) -> Callable[[Problem], None]:
    def found(problem: Problem) -> None:
        if problem.kind != "missing_before" or since is None or problem.at is None or problem.at > since:
            findings.add(problem)

    return found


def _counting(progress: Callable[[int, int], None], size: int) -> Callable[[int], None]:
    done = 0

    def read(more: int) -> None:
        nonlocal done
        done += more
        progress(done, size)

    return read


def heads_of(findings: Findings) -> list[Head]:
    """The last line of each chain now."""
    return findings.heads


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
