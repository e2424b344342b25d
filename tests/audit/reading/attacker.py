"""An attacker who can write every file of a trail and has no key, and an independent statement of what verification
promises about what the attacker leaves."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from doorward.audit.reading.heads import Head
from doorward.audit.reading.lines import hash_of

Files = dict[str, list[bytes]]
"""The lines of each file by name."""

CHECKPOINT = b'{"event":"checkpoint"'
NAMES = (
    *("audit.jsonl", "audit2.jsonl", "audit-2.jsonl", "audit.two.jsonl", "audit.one.jsonl", "audit.evil.jsonl"),
    *("audit.one.20270115T080900000000Z.jsonl", "audit.three.20270101T080000000000Z.jsonl", "other.jsonl", "0.jsonl"),
)
TIMES = ("2026-12-31T00:00:00.000Z", "2027-01-15T08:00:03.000Z", "2027-01-15T08:02:00.000Z", "2027-03-01T00:00:00.000Z")


def read(directory: Path) -> Files:
    return {path.name: path.read_bytes().split(b"\n")[:-1] for path in sorted(directory.iterdir())}


def write(directory: Path, files: Files) -> None:
    for path in directory.iterdir():
        path.unlink()
    for name, lines in files.items():
        (directory / name).write_bytes(b"".join(line + b"\n" for line in lines))


# --- what an attacker does --------------------------------------------------------------------------------------------


class Attacker:
    """Changes ``files`` at random. ``genuine`` is the trail before any change: an attacker may keep copies."""

    def __init__(self, rng: random.Random, genuine: Files) -> None:
        self.rng = rng
        self.files = {name: list(lines) for name, lines in genuine.items()}
        self._genuine = [lines for lines in genuine.values() if lines]
        self._calls = [line for lines in genuine.values() for line in lines if _members(line).get("event") == "call"]

    def act(self) -> str:
        """Make one change; its name."""
        attack = self.rng.choice(ATTACKS)
        attack(self)
        return attack.__name__

    def delete(self) -> None:
        """Some lines anywhere."""
        lines = self._lines()
        first = self.rng.randrange(len(lines) + 1)
        del lines[first : first + self.rng.randrange(1, 5)]

    def cut_the_end(self) -> None:
        """Everything after some line, often after a checkpoint."""
        lines = self._lines()
        ends = [number + 1 for number, line in enumerate(lines) if line.startswith(CHECKPOINT)]
        del lines[self.rng.choice(ends) if ends and self.rng.random() < 0.7 else self.rng.randrange(len(lines) + 1) :]

    def cut_the_beginning(self) -> None:
        """Everything before some line, often before a checkpoint."""
        lines = self._lines()
        starts = [number for number, line in enumerate(lines) if line.startswith(CHECKPOINT)]
        cut = self.rng.choice(starts) if starts and self.rng.random() < 0.7 else self.rng.randrange(len(lines) + 1)
        del lines[:cut]

    def swap(self) -> None:
        """Two lines."""
        lines = self._lines()
        if len(lines) > 1:
            one, other = self.rng.sample(range(len(lines)), 2)
            lines[one], lines[other] = lines[other], lines[one]

    def copy_lines(self) -> None:
        """Genuine lines, checkpoints among them, to somewhere else."""
        source = self.rng.choice(self._genuine)
        first = self.rng.randrange(len(source))
        lines = self._lines()
        place = self.rng.choice([0, len(lines), self.rng.randrange(len(lines) + 1)])
        lines[place:place] = source[first : first + self.rng.randrange(1, 8)]

    def splice(self) -> None:
        """The end of one file behind another."""
        source, target = self._lines(), self._lines()
        first = self.rng.randrange(len(source) + 1)
        moved = source[first:]
        del source[first:]
        target.extend(moved)

    def interleave(self) -> None:
        """One file's lines among another's, each in its order."""
        one, other = self._name(), self._name()
        if one != other:
            lines, more = self.files.pop(one), self.files.pop(other)
            order = [0] * len(lines) + [1] * len(more)
            self.rng.shuffle(order)
            self.files[one] = [(more if which else lines).pop(0) for which in order]

    def rename(self) -> None:
        name = self.rng.choice(NAMES)
        self.files[name] = self.files.pop(self._name())

    def copy_file(self) -> None:
        self.files[self.rng.choice(NAMES)] = list(self._lines())

    def remove_file(self) -> None:
        if len(self.files) > 1:
            del self.files[self._name()]

    def remove_instance(self) -> None:
        """Every line that one instance wrote."""
        instance = self.rng.choice([b'"one"', b'"two"', b'"three"', b'"four"'])
        for lines in self.files.values():
            lines[:] = [line for line in lines if b',"instance":' + instance not in line]

    def put_in_an_object(self) -> None:
        """A record without the members that make it a line of a chain."""
        lines = self._lines()
        place = self.rng.choice([0, len(lines), self.rng.randrange(len(lines) + 1)])
        body = self.rng.choice(self._calls).partition(b',"instance":')[0]
        lines.insert(place, body + b"}" + self.rng.choice([b"", b"\0" * 9]))

    def edit(self) -> None:
        """A member of one line."""
        lines = self._lines()
        if lines:
            number = self.rng.randrange(len(lines))
            for old, new in ((b'"read"', b'"send"'), (b'"success"', b'"denied"'), (b".25", b".26"), (b"one", b"two")):
                if old in lines[number] and self.rng.random() < 0.7:
                    lines[number] = lines[number].replace(old, new, 1)
                    return
            lines[number] += b" "

    def chain_anew(self) -> None:
        """Change a line, and compute the number and the hash of every line after it anew."""
        lines = self._lines()
        if len(lines) > 1:
            first = self.rng.randrange(len(lines))
            lines[first] = lines[first].replace(b'"read"', b'"send"')
            for number in range(first + 1, len(lines)):
                before = _tail(lines[number - 1])
                if before is not None and _tail(lines[number]) is not None:
                    fresh = b'"sequence":%d,"previous":"sha256:%b"' % (before[1] + 1, hash_of(lines[number - 1]))
                    lines[number] = re.sub(rb'"sequence":[0-9]+,"previous":(null|"[^"]*")', fresh, lines[number])

    def forge(self) -> None:
        """Lines of its own behind what is there, with right numbers and hashes."""
        self._forge(self._lines())

    def forge_in_a_new_file(self) -> None:
        """The same behind genuine lines that are copied into a file of their own."""
        source = self.rng.choice(self._genuine)
        checkpoints = [number for number, line in enumerate(source) if line.startswith(CHECKPOINT)]
        last = self.rng.choice(checkpoints)
        lines = source[self.rng.choice([0, last]) : last + 1]
        self._forge(lines)
        self.files[self.rng.choice(NAMES)] = lines

    def forge_an_instance(self) -> None:
        """A chain that has a beginning of its own."""
        lines = self.files.setdefault(self.rng.choice(NAMES), [])
        name = self.rng.choice([b'"evil"', b'"one"', b'"two"', b'"three"', b'"four"'])
        lines.append(self._forged(name, 1, None, event=b"start"))
        self._forge(lines)

    def _forge(self, lines: list[bytes]) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            before = _tail(lines[-1]) if lines else None
            if before is None:
                return
            others = [b'"one"', b'"two"', b'"three"', b'"evil"']
            instance = before[0] if self.rng.random() < 0.7 else self.rng.choice(others)
            event = b"call" if instance == before[0] and self.rng.random() < 0.8 else b"start"
            lines.append(self._forged(instance, before[1] + 1, hash_of(lines[-1]), event=event))

    def _forged(self, instance: bytes, sequence: int, previous: bytes | None, *, event: bytes) -> bytes:
        body = self.rng.choice(self._calls).partition(b',"instance":')[0].replace(b'"read"', b'"delete"')
        body = body.replace(b'"event":"call"', b'"event":"%b"' % event)
        body = re.sub(rb'"timestamp":"[^"]*"', b'"timestamp":"%b"' % self.rng.choice(TIMES).encode(), body)
        link = b"null" if previous is None else b'"sha256:%b"' % previous
        return body + b',"instance":%b,"sequence":%d,"previous":%b}' % (instance, sequence, link)

    def _name(self) -> str:
        return self.rng.choice(sorted(self.files))

    def _lines(self) -> list[bytes]:
        return self.files[self._name()]


ATTACKS: list[Callable[[Attacker], None]] = [
    *(Attacker.delete, Attacker.cut_the_end, Attacker.cut_the_beginning, Attacker.swap, Attacker.copy_lines),
    *(Attacker.splice, Attacker.interleave, Attacker.rename, Attacker.copy_file, Attacker.remove_file),
    *(Attacker.remove_instance, Attacker.edit, Attacker.chain_anew, Attacker.forge, Attacker.forge_in_a_new_file),
    *(Attacker.forge_an_instance, Attacker.put_in_an_object),
]


def _tail(line: bytes) -> tuple[bytes, int] | None:
    found = re.search(rb',"instance":("[^"]*"),"sequence":([0-9]+),"previous"', line)
    return None if found is None else (found[1], int(found[2]))


# --- what is promised -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Promise:
    """What "intact" means for a trail whose genuine chains are known, whatever was done to its files.

    For each chain, up to its last checkpoint that is there (its *signed part*):

    1. each genuine line is there once and in its order. One that is not later than ``since`` may be missing, and a torn
       one may have copies: a torn line before the first line of a chain is what a crash leaves on a stream;
    2. an instance that one of these checkpoints names, not before ``since``, has a line in a signed part;
    3. what is there besides signed parts is a tail: lines of the instance that made the last checkpoint of a chain, or
       one start of a new instance, and at most one torn line at the end of a file. Nothing proves a tail, and it holds
       no line from ``since`` on if that checkpoint is older;
    4. each remembered head that is not older than ``since`` is there.
    """

    chains: list[list[bytes]]
    heads: list[Head]

    def broken(self, files: Files, *, since: str | None, remembered: bool) -> str | None:
        """What is not as promised; None if all is."""
        where: dict[bytes, list[tuple[str, int]]] = {}
        for name, lines in files.items():
            for number, line in enumerate(lines):
                where.setdefault(line, []).append((name, number))
        signed, signers = [], {}
        for chain in self.chains:
            last = max((number for number, line in enumerate(chain) if _is_there(line, where)), default=None)
            if last is None:
                continue
            part = chain[: last + 1]
            due = [line for line in part if since is None or _is_due(line, since)]
            if any(line not in where for line in due):
                return "a line of a signed part is missing"
            if any(len(where.get(line, ())) > 1 for line in part if _members(line)):
                return "a line of a signed part is there twice"
            places = [where[line][0] for line in due if _members(line)]
            if any(a[0] == b[0] and a[1] > b[1] for a, b in pairwise(places)):
                return "the order of a signed part was changed"
            signed += [line for line in part if line in where]
            signers[_members(part[-1])["instance"]] = _members(part[-1])["timestamp"]
        return (
            self._named(signed, since)
            or _tails(files, set(signed), signers, since)
            or (self._remembered(where, since) if remembered else None)
        )

    def _named(self, signed: list[bytes], since: str | None) -> str | None:
        members = [_members(line) for line in signed]
        instances = {each["instance"] for each in members if each}
        for each in members:
            counts = each.get("event") == "checkpoint" and (since is None or each["timestamp"] >= since)
            if counts and not set(each["beside"]) <= instances:
                return "an instance that a checkpoint names has no signed line"
        return None

    def _remembered(self, where: dict[bytes, Any], since: str | None) -> str | None:
        hashes = {hash_of(line).decode() for line in where}
        due = [head for head in self.heads if since is None or head.timestamp >= since]
        return None if all(head.hash in hashes for head in due) else "a remembered head is missing"


def _tails(files: Files, signed: set[bytes], signers: dict[str, str], since: str | None) -> str | None:
    started: set[str] = set()
    for lines in files.values():
        for number, line in enumerate(lines):
            if line in signed:
                continue
            said = _members(line)
            if not said and number == len(lines) - 1 and not _members(line.rstrip(b"\0")):
                continue
            instance = str(said.get("instance"))
            if said.get("event") == "start" and instance not in signers and instance not in started:
                started.add(instance)
                continue
            if instance not in signers:
                return f"a line that is neither signed nor in a tail: {said.get('event')} of {instance}"
            if since is not None and said["timestamp"] >= since > signers[instance]:
                return "a tail that is later than since, behind a checkpoint that is older"
    return None


def _is_due(line: bytes, since: str) -> bool:
    said = _members(line)
    return bool(said) and str(said["timestamp"]) > since


def _is_there(line: bytes, where: dict[bytes, Any]) -> bool:
    return line.startswith(CHECKPOINT) and line in where


def _members(line: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:
        return {}
