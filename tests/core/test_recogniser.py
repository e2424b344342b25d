"""`Recogniser`: the cached caller of a request whose headers are all known to be harmless; every other request takes
the slow path (`tests/test_fast_path.py` has the names)."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import doorward._pure as pure

native = pytest.importorskip("doorward._rust")

NOW = 1_000.0

Headers = list[tuple[bytes, bytes]]

PLAIN: Headers = [
    (b"host", b"mcp.example.com"),
    (b"authorization", b"Bearer a.b.c"),
    (b"mcp-protocol-version", b"2026-07-28"),
    (b"content-length", b"12"),
    (b"accept", b"*/*"),
]


def recognised(
    core: ModuleType, headers: object, *, scheme: str = "https", peer: str | None = None, now: float = NOW
) -> Any:
    """What becomes of a request, with callers who came until a minute after `NOW`."""
    callers = core.TokenCache()
    for token in ("a.b.c", "a"):
        callers.put(token, f"caller of {token}", expires_at=NOW + 60)
    recogniser = core.Recogniser(callers, hosts=["mcp.example.com", "h"], max_body_bytes=1_000)
    return recogniser.recognise(headers, scheme=scheme, peer=peer, now=now)


def said(core: ModuleType, headers: object, **about: Any) -> dict[str, Any] | None:
    """What is known of it."""
    seen = recognised(core, headers, **about)
    members = ("caller", "protocol", "traceparent", "content_length", "others")
    return None if seen is None else {member: getattr(seen, member) for member in members}


def changed(name: bytes, value: bytes | None) -> Headers:
    """The plain head with another value, or without that header."""
    others = [pair for pair in PLAIN if pair[0] != name]
    return others if value is None else [*others, (name, value)]


def test_a_plain_head_says_who_asks_and_what_goes_on_to_the_server(core: ModuleType) -> None:
    headers = list(PLAIN)
    assert said(core, headers) == {
        "caller": "caller of a.b.c",
        "protocol": "2026-07-28",
        "traceparent": None,
        "content_length": 12,
        "others": [pair for pair in PLAIN if pair[0] != b"authorization"],
    }
    assert headers == PLAIN, "what the server program has stays as it is"


def test_what_is_not_needed_may_be_missing(core: ModuleType) -> None:
    seen = said(core, PLAIN[:2])
    assert seen is not None
    assert (seen["protocol"], seen["traceparent"], seen["content_length"]) == (None, None, None)


def test_a_traceparent_is_passed_on_as_it_is(core: ModuleType) -> None:
    seen = said(core, [*PLAIN, (b"traceparent", b" 00-not-parsed")])
    assert seen is not None
    assert seen["traceparent"] == " 00-not-parsed"


def test_its_repr_tells_no_header_and_no_caller(core: ModuleType) -> None:
    seen = recognised(core, [*PLAIN, (b"cookie", b"a-session")])
    assert (b"cookie", b"a-session") in seen.others
    assert not any(secret in repr(seen) for secret in ("a-session", "a.b.c", "caller"))


def test_names_count_in_any_case(core: ModuleType) -> None:
    assert said(core, [(b"HOST", b"h"), (b"Authorization", b"Bearer a")]) == {
        "caller": "caller of a",
        "protocol": None,
        "traceparent": None,
        "content_length": None,
        "others": [(b"HOST", b"h")],
    }
    assert said(core, [*PLAIN, (b"Origin", b"https://x")]) is None


SECOND_LOOKS = {
    "no host": changed(b"host", None),
    "another host": changed(b"host", b"evil.example.com"),
    "our host in capitals": changed(b"host", b"MCP.example.com"),
    "no credentials": changed(b"authorization", None),
    "two hosts": [*PLAIN, (b"host", b"h")],
    "two credentials": [*PLAIN, (b"Authorization", b"Bearer a")],
    "two versions": [*PLAIN, (b"mcp-protocol-version", b"2026-07-28")],
    "two lengths": [*PLAIN, (b"content-length", b"12")],
    "two traceparents": [*PLAIN, (b"traceparent", b"00"), (b"Traceparent", b"00")],
    "a traceparent that is not ASCII": [*PLAIN, (b"traceparent", b"\xff")],
    "a token that never came": changed(b"authorization", b"Bearer a.b"),
    "another scheme": changed(b"authorization", b"Basic YTpi"),
    "another spelling of it": changed(b"authorization", b"bearer a.b.c"),
    "two spaces behind it": changed(b"authorization", b"Bearer  a.b.c"),
    "no space behind it": changed(b"authorization", b"Bearer"),
    "a host that is not ASCII": changed(b"host", b"m\xc3\xbc.example.com"),
    "a token that is not ASCII": changed(b"authorization", b"Bearer \xff"),
    "a negative length": changed(b"content-length", b"-1"),
    "a signed length": changed(b"content-length", b"+1"),
    "no length in it": changed(b"content-length", b""),
    "a length in other digits": changed(b"content-length", "\uff11".encode()),
    "a length of sixteen digits": changed(b"content-length", b"1" * 16),
    "a length over the bound": changed(b"content-length", b"1001"),
    **{
        f"{name} in it": [*PLAIN, (name.encode(), b"1")]
        for name in (
            *("client-cert", "content-encoding", "origin", "Origin", "x-forwarded-for", "X-Forwarded-Proto"),
            *("x-forwarded-client-cert", "x-a-check-of-tomorrow", "accept ", " accept", "accept_encoding", ":path", ""),
        )
    },
    "headers that are no list": tuple(PLAIN),
    "a header that is no tuple": [*PLAIN, [b"a", b"b"]],
    "a header of three": [*PLAIN, (b"a", b"b", b"c")],
    "a header of texts": [*PLAIN, ("a", "b")],
    "nothing": None,
}


@pytest.mark.parametrize("headers", SECOND_LOOKS.values(), ids=SECOND_LOOKS)
def test_what_takes_a_second_look_is_not_recognised(core: ModuleType, headers: object) -> None:
    assert said(core, headers) is None


def test_a_header_that_is_not_read_may_say_anything_any_number_of_times(core: ModuleType) -> None:
    more = [
        (name, value) for name in (b"Cookie", b"mcp-param-region", b"VIA") for value in (b"", b"\xff", b"x" * 9_999)
    ]
    seen = said(core, [*PLAIN, *more])
    assert seen is not None
    assert seen["others"][-9:] == more


def test_a_length_at_the_bound_is_recognised(core: ModuleType) -> None:
    assert said(core, changed(b"content-length", b"1000")) is not None


def test_whose_token_has_expired_is_not_recognised(core: ModuleType) -> None:
    assert said(core, PLAIN, now=NOW + 59) is not None
    assert said(core, PLAIN, now=NOW + 60) is None


PEERS = {
    "127.0.0.1": True,
    "127.255.0.9": True,
    "::1": True,
    "192.0.2.7": False,
    "::2": False,
    "::ffff:127.0.0.1": False,
    "::1%lo": False,
    "127.0.0.1:80": False,
    "127.1": False,
    "localhost": False,
    "": False,
    None: False,
}


@pytest.mark.parametrize(("peer", "is_here"), PEERS.items(), ids=map(repr, PEERS))
def test_credentials_come_over_https_or_from_this_machine(core: ModuleType, peer: str | None, is_here: bool) -> None:
    assert (said(core, PLAIN, scheme="http", peer=peer) is not None) == is_here
    assert said(core, PLAIN, scheme="https", peer=peer) is not None


NAMES = st.sampled_from(
    [name for name, _ in PLAIN] + [b"Host", b"origin", b"X-Forwarded-For", b"other", b"TraceParent"]
)
VALUES = st.sampled_from([b"Bearer a", b"Bearer ", b"h", b"12", b"0", b"\xff", b"", b" 1"]) | st.binary(max_size=6)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_both_cores_recognise_the_same(headers: Headers) -> None:
    assert said(native, headers) == said(pure, headers)
    ours: Headers = [(b"host", b"h"), (b"authorization", b"Bearer a"), *headers]
    assert said(native, ours) == said(pure, ours)
