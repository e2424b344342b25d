"""Resource URIs that may mean another resource than they spell."""

from __future__ import annotations

import posixpath
import time
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgate.uris import is_disguised


@pytest.mark.parametrize(
    "uri",
    [
        "file:///a/../b",
        "file:///a/./b",
        "file:///a/..",
        "file:///a/.",
        "../a",
        "..",
        "file:///a/..?x",
        "file:///a/..#x",
        "file:///a/..;x/b",
        "file:///a/.\n./b",
        "file:///a/.\t./b",
        "file:///a/%2e%2E/b",
        "file:///a/.%2e/b",
        "file:///a%2fb",
        "file:///a%2Fb",
        "file:///a%5cb",
        "file:///a\\..\\b",
        "file:///a/%252e%252e/b",
        "file:///a%25252fb",
        "file:///a%00.txt",
        "file:///a\N{NULL}",
        "file:///%73ecret",
        "file:///secre%74",
        "file:///a%7E",
        "file:///public//secret",
        "file:////secret",
        "//secret",
        " file:///a",
        "file:///a b",
        "file:///a\x7f",
        "FILE:///a",
        "File:///a",
        "https://API.example.com/a",
        "file://Host/a",
    ],
)
def test_disguises(uri: str) -> None:
    assert is_disguised(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///a/b.txt",
        "file:///a/..b/c..",
        "file:///a/.hidden",
        "file:///a/...",
        "file:///a%20b",
        "file:///100%25",
        "file:///a%C3%A9",
        "https://api.example.com/A?q=../x",
        "greeting://World/Hello",
        "web://https://example.com/a",
        "data:text/plain,Hello",
        "file:///{path}",
        "docs://a:B/c",
        "note:",
        "",
        "a/B:c",
        "file:///ünïcode",
    ],
)
def test_plain_spellings(uri: str) -> None:
    assert not is_disguised(uri)


@given(st.lists(st.sampled_from([".", "..", "/", "//", "a", "%2e", "%2F", "%25", "%61", "\\", "\t", "b"]), max_size=8))
def test_what_is_plain_is_read_alike_by_whoever_decodes_and_resolves(parts: list[str]) -> None:
    uri = "file:///" + "".join(parts)
    if not is_disguised(uri):
        path = urlsplit(uri).path
        assert path == uri.removeprefix("file://")
        for decoded in (unquote(path), unquote(unquote(path))):
            assert posixpath.normpath(decoded) == (decoded.rstrip("/") or "/")
            assert decoded.count("/") == path.count("/")


@pytest.mark.parametrize("uri", ["A" * 8192, "%25" * 2730, "." * 8192, ":/" * 4096, "http://" + "A" * 8000, "%" * 8192])
def test_no_uri_is_slow(uri: str) -> None:
    began = time.process_time()
    for _ in range(10):
        is_disguised(uri)
    assert time.process_time() - began < 0.5
