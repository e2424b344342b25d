"""On which line of a TOML text every key stands."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.config.lines import Steps, lines_of

DOCUMENT = r'''# a comment with [brackets] and "quotes
resource = "https://a" # and one behind
"quoted key" = 1
'literal # key' = 2
"esc\u0061ped" = 3
dotted.inner . "deep" = 4
text = """
[[tool]]
match = "not here" \""" ""x"""""
literal = \'\'\'
[audit]\'\'\'
list = [
  "one", # ]
  "two]",
  [3, 4],

  { rate = "600/minute", inside = { deep = [] } },
]
time = 1979-05-27 07:32:00.5
number = -1.5e3

[audit]
key = { file = "a", id = "b" }
[[tool]]
match = "a"

[[ tool ]]
match = "b"
[tool.nested]
x = 1
[[tool."quoted".array]]
y = 1
[[tool.quoted.array]]
y = 2
[[tool]]
limit = ["a", {rate="b"}]
'''.replace("\\'", "'")

LINES: dict[Steps, int] = {
    ("resource",): 2,
    ("quoted key",): 3,
    ("literal # key",): 4,
    ("escaped",): 5,
    ("dotted", "inner", "deep"): 6,
    ("text",): 7,
    ("literal",): 10,
    ("list",): 12,
    ("list", 0): 13,
    ("list", 1): 14,
    ("list", 2, 1): 15,
    ("list", 3): 17,
    ("list", 3, "rate"): 17,
    ("list", 3, "inside", "deep"): 17,
    ("time",): 19,
    ("number",): 20,
    ("audit",): 22,
    ("audit", "key"): 23,
    ("audit", "key", "id"): 23,
    ("tool",): 24,
    ("tool", 0): 24,
    ("tool", 0, "match"): 25,
    ("tool", 1): 27,
    ("tool", 1, "match"): 28,
    ("tool", 1, "nested", "x"): 30,
    ("tool", 1, "quoted", "array", 0, "y"): 32,
    ("tool", 1, "quoted", "array", 1, "y"): 34,
    ("tool", 2): 35,
    ("tool", 2, "limit", 1, "rate"): 36,
}


def steps_in(value: Any, steps: Steps = ()) -> set[Steps]:
    """The way to every value of a document."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {(*steps, key) for key, _ in members}
    return found.union(*(steps_in(inner, (*steps, key)) for key, inner in _again(value)))


def _again(value: Any) -> Any:
    return value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()


@pytest.mark.parametrize("steps", LINES, ids=lambda steps: ".".join(map(str, steps)))
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["", "CRLF"])
def test_the_line_of_a_key(steps: Steps, newline: str) -> None:
    assert lines_of(DOCUMENT.replace("\n", newline))[steps] == LINES[steps]


def test_every_value_of_the_document_has_a_line() -> None:
    assert steps_in(tomllib.loads(DOCUMENT)) == set(lines_of(DOCUMENT))


KEYS = st.text("ab_-1", min_size=1, max_size=3) | st.sampled_from(['"a b"', "'c]'", "a.b", '"[x]".y', '"#"'])
SCALARS = st.sampled_from(["1", "-1.5", "true", "1979-05-27T07:32:00Z", '"a"', "'b'", '"[[tool]]"', '"""\na = 1\n"""'])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]")
        | st.lists(inner, max_size=3).map(lambda each: "[\n" + "".join(f"  {one}, # ]\n" for one in each) + "]")
        | st.dictionaries(KEYS, inner, max_size=2).map(
            lambda each: "{ " + ", ".join(f"{key} = {value}" for key, value in each.items()) + " }"
        )
    ),
    max_leaves=6,
)
STATEMENTS = st.one_of(
    st.tuples(KEYS, VALUES).map(" = ".join),
    KEYS.map(lambda key: f"[{key}]"),
    KEYS.map(lambda key: f"[[{key}]]"),
    st.sampled_from(["", "# [comment]", "\t"]),
)


@given(st.lists(STATEMENTS, max_size=10))
def test_every_value_of_every_document_has_a_line_that_names_it(statements: list[str]) -> None:
    text = "\n".join(statements)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = lines_of(text)
    assert set(found) == steps_in(document)
    written = text.split("\n")
    for steps, line in found.items():
        key = steps[-1]
        if isinstance(key, str):
            assert key in written[line - 1]
