"""`read_head`: what is like nearly every request; everything else is left to a second look."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolgate._pure as pure

native = pytest.importorskip("toolgate._rust")

MEMBERS = ("host", "token", "protocol", "content_length", "others")

PLAIN = [
    (b"host", b"mcp.example.com"),
    (b"authorization", b"Bearer a.b.c"),
    (b"mcp-protocol-version", b"2026-07-28"),
    (b"content-length", b"12"),
    (b"accept", b"*/*"),
]


def said(core: ModuleType, headers: object) -> dict[str, Any] | None:
    head = core.read_head(headers)
    return None if head is None else {member: getattr(head, member) for member in MEMBERS}


def changed(name: bytes, value: bytes | None) -> list[tuple[bytes, bytes]]:
    """The plain head with another value, or without that header."""
    others = [pair for pair in PLAIN if pair[0] != name]
    return others if value is None else [*others, (name, value)]


def test_a_plain_head_says_who_asks_whom_and_what_goes_on_to_the_server(core: ModuleType) -> None:
    assert said(core, PLAIN) == {
        "host": "mcp.example.com",
        "token": "a.b.c",
        "protocol": "2026-07-28",
        "content_length": 12,
        "others": [pair for pair in PLAIN if pair[0] != b"authorization"],
    }


def test_what_is_not_needed_may_be_missing(core: ModuleType) -> None:
    head = core.read_head([*PLAIN[:2]])
    assert (head.protocol, head.content_length) == (None, None)


def test_names_count_in_any_case(core: ModuleType) -> None:
    assert said(core, [(b"HOST", b"h"), (b"Authorization", b"Bearer t")]) == {
        "host": "h",
        "token": "t",
        "protocol": None,
        "content_length": None,
        "others": [(b"HOST", b"h")],
    }
    assert core.read_head([*PLAIN, (b"Origin", b"https://x")]) is None


SECOND_LOOKS = {
    "no host": changed(b"host", None),
    "no credentials": changed(b"authorization", None),
    "two hosts": [*PLAIN, (b"host", b"b")],
    "two credentials": [*PLAIN, (b"Authorization", b"Bearer b")],
    "two versions": [*PLAIN, (b"mcp-protocol-version", b"2026-07-28")],
    "two lengths": [*PLAIN, (b"content-length", b"12")],
    "another scheme": changed(b"authorization", b"Basic YTpi"),
    "another spelling of it": changed(b"authorization", b"bearer a.b.c"),
    "no space behind it": changed(b"authorization", b"Bearer"),
    "a host that is not ASCII": changed(b"host", b"m\xc3\xbc.example.com"),
    "a token that is not ASCII": changed(b"authorization", b"Bearer \xff"),
    "a negative length": changed(b"content-length", b"-1"),
    "a signed length": changed(b"content-length", b"+1"),
    "no length in it": changed(b"content-length", b""),
    "a length in other digits": changed(b"content-length", "\uff11".encode()),
    "a length of sixteen digits": changed(b"content-length", b"1" * 16),
    **{
        f"{name} in it": [*PLAIN, (name.encode(), b"1")]
        for name in (
            *("client-cert", "content-encoding", "origin", "traceparent"),
            *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-client-cert"),
        )
    },
    "headers that are no list": tuple(PLAIN),
    "a header that is no tuple": [*PLAIN, [b"a", b"b"]],
    "a header of three": [*PLAIN, (b"a", b"b", b"c")],
    "a header of texts": [*PLAIN, ("a", "b")],
    "nothing": None,
}


@pytest.mark.parametrize("headers", SECOND_LOOKS.values(), ids=SECOND_LOOKS)
def test_what_takes_a_second_look_is_not_plain(core: ModuleType, headers: object) -> None:
    assert core.read_head(headers) is None


NAMES = st.sampled_from([name for name, _ in PLAIN] + [b"Host", b"origin", b"X-Forwarded-For", b"other"])
VALUES = st.sampled_from([b"Bearer a", b"Bearer ", b"12", b"0", b"\xff", b"", b" 1"]) | st.binary(max_size=6)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_both_cores_find_the_same_heads_plain(headers: list[tuple[bytes, bytes]]) -> None:
    assert said(native, headers) == said(pure, headers)
