"""What most likely happened where a line does not carry the hash of the one before."""

from __future__ import annotations

from dataclasses import dataclass

from doorward.audit.reading.lines import Line, hash_of, parse_line

__all__ = ["Diagnosis", "diagnosis"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What to say, and of which of the two lines."""

    kind: str
    words: str
    of_the_line_before: bool = False


def diagnosis(
    line: Line, raw: bytes, *, behind: bytes, before: bytes, following: bytes | None, signed: bool | None
) -> Diagnosis:
    """Name the first line that can be meant, so that everything in front of it is as it was written.

    ``raw`` is ``line`` and stands behind ``behind``, which stands behind ``before`` (empty where nothing does).
    ``signed``: whether its signature verifies, where it has one that can be verified.
    """
    if before and line.previous == hash_of(before) and raw != behind:
        words = "this line was put in: the one behind it was written behind the one before it"
        return Diagnosis("inserted", words, of_the_line_before=True)
    last, earlier = parse_line(behind), parse_line(before)
    in_order = {each.sequence + more for each, more in ((last, 1), (earlier, 2)) if each is not None}
    if line.sequence in in_order:
        after = None if following is None else parse_line(following)
        if signed is False or (signed is None and after is not None and after.previous != hash_of(raw)):
            return Diagnosis("changed", "this line was changed: neither neighbour fits it")
        words = "this line was changed: the next one carries the hash of another text"
        return Diagnosis("changed", words, of_the_line_before=True)
    begins = earlier.sequence if earlier is not None else 0
    if last is not None and raw != behind and begins < line.sequence <= last.sequence and (before or not last.previous):
        return Diagnosis("changed", "the number of this line was changed", of_the_line_before=True)
    number = max(in_order, default=2) - 1
    if line.sequence > number:
        words = (
            f"{line.sequence - number - 1} or more lines were taken out before this one, or it was moved or put in here"
        )
        return Diagnosis("deleted", words)
    return Diagnosis("misplaced", f"number {line.sequence} stands behind number {number}: it was moved or put in here")
