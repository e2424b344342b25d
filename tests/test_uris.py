"""Resource URIs that may mean another resource than they spell."""

from __future__ import annotations

import posixpath
import re
import time
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, ValidationError

from doorward.uris import decoded, is_always_disguised, is_disguised, without_query


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
        "file:///c:/a",
        "https://api.example.com:8443/a",
        "https://xn--mller-kva.example/",
        "http://127.0.0.1:8000/a",
        "http://[::1]/a",
        "users://boss@corp/mail",
        "users://boss%40corp/mail",
        "docs://search?q=100%25",
        "docs://50%25ff",
    ],
)
def test_plain_spellings(uri: str) -> None:
    assert not is_disguised(uri)


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("file:/secret", id="a file without a host"),
        pytest.param("file:secret", id="a file without a root"),
        pytest.param("file://localhost/secret", id="a file on this very host"),
        pytest.param("file://secret", id="a file whose first segment is a host"),
        pytest.param("file:///c://secret", id="an empty segment behind a drive"),
        pytest.param("https:api.example.com/a", id="no slashes"),
        pytest.param("https:/api.example.com/a", id="one slash"),
        pytest.param("https:///api.example.com/a", id="three slashes"),
        pytest.param("https://api.example.com", id="no path, which is the path /"),
        pytest.param("https://api.example.com?a", id="a query and no path"),
        pytest.param("https://api.example.com:443/a", id="the default port of https"),
        pytest.param("ws://api.example.com:80/a", id="the default port of ws"),
        pytest.param("ftp://api.example.com:21/a", id="the default port of ftp"),
        pytest.param("https://api.example.com:/a", id="an empty port"),
        pytest.param("https://api.example.com:08443/a", id="a zero before a port"),
        pytest.param("https://api.example.com:65979/a", id="a port that is another one in 16 bits"),
        pytest.param("https://api.example.com./a", id="a dot behind the host"),
        pytest.param("https://public@api.example.com/a", id="a user that looks like a host"),
        pytest.param("https://\uff41pi.example.com/a", id="a fullwidth letter"),
        pytest.param("https://a\u00adpi.example.com/a", id="a soft hyphen"),
        pytest.param("https://m\u00fcller.example/a", id="a host that goes by its xn-- name"),
        pytest.param("https://api%2eexample.com/a", id="an encoded host"),
        pytest.param("http://127.1/a", id="a short IPv4 address"),
        pytest.param("http://2130706433/a", id="an IPv4 address as a number"),
        pytest.param("http://0x7f.0.0.1/a", id="a hexadecimal IPv4 address"),
        pytest.param("http://0177.0.0.1/a", id="an octal IPv4 address"),
        pytest.param("http://[0:0::1]/a", id="a long IPv6 address"),
        pytest.param("http://[::ffff:7f00:1]/a", id="an IPv4 address as an IPv6 one"),
        pytest.param("users://[::0001]/a", id="a long IPv6 address under any scheme"),
        pytest.param("users://corp:/a", id="an empty port under any scheme"),
        pytest.param("users://corp:080/a", id="a zero before a port under any scheme"),
        pytest.param("users://@corp/a", id="an empty user"),
        pytest.param("users://boss:@corp/a", id="an empty password"),
        pytest.param("users://boss%FF@corp/a", id="encoded octets that are no UTF-8"),
        pytest.param("file:///a/%C0%AE%C0%AE/b", id="overlong dots"),
        pytest.param("users://corp/a\u2003", id="a wide space"),
        pytest.param("users://corp/\ud800", id="half a character"),
    ],
)
def test_other_spellings_of_an_origin_and_of_characters(uri: str) -> None:
    assert is_disguised(uri)


@pytest.mark.parametrize(
    ("uri", "read"),
    [
        ("users://boss%40corp/a%20b", "users://boss@corp/a b"),
        ("users://m%C3%BCller", "users://müller"),
        ("users://m%c3%bcller", "users://müller"),
        ("users://boss%2540corp", "users://boss@corp"),
        ("users://boss%252540corp", "users://boss@corp"),
        ("docs://100%25", "docs://100%"),
        ("docs://100%", "docs://100%"),
        ("docs://a*b", "docs://a%2Ab"),
        ("docs://a%2ab", "docs://a%2Ab"),
    ],
)
def test_the_decoded_form(uri: str, read: str) -> None:
    assert decoded(uri) == read


def test_the_decoded_form_of_a_pattern_keeps_its_stars_and_gets_no_more() -> None:
    assert decoded("docs://%C3%A9*/a%2Ab", is_pattern=True) == "docs://é*/a%2Ab"


