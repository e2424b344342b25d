"""The walk along one chain: every line against the hash of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from doorward.audit.checkpoints import CONTEXT
from doorward.audit.reading.diagnosis import diagnosis
from doorward.audit.reading.files import TrailFile, blocks_of
from doorward.audit.reading.findings import ChainFindings, Place, Problem
from doorward.audit.reading.lines import CALL, INTENT, Line, hash_of, looks_torn, parse_line, request_id_of

__all__ = ["Walk"]

MAX_OPEN_INTENTS: Final = 1_000_000
"""Intents whose calls are waited for: a process has some thousand in flight, what is made by hand any number."""

_AHEAD: Final = 8
"""Lines looked at behind one that is none: as many crashes in a row leave one torn line each."""

MAX_NAMED: Final = 10_000
"""Instances that checkpoints name: a trail of years, and a bound."""

Verify = Callable[[bytes, bytes], bool]
"""Whether a signature of this message verifies with any of the public keys."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A line of the chain, and where it stands."""

    raw: bytes
    place: Place


_Block = tuple[list[bytes], bool]

_NOTHING: Final = _Step(b"", Place(Path(), 0))
"""Before the first line."""


class Walk:
    """Goes along one chain, file after file."""

    def __init__(
        self,
        *,
        verify: Verify | None,
        found: Callable[[Problem], None],
        progress: Callable[[int], None] = lambda size: None,
    ) -> None:
        """``verify``: None where there is no public key. ``progress``: bytes read."""
        self.findings = ChainFindings()
        self.named: dict[str, tuple[str, Place]] = {}
        """Instances that verified checkpoints name: the latest time, and where."""
        self._verify = verify
        self._found = found
        self._progress = progress
        self._hash = b""  # of nothing: no line carries it
        self._carried = b""  # what the hash is of
        self._sequence = 0
        self._instance = b""
        self._told: Place | None = None
        self._intents: dict[bytes, Place] = {}
        self._last = self._before_last = _NOTHING

    def file(self, file: TrailFile, following: list[bytes]) -> None:
        """Go along one more file, before the one that begins with ``following``. Raises `OSError`, and `ValueError` for
        a line without end."""
        self.findings.files.append(file.path)
        number = 0
        for (lines, torn), ahead in _with_next(blocks_of(file), following):
            self._block(lines, file, number, ahead)
            number += len(lines)
            self._progress(sum(map(len, lines)) + len(lines) - torn)

    def end(self) -> ChainFindings:
        """What the chain showed."""
        findings = self.findings
        for place in self._intents.values():
            findings.unknown_outcomes.add(place)
        last = parse_line(self._last.raw)
        if last is not None:
            findings.ended = last.timestamp
        findings.last_sequence = self._sequence or None
        findings.last_hash = self._hash.decode() or None
        return findings

    # --- lines that are as they should be -----------------------------------------------------------------------------

    def _block(self, lines: list[bytes], file: TrailFile, number: int, following: list[bytes]) -> None:
        """Most lines are calls that carry the right number and hash: what else there is takes its time in `_line`."""
        sha256 = hashlib.sha256
        intents = self._intents
        findings = self.findings
        position = 0
        while position < len(lines):
            # Until something else turns up.
            expected, sequence, instance = self._hash, self._sequence, self._instance
            began = position
            for position in range(began, len(lines)):
                line = lines[position]
                if not line.endswith(
                    b',"instance":%b,"sequence":%d,"previous":"sha256:%b"}' % (instance, sequence + 1, expected)
                ):
                    break
                if line.startswith(CALL):
                    if intents:
                        intents.pop(request_id_of(line, CALL), None)
                elif line.startswith(INTENT) and len(intents) < MAX_OPEN_INTENTS:
                    intents[request_id_of(line, INTENT)] = Place(file.path, number + position + 1)
                else:
                    break
                sequence += 1
                expected = sha256(line).hexdigest().encode()
            else:
                position += 1
            if position > began:
                for last in range(max(began, position - 2), position):
                    self._before_last, self._last = self._last, _Step(lines[last], Place(file.path, number + last + 1))
                self._carried, self._hash, self._sequence = lines[position - 1], expected, sequence
                findings.behind_last_checkpoint += position - began
                findings.lines += position - began
            if position < len(lines):
                ahead = lines[position + 1 : position + 1 + _AHEAD] + following
                self._line(lines[position], Place(file.path, number + position + 1), ahead)
                position += 1

    # --- all others ---------------------------------------------------------------------------------------------------

    def _line(self, raw: bytes, place: Place, ahead: list[bytes]) -> None:
        line = parse_line(raw)
        carried = raw
        if line is None:
            carried = self._no_line(raw, place, ahead)
        elif self._last is _NOTHING:
            if line.previous is not None:
                self._missing_before(line, place)
        elif line.previous != self._hash:
            before = self._before_last.raw
            said = diagnosis(
                line,
                raw,
                behind=self._last.raw,
                before=before,
                following=ahead[0] if ahead else None,
                signed=self._is_signed(line),
            )
            self._problem(said.kind, self._last.place if said.of_the_line_before else place, said.words)
        else:
            self._linked(line, place)
        if line is not None:
            self._read(line, raw, place)
        self._sequence = self._sequence + 1 if line is None else line.sequence
        self._carried, self._hash = carried, hash_of(carried)
        self._before_last, self._last = self._last, _Step(raw, place)
        self.findings.lines += 1

    def _no_line(self, raw: bytes, place: Place, ahead: list[bytes]) -> bytes:
        """A crash tears the last line that a process writes; the next process ends it and carries its hash on, together
        with that of the line before, which a torn line does not tell. That one may have been killed in between, so a
        line that has an end and nothing behind it may be torn as well."""
        self.findings.behind_last_checkpoint += 1
        carried = raw if self._last is _NOTHING else self._carried + b"\n" + raw
        if looks_torn(raw) and (not ahead or _carry_on(carried, ahead)):
            self.findings.torn.add(place)
            return carried
        self._problem("not_a_line", place, "this is no line of an audit trail: it was changed, or put in")
        return raw

    def _missing_before(self, line: Line, place: Place) -> None:
        words = f"the file before this one is missing: its first line is number {line.sequence}"
        self._problem("missing_before", Place(place.path, 0), words, at=line.timestamp)

    def _linked(self, line: Line, place: Place) -> None:
        """The hash is right: whoever wrote this line had the one before."""
        if line.sequence <= self._sequence:
            words = f"number {line.sequence} behind number {self._sequence}: its number was changed"
            self._problem("changed", place, words)
        elif line.instance != self._instance and line.event != b"start" and self._instance:
            self._problem("changed", place, "another process goes on here, and no start says so: the line was changed")
        elif line.sequence > self._sequence + 1:
            self.findings.lost += line.sequence - self._sequence - 1
            self.findings.gaps.add(place)

    def _read(self, line: Line, raw: bytes, place: Place) -> None:
        findings = self.findings
        findings.behind_last_checkpoint += 1
        if findings.first_sequence is None:
            findings.first_sequence, findings.began = line.sequence, line.timestamp
        if line.instance != self._instance:
            self._instance = line.instance
            name = line.instance[1:-1].decode("ascii", "backslashreplace")
            if name not in findings.instances:
                findings.instances.append(name)
        if line.event == b"intent" and len(self._intents) < MAX_OPEN_INTENTS:
            self._intents[request_id_of(raw, INTENT)] = place
        elif line.event == b"call":
            self._intents.pop(request_id_of(raw, CALL), None)
        elif line.signature is not None:
            self._checkpoint(line, raw, place)

    def _is_signed(self, line: Line) -> bool | None:
        """None where nobody can tell."""
        if self._verify is None or line.signature is None:
            return None
        return self._verify(bytes.fromhex(line.signature.decode()), CONTEXT + line.signed)

    def _checkpoint(self, line: Line, raw: bytes, place: Place) -> None:
        members = _members(raw)
        if members is None:
            self._problem("not_a_line", place, "this checkpoint is no JSON: it was changed")
            return
        if self._is_signed(line) is False:
            words = f"this checkpoint, by the key {members.get('signing_key')!r}, was not signed with any key given"
            self._problem("bad_signature", place, words)
            return
        findings = self.findings
        findings.checkpoints += 1
        findings.behind_last_checkpoint = 0
        findings.last_checkpoint, findings.signed_until = place, line.timestamp
        beside = members.get("beside")
        for instance in beside if isinstance(beside, list) else ():
            if isinstance(instance, str) and (instance in self.named or len(self.named) < MAX_NAMED):
                self.named[instance] = (line.timestamp, place)

    def _problem(self, kind: str, place: Place, words: str, *, at: str | None = None) -> None:
        if place != self._told:
            self._told = place
            if self.findings.gaps.places[-1:] == [place]:
                self.findings.gaps.places.pop()
            self._found(Problem(kind, place, words, at))


def _with_next(blocks: Iterator[_Block], following: list[bytes]) -> Iterator[tuple[_Block, list[bytes]]]:
    """Each block with the lines behind it: what is wrong with a line shows in the next one."""
    block = next(blocks, None)
    while block is not None:
        after = next(blocks, None)
        yield block, following if after is None else after[0][:_AHEAD]
        block = after


def _carry_on(carried: bytes, ahead: list[bytes]) -> bool:
    """Whether the next line that is one carries the hash of all this; a process may be killed in its first line too."""
    for raw in ahead:
        line = parse_line(raw)
        if line is not None:
            return line.previous == hash_of(carried)
        carried += b"\n" + raw
    return False


def _members(raw: bytes) -> dict[str, Any] | None:
    try:
        members = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None
