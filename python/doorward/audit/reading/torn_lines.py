"""Lines that cannot be parsed, and what is after them: which of them a crash explains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from doorward.audit.reading.findings import Place, Problem
from doorward.audit.reading.lines import ends_as_a_line, hash_of, looks_torn, parse_line

__all__ = ["AHEAD", "BEGINS", "CONTINUES", "is_cut", "next_link", "not_a_line", "with_next"]

AHEAD: Final = 8
"""Lines looked at after one that cannot be parsed: as many crashes in a row leave one torn line each."""

CONTINUES, BEGINS = "continues", "begins"

_Block = tuple[list[bytes], bool]


def with_next(blocks: Iterator[_Block], following: list[bytes]) -> Iterator[tuple[_Block, list[bytes]]]:
    """Each block with the lines after it: what is wrong with a line shows in the next one."""
    block = next(blocks, None)
    while block is not None:
        after = next(blocks, None)
        yield block, following if after is None else after[0][:AHEAD]
        block = after


def next_link(hashed: bytes, ahead: list[bytes]) -> str | None:
    """How the next line that can be parsed explains a torn one: it carries the hash of all this, or begins a chain. A
    process may be killed in its first line too."""
    for raw in ahead:
        line = parse_line(raw)
        if line is not None:
            begins = line.event == b"start" and line.previous is None
            return CONTINUES if line.previous == hash_of(hashed) else BEGINS if begins else None
        hashed += b"\n" + raw
    return None


def is_cut(raw: bytes, place: Place) -> bool:
    """Whether a line that no crash explains is a part of one: a collector has a limit, or a file was copied in part."""
    return looks_torn(raw) or (place.line == 1 and ends_as_a_line(raw))


def not_a_line(raw: bytes, place: Place) -> Problem:
    """What to report of a line that cannot be parsed, and that no crash explains."""
    if is_cut(raw, place):
        part = "end" if looks_torn(raw) else "beginning"
        return Problem("incomplete", place, f"the {part} of this line is missing: what it was cannot be verified")
    return Problem("not_a_line", place, "this is no line of an audit trail: it was changed, or put in")
