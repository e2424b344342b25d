"""Patterns: what fits, what can never be the first to fit, and that no name makes any of it slow."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.patterns import Ordered, Pattern, Shadowed

SPELT = "ab"
SHORT_PATTERNS = st.text(f"{SPELT}*", min_size=1, max_size=4)
EVERY_SHORT_NAME = ["".join(letters) for size in range(5) for letters in itertools.product(f"{SPELT}c", repeat=size)]
"""Over the letters that patterns spell and one more: whatever two short patterns can differ by is among them."""


def fits_by_the_book(text: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, text.split("*"))), name, re.DOTALL) is not None


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        pytest.param("read", ["read"], ["Read", "read ", " read", "rea", "readd", ""], id="a literal, case and all"),
        pytest.param("*", ["", "a", "a\nb", "*", "\N{NULL}"], [], id="a star is anything, also nothing"),
        pytest.param("delete_*", ["delete_", "delete_user"], ["delete", "DELETE_user", "xdelete_"], id="a prefix"),
        pytest.param("*_user", ["_user", "delete_user"], ["_users", "user"], id="a suffix"),
        pytest.param("a*b*c", ["abc", "axbxc", "abcbc"], ["ac", "abc ", "acb"], id="parts in their order"),
        pytest.param("ab*ba", ["abba", "abxba"], ["aba", "ab", "ba"], id="prefix and suffix do not overlap"),
        pytest.param("**", ["", "x"], [], id="two stars are one"),
        pytest.param("a.[b]?*", ["a.[b]?", "a.[b]?x"], ["axb", "ab", "a.b?"], id="nothing else is special"),
        pytest.param("a*a", ["aa", "aaa"], ["a"], id="a part is not taken twice"),
    ],
)
def test_what_fits(pattern: str, fitting: list[str], others: list[str]) -> None:
    assert [name for name in (*fitting, *others) if Pattern(pattern).fits(name)] == fitting


@given(st.text("ab*", max_size=12), st.text("ab*\n", max_size=12))
def test_it_fits_as_a_regular_expression_does(pattern: str, name: str) -> None:
    assert Pattern(pattern).fits(name) == fits_by_the_book(pattern, name)


@given(st.text(max_size=20), st.text(max_size=20))
def test_every_name_fits_itself_without_stars(pattern: str, name: str) -> None:
    assert Pattern(name.replace("*", "")).fits(name.replace("*", ""))
    assert Pattern(pattern).fits(pattern.replace("*", name))


@given(st.text("ab*", max_size=3), st.text("ab*", max_size=3))
def test_two_patterns_meet_exactly_where_a_name_fits_both(one: str, another: str) -> None:
    # What both need spelt is no longer than both together.
    names = ("".join(letters) for size in range(7) for letters in itertools.product(SPELT, repeat=size))
    fits_both = any(fits_by_the_book(one, name) and fits_by_the_book(another, name) for name in names)
    assert Pattern(one).meets(Pattern(another)) is Pattern(another).meets(Pattern(one)) is fits_both


@given(st.lists(SHORT_PATTERNS, min_size=1, max_size=5))
def test_a_pattern_is_shadowed_exactly_when_no_name_is_left_for_it(patterns: list[str]) -> None:
    def first(name: str) -> int | None:
        return next((at for at, text in enumerate(patterns) if fits_by_the_book(text, name)), None)

    reached = {first(name) for name in EVERY_SHORT_NAME}
    unreached = [position for position in range(len(patterns)) if position not in reached]
    if unreached:
        with pytest.raises(Shadowed, match="can never match") as shadowed:
            Ordered(patterns)
        assert shadowed.value.position == unreached[0]
    else:
        ordered = Ordered(patterns)
        assert [ordered.first(name) for name in EVERY_SHORT_NAME] == [first(name) for name in EVERY_SHORT_NAME]


@pytest.mark.parametrize(
    "patterns",
    [
        pytest.param(["*", "read"], id="a star first"),
        pytest.param(["read", "read"], id="the same twice"),
        pytest.param(["a*", "a*b"], id="a narrower one behind"),
        pytest.param(["a*c", "a*b*c"], id="more stars behind"),
        pytest.param(["*", "\ue000*"], id="with the very character that is tried first as a fresh one"),
    ],
)
def test_the_shadowed_one_is_named_with_the_one_before_it(patterns: list[str]) -> None:
    with pytest.raises(Shadowed) as shadowed:
        Ordered(patterns)
    assert shadowed.value.position == 1
    assert str(shadowed.value) == f"match {patterns[1]!r} can never match: {patterns[0]!r} stands before it"


def test_a_character_that_a_pattern_spells_does_not_stand_for_a_star() -> None:
    assert Ordered(["a\N{NULL}", "\ue000", "*"]).first("a\ue000") == 2


def test_where_all_names_are_known_several_patterns_can_shadow_one() -> None:
    names = ["tools/list", "prompts/list"]
    assert Ordered(["tools/*", "*/list"], among=names).first("prompts/list") == 1
    with pytest.raises(Shadowed, match="those before it take every name") as shadowed:
        Ordered(["tools/*", "prompts/*", "*/list"], among=names)
    assert shadowed.value.position == 2


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        pytest.param("*a*a*a*a*a*a*a*a*b", "a" * 8192, id="a part that is everywhere, an end that is nowhere"),
        pytest.param("*" + "ab*" * 64 + "c", "ab" * 4096, id="many parts"),
        pytest.param("*" + "a" * 128 + "b*", "a" * 8192, id="a long part that almost fits everywhere"),
        pytest.param("*" * 8192 + "b", "a" * 8192, id="stars alone"),
    ],
)
def test_no_name_is_slow(pattern: str, name: str) -> None:
    hostile = Pattern(pattern)
    began = time.process_time()
    for _ in range(10):
        assert not hostile.fits(name)
    assert time.process_time() - began < 0.5  # some milliseconds; a backtracking matcher would take years


def test_nothing_is_kept_of_invented_names() -> None:
    ordered = Ordered(["known", "a*"])
    before = repr(vars(ordered))
    for number in range(1000):
        ordered.first(f"invented-{number}")
    assert repr(vars(ordered)) == before
