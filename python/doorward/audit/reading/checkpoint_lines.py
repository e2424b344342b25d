"""What start and checkpoint lines say to verification: which schema they have, what is signed, and which other
instances were writing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from doorward.audit.checkpoints import CONTEXT
from doorward.audit.reading.chain_state import ChainState
from doorward.audit.reading.findings import Place, Problem
from doorward.audit.reading.lines import Line, name_of
from doorward.audit.record import SCHEMA

__all__ = ["CheckpointLines", "Verify"]

MAX_NAMED: Final = 100_000
"""Instances that checkpoints name: as many as one verification may read."""

Verify = Callable[[bytes, bytes], bool]
"""Whether a signature of this message verifies with any of the public keys."""


class CheckpointLines:
    """Reads the start and checkpoint lines of all chains."""

    def __init__(self, verify: Verify | None, problem: Callable[[ChainState, Problem], None]) -> None:
        """``verify``: None without a public key; then every checkpoint counts as signed."""
        self.signed: set[str] = set()
        """Instances with a line of their own that a checkpoint covers."""
        self.named: dict[str, tuple[str, Place]] = {}
        """Instances that checkpoints name as writing at the same time: the latest such timestamp, and where."""
        self._verify = verify
        self._problem = problem
        self._numbered: set[bytes] = set()

    def is_signed(self, line: Line) -> bool | None:
        """Whether the signature verifies; None for a line without one, or without a public key."""
        if self._verify is None or line.signature is None:
            return None
        return self._verify(bytes.fromhex(line.signature.decode()), CONTEXT + line.signed)

    def start(self, chain: ChainState, line: Line, raw: bytes, place: Place) -> None:
        """Read a start line: which schema its instance writes."""
        if self._schema(chain, line, _members(raw) or {}, place) is not None:
            self._numbered.add(line.instance)

    def checkpoint(self, chain: ChainState, line: Line, raw: bytes, place: Place) -> None:
        """Read a checkpoint line: if it is signed, so are all lines before it in its chain."""
        members = _members(raw)
        if members is None:
            self._problem(chain, Problem("not_a_line", place, "this checkpoint is no JSON: it was changed"))
            return
        if self.is_signed(line) is False:
            self._not_signed(chain, line, members, place)
            return
        findings = chain.findings
        findings.checkpoints += 1
        findings.behind_last_checkpoint = 0
        findings.last_checkpoint, findings.signed_until = place, line.timestamp
        chain.signer, chain.latest_unsigned = line.instance, ""
        if not chain.is_copy:
            self.signed.update(instance[1:-1].decode("ascii") for instance in chain.unsigned)
            self._name(members.get("beside"), line, place)
        chain.unsigned.clear()

    def _not_signed(self, chain: ChainState, line: Line, members: dict[str, Any], place: Place) -> None:
        schema = self._schema(chain, line, members, place)
        if schema is None and line.instance not in self._numbered:
            chain.unnumbered = (place if chain.unnumbered is None else chain.unnumbered[0], line.timestamp)
        elif schema is None or schema <= SCHEMA:
            words = f"this checkpoint, by the key {members.get('signing_key')!r}, was not signed with any key given"
            self._problem(chain, Problem("bad_signature", place, words))

    def _schema(self, chain: ChainState, line: Line, members: dict[str, Any], place: Place) -> int | None:
        """The number of the record's schema; None in what an earlier release wrote. Reports one of a later release."""
        schema = members.get("schema")
        if schema is None:
            return None
        if isinstance(schema, bool) or not isinstance(schema, int) or schema > SCHEMA:
            words = (
                f"instance {name_of(line)} wrote schema {schema!r}, and this release knows {SCHEMA}: verify it with "
                "the release that wrote it"
            )
            self._problem(chain, Problem("other_release", place, words, line.timestamp))
            return SCHEMA + 1
        return schema

    def _name(self, beside: object, line: Line, place: Place) -> None:
        for instance in beside if isinstance(beside, list) else ():
            if not isinstance(instance, str):
                continue
            if instance not in self.named and len(self.named) >= MAX_NAMED:
                raise ValueError(f"{place}: checkpoints name more than {MAX_NAMED} instances: verify fewer files")
            latest = self.named.get(instance)
            if latest is None or latest[0] <= line.timestamp:
                self.named[instance] = (line.timestamp, place)


def _members(raw: bytes) -> dict[str, Any] | None:
    try:
        members = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None
