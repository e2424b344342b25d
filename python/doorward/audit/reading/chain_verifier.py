"""Verification of hash chains, line by line. Chains are told apart by the instance that wrote a line, wherever it is.

Every line must carry the hash of the line before it in its chain, and every pair of instance and sequence number may
occur once. A chain begins with a line whose ``previous`` is null, and a new instance may continue the chain at whose
end its first line is; any other beginning is reported. So a verified checkpoint proves the lines before it in its chain
and nothing else: not lines that only look like them, in this file or another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from doorward.audit.reading.chain_state import ChainState
from doorward.audit.reading.checkpoint_lines import CheckpointLines, Verify
from doorward.audit.reading.diagnosis import diagnosis
from doorward.audit.reading.files import TrailFile, blocks_of
from doorward.audit.reading.findings import Place, Problem
from doorward.audit.reading.heads import Head
from doorward.audit.reading.lines import (
    CALL,
    INTENT,
    Line,
    hash_of,
    latest_timestamp,
    looks_torn,
    name_of,
    parse_line,
    request_id_of,
    split_at_start,
)
from doorward.audit.reading.torn_lines import AHEAD, BEGINS, is_cut, next_link, not_a_line, with_next

__all__ = ["ChainVerifier"]

MAX_OPEN_INTENTS: Final = 1_000_000
"""Intents whose calls are waited for: a process has some thousand in flight, a forged file any number."""

MAX_INSTANCES: Final = 100_000
"""Instances in the files, each with a state in memory: a hundred restarts a day for some years."""


@dataclass(slots=True)
class _File:
    """The file that is being read."""

    file: TrailFile
    chain: ChainState | None = None
    """The chain of the last line that could be parsed."""
    chains: dict[bytes, ChainState] = field(default_factory=dict)
    """The chain of each instance that has a line in this file."""
    torn: list[Place] = field(default_factory=list)
    """Torn lines before the first line that could be parsed."""
    torn_bytes: bytes = b""
    cut: int = 0
    """Lines that were cut and reported: whose they were is not known, so each explains one number that is missing."""


class ChainVerifier:
    """Reads files one after the other, in the order in which `file_order` puts them."""

    def __init__(
        self,
        *,
        verify: Verify | None,
        found: Callable[[Problem], None],
        since: str | None = None,
        heads: Sequence[Head] = (),
        progress: Callable[[int], None] = lambda size: None,
    ) -> None:
        """``verify``: None without a public key. ``found`` gets each problem. ``since``: a timestamp; the timestamps of
        unsigned lines are compared with it. ``heads``: lines that must be found. ``progress`` gets the bytes read."""
        self.chains: list[ChainState] = []
        self.found_heads: set[Head] = set()
        self.checkpoints = CheckpointLines(verify, self._problem)
        self._since = since
        self._found = found
        self._progress = progress
        self._instances: dict[bytes, ChainState] = {}
        self._file_ends: dict[bytes, ChainState] = {}
        self._heads: dict[bytes, list[Head]] = {}
        for head in heads:
            self._heads.setdefault(f'"{head.instance}"'.encode(), []).append(head)

    def file(self, file: TrailFile, following: list[bytes]) -> None:
        """Read one more file. ``following``: the first line of the file that continues it, if there is one. Raises
        `OSError`, and `ValueError` for a line without end or for more instances than `MAX_INSTANCES`."""
        here = _File(file)
        number = 0
        for (lines, torn), ahead in with_next(blocks_of(file), following):
            self._block(lines, here, number, ahead)
            number += len(lines)
            self._progress(sum(map(len, lines)) + len(lines) - torn)
        if here.torn and here.chain is None:
            here.chain = self._begin(here)
        if here.chain is not None:
            self._file_ends[here.chain.hash] = here.chain

    def end(self) -> None:
        """After the last file: complete the findings of each chain."""
        for chain in self.chains:
            for place in chain.intents.values():
                chain.findings.unknown_outcomes.add(place)
            if chain.head is not None:
                chain.findings.ended = chain.head.timestamp
            chain.findings.last_sequence = chain.sequence or None
            chain.findings.last_hash = chain.hash.decode() or None

    # --- lines that are as they should be -----------------------------------------------------------------------------

    def _block(self, lines: list[bytes], here: _File, number: int, following: list[bytes]) -> None:
        position = 0
        while position < len(lines):
            if here.chain is not None:
                position = self._calls(here.chain, here, lines, position, number)
            if position < len(lines):
                ahead = lines[position + 1 : position + 1 + AHEAD] + following
                self._line(lines[position], here, Place(here.file.path, number + position + 1), ahead)
                position += 1

    def _calls(self, chain: ChainState, here: _File, lines: list[bytes], began: int, number: int) -> int:
        """Read lines as long as each is a call or an intent that continues the chain, as nearly all are. Returns the
        position of the first other line, which `_line` reads."""
        sha256, intents = hashlib.sha256, chain.intents
        expected, sequence, instance = chain.hash, chain.sequence, chain.instance
        position, count = began, len(lines)
        while position < count:
            line = lines[position]
            if not line.endswith(
                b',"instance":%b,"sequence":%d,"previous":"sha256:%b"}' % (instance, sequence + 1, expected)
            ):
                break
            if line.startswith(CALL):
                if intents:
                    intents.pop(request_id_of(line, CALL), None)
            elif line.startswith(INTENT) and len(intents) < MAX_OPEN_INTENTS:
                intents[request_id_of(line, INTENT)] = Place(here.file.path, number + position + 1)
            else:
                break
            sequence += 1
            expected = sha256(line).hexdigest().encode()
            position += 1
        if position > began:
            self._move(chain, lines[began:position], Place(here.file.path, number + began + 1))
        return position

    def _move(self, chain: ChainState, run: list[bytes], first: Place) -> None:
        """Move the chain to the end of ``run``, whose hashes and numbers were checked."""
        for head in self._heads.get(chain.instance, ()):
            offset = head.sequence - chain.sequence - 1
            if 0 <= offset < len(run) and hash_of(run[offset]) == head.hash.encode():
                self.found_heads.add(head)
        if self._since is not None:
            chain.latest_unsigned = max(chain.latest_unsigned, latest_timestamp(run))
        chain.findings.lines += max(0, len(run) - 2)
        chain.findings.behind_last_checkpoint += len(run)
        chain.unsigned[chain.instance] += len(run)
        chain.sequence += len(run)
        for offset in range(max(0, len(run) - 2), len(run)):
            chain.step(run[offset], Place(first.path, first.line + offset), hashed=run[offset])
        last = parse_line(run[-1])
        if last is not None:
            chain.parsed(last)

    # --- all others ---------------------------------------------------------------------------------------------------

    def _line(self, raw: bytes, here: _File, place: Place, ahead: list[bytes]) -> None:
        line = parse_line(raw)
        if line is None:
            torn, begun = split_at_start(raw)
            self._unparsable(torn, here, place, [begun] if begun else ahead)
            if begun:
                self._line(begun, here, place, ahead)
            return
        chain = self._chain_of(line, here, place)
        if not chain.is_empty:
            self._check_link(chain, here, line, raw, place, ahead)
        chain.read_in(here.file)
        here.chain = chain
        self._read(chain, line, raw, place)

    def _chain_of(self, line: Line, here: _File, place: Place) -> ChainState:
        """The chain that a line belongs to, by its instance; a new instance begins one or continues one."""
        chain = here.chains.get(line.instance)
        if chain is not None:
            return chain
        chain = self._instances.get(line.instance)
        if chain is not None and line.sequence <= chain.sequence:
            words = (
                f"number {line.sequence} of instance {name_of(line)} was read already, before {chain.last.place}: one "
                "of the two files was copied or put in"
            )
            self._found(Problem("inserted", Place(place.path, 0), words))
            chain = self._begin(here)  # its lines prove nothing: the instance keeps the chain that was read first
            chain.is_copy = True
            chain.instance = line.instance
            here.chains[line.instance] = chain
        elif chain is None:
            chain = self._new_instance(line, here, place)
        else:
            here.chains[line.instance] = chain
        return chain

    def _new_instance(self, line: Line, here: _File, place: Place) -> ChainState:
        chain = self._continued(line, here)
        if chain is not None and line.event != b"start":
            return chain  # `_check_link` reports it: no other instance continues a chain without a start
        if chain is None:
            follows_torn_lines = bool(here.torn) and line.previous == hash_of(here.torn_bytes)
            if line.previous is not None and not follows_torn_lines:
                self._missing_before(line, here, place)
            chain = self._begin(here)
        if len(self._instances) >= MAX_INSTANCES:
            raise ValueError(f"{place}: more than {MAX_INSTANCES} instances: verify fewer files at a time")
        chain.instance = line.instance
        here.chains[line.instance] = self._instances[line.instance] = chain
        return chain

    def _continued(self, line: Line, here: _File) -> ChainState | None:
        """The chain that the first line of an instance continues: at the end of another file, or in this file. A start
        in the middle of a file continues what is before it, even if its hash says that this was changed."""
        if line.previous is None:
            return None
        if here.chain is None:
            ended = self._file_ends.get(line.previous)
            return ended if ended is not None and ended.hash == line.previous else None
        return here.chain if line.event == b"start" or here.chain.hash == line.previous else None

    def _begin(self, here: _File) -> ChainState:
        chain = ChainState()
        chain.read_in(here.file)
        if here.torn and here.chain is None:
            for place in here.torn:
                chain.findings.torn.add(place)
            chain.findings.lines = chain.findings.behind_last_checkpoint = chain.sequence = len(here.torn)
            chain.hashed, chain.hash = here.torn_bytes, hash_of(here.torn_bytes)
            here.torn = []
        self.chains.append(chain)
        return chain

    def _unparsable(self, raw: bytes, here: _File, place: Place, ahead: list[bytes]) -> None:
        """A crash tears the last line that a process writes. The next process that writes the file ends it with a
        newline, and carries its hash together with that of the line before. That process may be killed in turn, so that
        a line with an end and nothing after it may be torn as well. On a stream the next process begins a chain."""
        chain = here.chain
        before = here.torn_bytes if chain is None else chain.hashed
        hashed = before + b"\n" + raw if before else raw
        link = next_link(hashed, ahead)
        is_torn = looks_torn(raw) and (not ahead or link is not None)
        if chain is None and is_torn:
            here.torn.append(place)
            here.torn_bytes = hashed
            return
        if chain is None:
            chain = here.chain = self._begin(here)
        chain.findings.behind_last_checkpoint += 1
        if is_torn:
            chain.findings.torn.add(place)
        else:
            self._problem(chain, not_a_line(raw, place))
        if is_torn and link == BEGINS:
            chain.findings.lines += 1  # whose line it was is not known
        elif not is_torn and is_cut(raw, place):
            chain.findings.lines += 1
            here.cut += 1
        else:
            chain.sequence += 1
            chain.step(raw, place, hashed=hashed if is_torn else raw)

    def _missing_before(self, line: Line, here: _File, place: Place) -> None:
        if here.chain is None:
            place = Place(place.path, 0)
            words = f"the file before this one is missing: its first line is number {line.sequence}"
        else:
            words = f"this is number {line.sequence} of instance {name_of(line)}: the lines before it are missing"
        self._found(Problem("missing_before", place, words, line.timestamp))

    def _check_link(
        self, chain: ChainState, here: _File, line: Line, raw: bytes, place: Place, ahead: list[bytes]
    ) -> None:
        missing = line.sequence - chain.sequence - 1
        if line.previous != chain.hash and 0 < missing <= here.cut:
            here.cut -= missing
        elif line.previous != chain.hash:
            said = diagnosis(
                line,
                raw,
                behind=chain.last.raw,
                before=chain.before_last.raw,
                following=ahead[0] if ahead else None,
                signed=self.checkpoints.is_signed(line),
            )
            where = chain.last.place if said.of_the_line_before else place
            self._problem(chain, Problem(said.kind, where, said.words))
        elif line.sequence <= chain.sequence:
            words = f"number {line.sequence} behind number {chain.sequence}: its number was changed"
            self._problem(chain, Problem("changed", place, words))
        elif line.instance != chain.instance:
            words = "another instance continues here, and no start says so: the line was changed"
            self._problem(chain, Problem("changed", place, words))
        elif missing > 0:
            chain.findings.lost += missing
            chain.findings.gaps.add(place)

    def _read(self, chain: ChainState, line: Line, raw: bytes, place: Place) -> None:
        findings = chain.findings
        findings.behind_last_checkpoint += 1
        if findings.first_sequence is None:
            findings.first_sequence, findings.began = line.sequence, line.timestamp
        name = name_of(line)
        if findings.instances[-1:] != [name] and name not in findings.instances:
            findings.instances.append(name)
        chain.unsigned[line.instance] += 1
        if self._since is not None:
            chain.latest_unsigned = max(chain.latest_unsigned, latest_timestamp([raw]))
        chain.sequence = line.sequence
        chain.step(raw, place, hashed=raw)
        chain.parsed(line)
        for head in self._heads.get(line.instance, ()):
            if head.sequence == line.sequence and head.hash.encode() == chain.hash:
                self.found_heads.add(head)
        if line.event == b"intent" and len(chain.intents) < MAX_OPEN_INTENTS:
            chain.intents[request_id_of(raw, INTENT)] = place
        elif line.event == b"call":
            chain.intents.pop(request_id_of(raw, CALL), None)
        elif line.event == b"start":
            self.checkpoints.start(chain, line, raw, place)
        elif line.signature is not None:
            self.checkpoints.checkpoint(chain, line, raw, place)

    def _problem(self, chain: ChainState, problem: Problem) -> None:
        if problem.place != chain.told:
            chain.told = problem.place
            if chain.findings.gaps.places[-1:] == [problem.place]:
                chain.findings.gaps.places.pop()
            self._found(problem)
