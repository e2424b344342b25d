"""What the human reads: arguments may say anything, and pass for nothing but arguments."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.confirmation.shown import in_words

HEAD = ["Run this tool?", "", '  "wipe"', '  asked for by "agent-1"', "", "with these arguments:"]


def words(arguments: dict[str, Any], *, name: str = "wipe", client: str = "agent-1") -> list[str]:
    return in_words("tool", name, arguments, client=client, digest="sha256:00").split("\n")


def shown(value: Any) -> str:
    """One argument, as it is shown."""
    *head, line = words({"name": value})
    assert head == HEAD
    return line.removeprefix('  "name" = ')


@pytest.mark.parametrize(
    ("value", "expected"),
    {
        "plain": ("ada", '"ada"'),
        "other letters": ("Ádám Ωμέγα 李雷", '"Ádám Ωμέγα 李雷"'),
        "numbers and nothing": ([1, 2.5, None, True], "[1, 2.5, null, true]"),
        "an object": ({"b": {"a": "x"}}, '{"b": {"a": "x"}}'),
        "a new line": ("ada\napproved: yes", '"ada\\napproved: yes"'),
        "another new line": ("ada\u2028approved\u2029\x85\x0b", '"ada\\u2028approved\\u2029\\u0085\\u000b"'),
        "a quote": ('ada", "safe": "yes', '"ada\\", \\"safe\\": \\"yes"'),
        "right to left": ("txt.\u202eexe", '"txt.\\u202eexe"'),
        "isolates": ("\u2066x\u2069", '"\\u2066x\\u2069"'),
        "zero width": ("a\u200bb\ufeff", '"a\\u200bb\\ufeff"'),
        "an escape of the terminal": ("\x1b[2J", '"\\u001b[2J"'),
        "spaces to push the rest away": ("a   b", '"a \\u0020\\u0020b"'),
        "spaces of other kinds": ("a\u00a0\u3000b", '"a\\u00a0\\u3000b"'),
        "letters that show nothing": ("\u3164\u115f", '"\\u3164\\u115f"'),
        "markup": ("<b>`x`</b>&lt;", '"\\u003cb\\u003e\\u0060x\\u0060\\u003c/b\\u003e\\u0026lt;"'),
        "an image": ("![safe](https://evil)", '"![safe\\u005d(https://evil)"'),
        "a link by reference": ("[safe][1]", '"[safe\\u005d[1]"'),
        "brackets that are none": ([["a[0]"], []], '[["a[0]"], []]'),
        "one accent": ("e\u0301", '"e\u0301"'),
        "a pile of accents": ("e\u0301\u0301\u0301", '"e\u0301\\u0301\\u0301"'),
        "tags": ("\U000e0041", '"\\U000e0041"'),
    }.values(),
)
def test_each_argument_is_one_line_that_shows_what_it_holds(value: Any, expected: str) -> None:
    assert shown(value) == expected


def test_what_is_long_says_that_there_is_more() -> None:
    lines = words({"text": "x" * 1000})
    assert lines[1] == "NOT EVERYTHING IS SHOWN. The hash of all arguments is sha256:00."
    assert lines[-1] == f'  "text" = "{"x" * 300}" … and 700 characters more'


def test_what_is_much_says_how_much_is_missing() -> None:
    lines = words({f"a{number}": number for number in range(25)})
    assert (
        lines[1] == "NOT EVERYTHING IS SHOWN. 5 more arguments are not shown. The hash of all arguments is sha256:00."
    )
    assert lines[-1] == '  "a19" = 19'


def test_a_resource_that_is_longer_than_is_shown_says_so_first() -> None:
    lines = in_words("resource", f"data://{'x' * 300}", {}, client="agent-1", digest="sha256:00").split("\n")
    assert lines[1].startswith("NOT EVERYTHING IS SHOWN.")


def test_a_version_is_shown_whole_behind_its_tool() -> None:
    lines = in_words("tool", "wipe", {}, client="agent-1", digest="", version="\U000e0041" * 100).split("\n")
    assert lines[2] == f'  "wipe" version "{chr(92)}{(chr(92)).join(["U000e0041"] * 100)}"'


def test_names_are_rendered_as_safely_as_values() -> None:
    lines = words({"a\nb": 1}, name="wi\npe", client="agent\u202e-1")
    assert lines[2:4] == ['  "wi\\npe"', '  asked for by "agent\\u202e-1"']
    assert lines[-1] == '  "a\\nb" = 1'


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), VALUES), st.text(), st.text())
def test_nothing_breaks_out_of_its_line(arguments: dict[str, Any], name: str, client: str) -> None:
    text = in_words("tool", name, arguments, client=client, digest="sha256:00")
    lines = text.split("\n")
    notice = lines.pop(1) if lines[1].startswith("NOT EVERYTHING") else ""
    assert [lines[0], lines[1], lines[2][:3], lines[3][:16]] == ["Run this tool?", "", '  "', '  asked for by "']
    assert len(lines) == 4 + (2 + min(len(arguments), 20) if arguments else 0)
    assert len(notice) < 200
    assert all(len(line) < 3 * 500 for line in lines)
    categories = {unicodedata.category(character) for character in text.replace("\n", "")}
    assert categories.isdisjoint({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
    assert all(line.startswith('  "') for line in lines[6:])


@given(st.text(max_size=20))
def test_what_is_shown_of_a_short_text_is_the_text(text: str) -> None:
    if any(ord(character) > 0xFFFF for character in text) or any("\ud800" <= each <= "\udfff" for each in text):
        return
    assert json.loads(shown(text)) == text