@pytest.mark.parametrize(
    ("uri", "resource"),
    [("docs://a?b", "docs://a"), ("docs://a#b?c", "docs://a"), ("docs://a%3Fb", "docs://a%3Fb"), ("", "")],
)
def test_the_resource_without_its_query(uri: str, resource: str) -> None:
    assert without_query(uri) == resource


@pytest.mark.parametrize(
    ("pattern", "always"),
    [
        ("*", False),
        ("file:*", False),
        ("file://*", False),
        ("file://*/key", False),
        ("file:*secret*", False),
        ("https:*", False),
        ("https://*", False),
        ("https://*.example.com:*/*", False),
        ("ht*://api.example.com/*", False),
        ("file://localhost/*", True),
        ("https://api.example.com", True),
        ("https://api.example.com:443/*", True),
        ("https://API.*", True),
        ("docs://*/../*", True),
        ("docs://%FF*", True),
    ],
)
def test_patterns_that_fit_disguises_alone(pattern: str, always: bool) -> None:
    assert is_always_disguised(pattern) is always


@given(st.lists(st.sampled_from([".", "..", "/", "//", "a", "%2e", "%2F", "%25", "%61", "\\", "\t", "b"]), max_size=8))
def test_what_is_plain_is_read_alike_by_whoever_decodes_and_resolves(parts: list[str]) -> None:
    uri = "file:///" + "".join(parts)
    if not is_disguised(uri):
        path = urlsplit(uri).path
        assert path == uri.removeprefix("file://")
        for decoded in (unquote(path), unquote(unquote(path))):
            assert posixpath.normpath(decoded) == (decoded.rstrip("/") or "/")
            assert decoded.count("/") == path.count("/")


ORIGINS = [":", "/", "//", "@", "a", "b.c", "0", "80", "443", "127", "0x7", ".", "[", "]", "::", "[::1]", "1.2.3.4"]
TAILS = ["xn--", "é", "%C3%A9", "%20", "%40", "%25", "?", "#", "-", "%", "A", "\\", ";", "{a}", "+", "!", "~", "|", "'"]


@given(
    st.sampled_from(["https://", "https:", "file://", "file:", "ftp://", "users://", "users:"]),
    st.lists(st.sampled_from(ORIGINS + TAILS), max_size=8),
)
def test_what_is_plain_is_read_alike_by_a_parser_that_normalises(beginning: str, parts: list[str]) -> None:
    uri = beginning + "".join(parts)
    if not is_disguised(uri):
        try:
            normalised = str(AnyUrl(uri))
        except ValidationError:
            return
        assert decoded(normalised) == decoded(uri)


@pytest.mark.parametrize("uri", ["A" * 8192, "%25" * 2730, "." * 8192, ":/" * 4096, "http://" + "A" * 8000, "%" * 8192])
def test_no_uri_is_slow(uri: str) -> None:
    began = time.process_time()
    for _ in range(10):
        is_disguised(uri)
        decoded(uri)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "uri", ["a://" + ":0" * 4000, "a://" + "@:" * 4000, "http://" + "1." * 4000 + "1/", "http://[" + ":" * 8000 + "]/"]
)
def test_no_origin_is_slow(uri: str) -> None:
    test_no_uri_is_slow(uri)


# --- decoding: in the time of a few copies, and still what one expression says ----------------------------------------

ENCODED = re.compile(rb"%(?:25)*([0-9a-f]{2})", re.IGNORECASE)
PIECES = st.sampled_from(
    [
        *("%", "2", "5", "25", "a", "A", "*", "/", ".", "..", "//", ":", "@", "?"),
        *("#", ";", "\xe9", "0", "3", "%2a", "%2A", "%41", "%C3%A9", "%c0%ae", "%20", "80", "{", "docs://"),
    ]
)


def plainly_decoded(uri: str, *, is_pattern: bool) -> str:
    """Octet by octet; an encoded asterisk stays encoded."""

    def octet(encoded: re.Match[bytes]) -> bytes:
        found = bytes.fromhex(encoded[1].decode())
        return b"%2A" if found == b"*" else found

    spelled = uri if is_pattern else uri.replace("*", "%2A")
    return ENCODED.sub(octet, spelled.encode()).decode(errors="surrogateescape")


@given(st.lists(PIECES, max_size=10).map("".join), st.booleans())
def test_everything_is_decoded_however_often_it_was_encoded(uri: str, is_pattern: bool) -> None:
    assert decoded(uri, is_pattern=is_pattern) == plainly_decoded(uri, is_pattern=is_pattern)
