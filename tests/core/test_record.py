"""`call_record` and `spelt`: the same text, character by character, whatever a caller calls things."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import doorward._pure as pure

native = pytest.importorskip("doorward._rust")

ANY = st.characters(codec=None) | st.sampled_from('"\\\n\x7f\x00\ud800…😀')
NAMES = st.text(ANY, max_size=12) | st.builds(lambda text, count: text * count, st.text(ANY, min_size=1), st.just(300))
MAYBE = st.none() | NAMES

RECORDS = st.tuples(
    st.sampled_from(["call", "intent", "asked", "confirmed"]),
    st.floats(0, 4e9),
    st.just("8c52af1e07b54a1a9c3b62d4"),
    MAYBE,
    st.none() | st.integers() | NAMES,
    MAYBE,
    st.just('"client_id":"ü"'),
    st.sampled_from(["http", "stdio"]),
    MAYBE,  # peer
    MAYBE,  # http_method
    MAYBE,  # path
    MAYBE,
    MAYBE,
    st.none() | st.just("sha256:" + "5" * 64),
    MAYBE,
    st.just('["mcp:tools:read"]'),
    st.none()
    | st.tuples(
        st.none() | st.just("denied_rate"), MAYBE, MAYBE, st.none() | st.integers(0, 2**62), MAYBE, MAYBE, MAYBE
    ),
    MAYBE,  # limits_fallback
    MAYBE,
    st.lists(st.sampled_from(["rate_limited", "insufficient_scope"]) | NAMES, max_size=3).map(tuple),
    st.booleans(),
    st.none() | st.floats(0, 1e9),
)


def of_nothing(*, at: float = 0.0, rpc_id: Any = None) -> tuple[Any, ...]:
    """The members of a record in which little is known."""
    unknown = (None,) * 7
    return ("call", at, "r", None, rpc_id, None, '"a":1', "http", *unknown, "[]", None, None, None, (), False, None)


@given(RECORDS)
def test_both_cores_write_the_same(members: tuple[Any, ...]) -> None:
    text = native.call_record(*members)
    assert text == pure.call_record(*members)
    read = json.loads(text + "}")
    assert list(read)[:4] == ["event", "timestamp", "request_id", "parent_id"]
    assert len(read["would_deny"]) == len(members[-3])


@pytest.mark.parametrize(
    ("rpc_id", "spelt"),
    [
        (2**63 - 1, "9223372036854775807"),
        (-(2**63), "-9223372036854775808"),
        (2**63, '"9223372036854775808"'),
        (-(2**63) - 1, '"-9223372036854775809"'),
        (True, '"True"'),
        ("7", '"7"'),
    ],
)
def test_an_id_is_a_number_where_a_message_can_have_it(core: ModuleType, rpc_id: Any, spelt: str) -> None:
    assert f'"rpc_id":{spelt},' in core.call_record(*of_nothing(rpc_id=rpc_id))


@given(MAYBE)
def test_a_name_is_one_string_of_json_in_ascii(name: str | None) -> None:
    spelt = native.spelt(name)
    assert spelt == pure.spelt(name)
    assert spelt.isascii()
    if name is None or len(name) <= 256:
        assert json.loads(spelt) == name


def test_two_long_names_that_begin_alike_are_told_apart(core: ModuleType) -> None:
    one, other = core.spelt("a" * 257), core.spelt("a" * 256 + "b")
    assert one != other
    assert one.startswith('"' + "a" * 256 + "\\u2026sha256:")


@pytest.mark.parametrize(
    ("at", "spelt"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (951_782_400.5, "2000-02-29T00:00:00.500Z"),
        (1_800_000_000.25, "2027-01-15T08:00:00.250Z"),
        (4_107_542_399.999, "2100-02-28T23:59:59.999Z"),
    ],
)
def test_a_moment_is_spelt_in_utc(core: ModuleType, at: float, spelt: str) -> None:
    assert json.loads(core.call_record(*of_nothing(at=at)) + "}")["timestamp"] == spelt
