"""Names and the patterns that fit them: ``*`` stands for any characters, also none, and nothing else is special.

Names come from callers, so no name may be able to make this slow: it is walked once, whatever the pattern.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["Ordered", "Pattern", "Shadowed"]


class Pattern:
    """One pattern, case-sensitive."""

    __slots__ = ("_middle", "_prefix", "_suffix", "is_literal", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._prefix, *rest = text.split("*")
        self.is_literal = not rest
        self._suffix = rest.pop() if rest else ""
        self._middle = tuple(part for part in rest if part)

    def fits(self, name: str) -> bool:
        """Whether the whole name fits. Every part between two stars is taken where it comes first: if the name fits at
        all, it fits that way, so that there is nothing to try twice."""
        if self.is_literal:
            return name == self.text
        end = len(name) - len(self._suffix)
        position = len(self._prefix)
        if position > end or not name.startswith(self._prefix) or not name.endswith(self._suffix):
            return False
        for part in self._middle:
            position = name.find(part, position, end)
            if position < 0:
                return False
            position += len(part)
        return True

    def meets(self, other: Pattern) -> bool:
        """Whether any name fits both. Two walks side by side: what is before the first star of either must agree, and
        what is behind the last; between two stars everything can be made to fit."""
        if self.is_literal or other.is_literal:
            return other.fits(self.text) if self.is_literal else self.fits(other.text)
        return _agree(self._prefix, other._prefix) and _agree(self._suffix[::-1], other._suffix[::-1])


class Shadowed(ValueError):
    """A pattern that can never be the first to fit; ``position`` is its own."""

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(problem)
        self.position = position


class Ordered:
    """Patterns of which the first that fits governs. What a lookup costs depends on the patterns with a star alone, and
    nothing is kept of the names that were asked for."""

    def __init__(self, patterns: Sequence[str], *, among: Collection[str] | None = None) -> None:
        """Raises `Shadowed` for a pattern that can never be the first to fit; ``among``: if these are all the names."""
        self._literals: dict[str, int] = {}
        self._globs: list[tuple[int, Pattern]] = []
        fresh = _fresh_character(patterns)
        for position, text in enumerate(patterns):
            # A star of this pattern, read as a character that no pattern spells, can only be taken by a star of an
            # earlier one. So the patterns before cover this one exactly when one of them fits this single name.
            earlier = self.first(text.replace("*", fresh))
            if earlier is not None:
                raise Shadowed(position, f"match {text!r} can never match: {patterns[earlier]!r} stands before it")
            pattern = Pattern(text)
            if pattern.is_literal:
                self._literals[text] = position
            else:
                self._globs.append((position, pattern))
        if among is not None:
            self._check_reachable(patterns, {self.first(name) for name in among})

    def first(self, name: str) -> int | None:
        """The position of the first pattern that fits."""
        literal = self._literals.get(name)
        for position, pattern in self._globs:
            if literal is not None and position > literal:
                break
            if pattern.fits(name):
                return position
        return literal

    def _check_reachable(self, patterns: Sequence[str], reached: Collection[int | None]) -> None:
        for position, text in enumerate(patterns):
            if position not in reached:
                raise Shadowed(position, f"match {text!r} can never match: those before it take every name it fits")


def _agree(one: str, another: str) -> bool:
    return one.startswith(another) or another.startswith(one)


def _fresh_character(patterns: Sequence[str]) -> str:
    used = {character for text in patterns for character in text}
    private_use = 0xE000
    return next(character for character in map(chr, range(private_use, 0x110000)) if character not in used)
