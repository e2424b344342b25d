"""Whole trails as servers leave them: restarts, rotation, several processes, checkpoints, intents, a torn line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from signing import KEY
from trails import record

from doorward.audit.chain import Chain, chain_after, seal_signed
from doorward.audit.checkpoints import Checkpoints
from doorward.audit.reading.lines import parse_line
from doorward.audit.record import start_record
from doorward.settings import Checkpoint, Secret

NOW = 1_800_000_000.0


def event(kind: str, request_id: str = "r-0", *, at: float = NOW) -> str:
    """A record of another kind than a call."""
    if kind == "start":
        return start_record("opened", at=at, mode="written", version="1.0", follows=None, lost=0)
    return record(request_id=request_id, at=at).replace('"event":"call"', f'"event":"{kind}"', 1)


class Writer:
    """One process and its file: writes as a sink would, without the waiting and the failing."""

    def __init__(
        self,
        directory: Path,
        instance: str,
        *,
        name: str = "audit.jsonl",
        every: int | None = 5,
        beside: Callable[[float], tuple[str, ...]] = lambda since: (),
        at: float = NOW,
        start: str | None = None,
    ) -> None:
        self.instance = instance
        self.at = at
        self.path = directory / name
        content = self.path.read_bytes() if self.path.exists() else b""
        if content and not content.endswith(b"\n"):
            content += b"\n"
            self.path.write_bytes(content)
        self.chain = chain_after(instance, content) if content else Chain(instance)
        self._checkpoints = None
        if every is not None:
            self._checkpoints = Checkpoints(Checkpoint(key=Secret(KEY), every=every), beside=beside)
        self._rotations = 0
        self.write(start or event("start", at=at))

    def write(self, text: str) -> None:
        """Append a record, and a checkpoint where one is due."""
        lines = self.chain.seal(text)
        if self._checkpoints is not None:
            lines += self._checkpoints.after(self.chain, at=self.at) or b""
        with self.path.open("ab") as file:
            file.write(lines)

    def calls(self, count: int, *, intents: bool = False) -> None:
        """Calls, each with its intent or without."""
        for _ in range(count):
            self.at += 0.25
            number = f"{self.instance}-{self.at}"
            if intents:
                self.write(event("intent", number, at=self.at))
            self.write(record("read", request_id=number, at=self.at))

    def sign(self) -> None:
        """A checkpoint now."""
        assert self._checkpoints is not None
        with self.path.open("ab") as file:
            file.write(self._checkpoints.now(self.chain, at=self.at) or b"")

    def rotate(self) -> Path:
        """Rename the file; the next line begins another one."""
        self._rotations += 1
        stem = self.path.stem.partition(".")[0]
        second = time.strftime("%Y%m%dT%H%M%S", time.gmtime(self.at))
        stamp = f"{second}{int(self.at % 1 * 1e6) + self._rotations:06d}Z"
        rotated = self.path.with_name(f"{stem}.{self.instance}.{stamp}.jsonl")
        self.path.rename(rotated)
        return rotated

    def tear(self) -> None:
        """Be killed within a line."""
        with self.path.open("ab") as file:
            file.write(self.chain.seal(record("torn"))[:100])


def a_trail(directory: Path) -> None:
    """Two processes; the first one rotates twice, is killed within a line and started again. Every file ends signed."""
    one = Writer(directory, "one", every=7)
    two = Writer(directory, "two", name="audit.two.jsonl", every=6, beside=lambda since: ("one",))
    one.calls(9)
    one.rotate()
    one.calls(8, intents=True)
    two.calls(9)
    one.rotate()
    one.calls(3)
    one.tear()
    again = Writer(directory, "three", every=4, beside=lambda since: ("two",), at=one.at + 60)
    again.calls(6)
    again.sign()
    two.calls(4)
    two.sign()


def write_as_earlier(directory: Path) -> None:
    """A trail as the first releases wrote it: no schema, and signatures over another context."""

    def without_schema(chain: Chain, text: str, sign: Callable[[bytes], bytes]) -> bytes:
        return seal_signed(chain, text.replace('"schema":2,', ""), sign)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("doorward.audit.checkpoints.CONTEXT", b"another audit checkpoint\n")
        patched.setattr("doorward.audit.checkpoints.seal_signed", without_schema)
        writer = Writer(directory, "early", start=event("start").replace(',"schema":2', ""))
        writer.calls(7)
        writer.sign()


def lines_of(path: Path) -> list[bytes]:
    """The file's lines, without their newlines."""
    return path.read_bytes().split(b"\n")[:-1]


def numbers_of(path: Path) -> list[int]:
    """Of the lines that tell theirs."""
    return [line.sequence for line in map(parse_line, lines_of(path)) if line is not None]
