"""Where a request comes from and what it carries, judged before its credentials are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judging import HOST, transport, verdict

from doorward import hosts
from doorward.errors import Refused
from doorward.hosts import parse_host, parse_origin
from doorward.request import Request
from doorward.transport import bearer_token, is_loopback_host

# --- Host -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "host", "is_served"),
    [
        (f"https://{HOST}/mcp", HOST, True),
        (f"https://{HOST}/mcp", "MCP.Example.COM", True),
        (f"https://{HOST}/mcp", f"{HOST}:443", True),
        (f"https://{HOST}:443/mcp", HOST, True),
        (f"https://{HOST}:443/mcp", f"{HOST}:443", True),
        (f"https://{HOST}:8443/mcp", f"{HOST}:8443", True),
        (f"https://{HOST}:8443/mcp", HOST, False),
        (f"https://{HOST}/mcp", f"{HOST}:80", False),
        (f"https://{HOST}/mcp", f"{HOST}:8443", False),
        (f"https://{HOST}/mcp", f"{HOST}:443:443", False),
        (f"https://{HOST}/mcp", f"{HOST}:0443", False),
        (f"https://{HOST}/mcp", f"{HOST}:", False),
        (f"https://{HOST}/mcp", f"{HOST}.", False),
        (f"https://{HOST}/mcp", f"evil@{HOST}", False),
        (f"https://{HOST}/mcp", f" {HOST}", False),
        (f"https://{HOST}/mcp", f"{HOST}.evil.example", False),
        (f"https://{HOST}/mcp", "localhost", False),
        (f"https://{HOST}/mcp", "", False),
        ("http://localhost:8000/mcp", "localhost:8000", True),
        ("http://localhost:8000/mcp", "127.0.0.1:9999", True),
        ("http://localhost:8000/mcp", "[::1]:8000", True),
        ("http://localhost:8000/mcp", "localhost", True),
        ("http://localhost:8000/mcp", "LOCALHOST:1", True),
        ("http://localhost:8000/mcp", "localhost:x", False),
        ("http://localhost:8000/mcp", "localhost:٣", False),
        ("http://localhost:8000/mcp", "localhost:8000:8000", False),
        ("http://localhost:8000/mcp", "localhost.evil.example:8000", False),
        ("http://localhost:8000/mcp", "evil.example", False),
        ("http://localhost:8000/mcp", "127.0.0.1.evil.example", False),
        ("http://localhost:8000/mcp", "::1", False),
    ],
)
def test_hosts(resource: str, host: str, is_served: bool) -> None:
    scheme = resource.partition(":")[0]
    found = verdict(transport(resource), host=host, scheme=scheme, peer="127.0.0.1")
    assert found == (None if is_served else "invalid_host")


def test_allowed_hosts_take_the_place_of_the_resource_s_own() -> None:
    judge = transport(allowed_hosts=["Inner.example:8443", "other.example:443"])
    assert judge.allowed_hosts == ("inner.example:8443", "other.example")
    for host in ("inner.example:8443", "OTHER.example", "other.example:443"):
        assert verdict(judge, host=host) is None
    assert verdict(judge, host=HOST) == "invalid_host"


@given(st.text(max_size=20))
def test_any_text_is_a_host_or_none(text: str) -> None:
    assert is_loopback_host(text) in (True, False)
    assert verdict(transport(), host=text) in (None, "invalid_host")


# --- Origin -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "origin", "may_call"),
    [
        (f"https://{HOST}/mcp", f"https://{HOST}", True),
        (f"https://{HOST}:443/mcp", f"https://{HOST}", True),
        (f"https://{HOST}/mcp", "https://app.example.com", True),
        (f"https://{HOST}/mcp", "http://app.example.com:8080", True),
        (f"https://{HOST}/mcp", "https://dev.example.com", True),
        (f"https://{HOST}/mcp", f"http://{HOST}", False),
        (f"https://{HOST}/mcp", "https://app.example.com:8443", False),
        (f"https://{HOST}/mcp", "chrome-extension://abcdefghijklmnopabcdefghijklmnop", True),
        (f"https://{HOST}/mcp", "chrome-extension://abcdefghijklmnopabcdefghijklmnoa", False),
        (f"https://{HOST}/mcp", "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc", True),
        (f"https://{HOST}/mcp", "vscode-webview://1aBc", True),
        (f"https://{HOST}/mcp", "vscode-webview://1abc", False),
        (f"https://{HOST}/mcp", "app://obsidian.md", True),
        (f"https://{HOST}/mcp", "tauri://localhost", True),
        (f"https://{HOST}/mcp", "http://tauri.localhost", False),
        (f"https://{HOST}/mcp", "com.example.app+dev://localhost:8100", True),
        (f"https://{HOST}/mcp", "https://app.example.com.evil.example", False),
        (f"https://{HOST}/mcp", "https://app.example.com/", False),
        (f"https://{HOST}/mcp", "https://evil.example", False),
        (f"https://{HOST}/mcp", "http://localhost:6274", False),
        (f"https://{HOST}/mcp", "null", False),
        (f"https://{HOST}/mcp", "", False),
        ("http://localhost:8000/mcp", "http://localhost:6274", True),
        ("http://localhost:8000/mcp", "http://127.0.0.1", True),
        ("http://localhost:8000/mcp", "http://[::1]:1", True),
        ("http://localhost:8000/mcp", "http://localhost:6274/path", False),
        ("http://localhost:8000/mcp", "http://localhost:1@evil.example", False),
        ("http://localhost:8000/mcp", "http://localhost.evil.example", False),
        ("http://localhost:8000/mcp", "null", False),
        ("http://localhost:8000/mcp", "capacitor://localhost", False),
    ],
)
def test_origins(resource: str, origin: str, may_call: bool) -> None:
    allowed = [
        "https://App.example.com",
        "http://app.example.com:8080",
        "https://dev.example.com:443",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc",
        "vscode-webview://1aBc",
        "app://obsidian.md",
        "Tauri://localhost",
        "com.example.app+dev://localhost:8100",
    ]
    judge = transport(resource, allowed_origins=allowed)
    scheme, _, rest = resource.partition("://")
    given = {"host": rest.partition("/")[0], "scheme": scheme, "peer": "127.0.0.1"}
    assert verdict(judge, ("origin", origin), **given) == (None if may_call else "invalid_origin")


def test_a_second_origin_is_judged_as_the_first() -> None:
    good = ("origin", f"https://{HOST}")
    assert verdict(transport(), good, ("origin", "https://evil.example")) == "invalid_origin"


# --- what it carries --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_methods(method: str) -> None:
    assert verdict(transport(), method=method) is None


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "CONNECT", "post", ""])
def test_other_methods(method: str) -> None:
    assert verdict(transport(), method=method) == "method_not_allowed"


@pytest.mark.parametrize(
    "query",
    [
        "access_token=a",
        "access_token",
        "access_token=",
        "x=1&access_token=a",
        "x=1;access_token=a",
        "%61ccess_token=a",
        "access%5Ftoken=a",
        "ACCESS_TOKEN=a",
        "+access_token+=a",
        "%20access_token=a",
        "&&access_token=a&",
    ],
)
def test_a_token_in_the_query(query: str) -> None:
    assert verdict(transport(), query=query) == "token_in_query"


@pytest.mark.parametrize(
    "query", ["", "x=access_token", "my_access_token=a", "%2561ccess_token=a", "\xff=%ff", "=", "a"]
)
def test_other_queries(query: str) -> None:
    assert verdict(transport(), query=query) is None


SPELLINGS = st.sampled_from(
    [
        *("access_token", "ACCESS_", "TOKEN", "%61ccess", "_token", "%5f", "=", "&", ";", "%26", "%3b"),
        *("%3D", "+", "%20", "%", "%C2%A0", "%85", "%E2%84%AA", "a", "%2", "x", "to", "en"),
    ]
) | st.sampled_from([" ", "\xa0", "\n", "\ud800", "\xe9", "%E3%80%80"])


@given(st.lists(SPELLINGS, max_size=8).map("".join))
def test_a_token_in_the_query_is_found_as_by_a_parser(query: str) -> None:
    pairs = parse_qsl(query.replace(";", "&"), keep_blank_values=True)
    is_there = any(name.strip().lower() == "access_token" for name, _ in pairs)
    assert verdict(transport(), query=query) == ("token_in_query" if is_there else None)


# --- what is bounded before anything is known of the caller -----------------------------------------------------------

LOOPBACK = "http://127.0.0.1:8000/mcp"

BOUNDED: dict[str, tuple[str | None, dict[str, Any]]] = {
    "a query of 4096 characters": (None, {"query": "a" * 4096}),
    "a longer one": ("query_too_long", {"query": "a" * 4097}),
    "a longer one with a token": ("query_too_long", {"query": "access_token=" + "a" * 4097}),
    "a Content-Encoding of 64 characters": (None, {"headers": [("content-encoding", "identity,identity".ljust(64))]}),
    "a longer one of them": ("unsupported_encoding", {"headers": [("content-encoding", "identity".ljust(65))]}),
    "a long list of them": ("unsupported_encoding", {"headers": [("content-encoding", "identity," * 7000)]}),
    "a long Host": ("invalid_host", {"host": "a." * 30_000 + "!"}),
    "a long Origin": ("invalid_origin", {"headers": [("origin", "http://" + "a." * 30_000 + "!")]}),
    "a long Content-Length": ("invalid_request", {"headers": [("content-length", "1" * 60_000)]}),
}


@pytest.mark.parametrize(("code", "given"), BOUNDED.values(), ids=BOUNDED)
def test_what_a_stranger_sends_is_bounded(code: str | None, given: dict[str, Any]) -> None:
    request = {"scheme": "https", "host": "127.0.0.1:8000"} | given
    headers = request.pop("headers", ())
    assert verdict(transport(LOOPBACK), *headers, **request) == code


@pytest.mark.parametrize("text", ["a" * 260, "a." * 30_000], ids=["just too long", "far too long"])
@pytest.mark.parametrize("parse", [parse_host, lambda text: parse_origin(f"https://{text}")], ids=["host", "origin"])
def test_what_is_too_long_for_a_host_is_matched_against_nothing(
    parse: Callable[[str], str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Untouched:
        def fullmatch(self, text: str) -> None:
            raise AssertionError("an expression was run over all of it")

    monkeypatch.setattr(hosts, "_HOST", Untouched())
    with pytest.raises(ValueError, match="characters"):
        parse(text)


@pytest.mark.parametrize(
    ("values", "is_plain"),
    [
        ([], True),
        (["identity"], True),
        ([" Identity "], True),
        (["identity, identity"], True),
        (["gzip"], False),
        (["identity, gzip"], False),
        (["identity", "gzip"], False),
        ([""], False),
        (["identity;q=1"], False),
    ],
)
def test_encodings(values: list[str], is_plain: bool) -> None:
    headers = [("content-encoding", value) for value in values]
    assert verdict(transport(), *headers) == (None if is_plain else "unsupported_encoding")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([], None),
        (["0"], None),
        (["1000"], None),
        (["0001000"], None),
        (["1000", "1000"], None),
        (["1001"], "body_too_large"),
        (["999999999999999"], "body_too_large"),
        (["9" * 10_000], "invalid_request"),
        (["-1"], "invalid_request"),
        (["+1"], "invalid_request"),
        (["1e3"], "invalid_request"),
        (["0x10"], "invalid_request"),
        (["1_0"], "invalid_request"),
        ([" 10"], "invalid_request"),
        (["10, 10"], "invalid_request"),
        (["10", "11"], "invalid_request"),
        (["٣"], "invalid_request"),
        (["²"], "invalid_request"),
        ([""], "invalid_request"),
    ],
)
def test_declared_sizes(values: list[str], code: str | None) -> None:
    assert verdict(transport(), *[("content-length", value) for value in values]) == code


# --- the credentials --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "found"),
    [
        pytest.param(["Bearer a.b.c"], "a.b.c", id="a token"),
        pytest.param(["bEARER  a.b.c "], "a.b.c", id="any case, any spaces"),
        pytest.param(["Bearer a b"], "a b", id="what is no token is for the verifier to refuse"),
        pytest.param([], "missing_credentials", id="none"),
        pytest.param(["Bearer a", "Bearer a"], "multiple_credentials", id="two, though the same"),
        pytest.param(["Bearer"], "malformed_token", id="no token"),
        pytest.param(["Bearer  "], "malformed_token", id="spaces"),
        pytest.param(["Basic dXNlcg=="], "unsupported_scheme", id="another scheme"),
        pytest.param(["BearerX a"], "unsupported_scheme", id="almost the scheme"),
        pytest.param(["Bearer\ta"], "unsupported_scheme", id="a tab is no space"),
        pytest.param([""], "unsupported_scheme", id="empty"),
    ],
)
def test_bearer_tokens(values: list[str], found: str) -> None:
    request = Request(headers=[("authorization", value) for value in values])
    try:
        token = bearer_token(request)
    except Refused as refused:
        token = refused.code
    assert token == found


# --- the configuration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"allowed_hosts": [f"https://{HOST}"]}, "allowed_hosts is wrong: 'https://mcp.example.com' is not a host"),
        ({"allowed_hosts": ["*.example.com"]}, "allowed_hosts is wrong"),
        ({"allowed_hosts": [f"{HOST}/mcp"]}, "allowed_hosts is wrong"),
        ({"allowed_hosts": [f"{HOST}:0"]}, "allowed_hosts is wrong"),
        ({"allowed_hosts": [f"{HOST}:65536"]}, "allowed_hosts is wrong"),
        ({"allowed_hosts": [""]}, "allowed_hosts is wrong"),
        ({"allowed_hosts": HOST}, "allowed_hosts must be a list of strings"),
        ({"allowed_origins": ["*"]}, "allowed_origins is wrong: '\\*' is not an origin"),
        ({"allowed_origins": ["null"]}, "allowed_origins is wrong: 'null' is the origin of every sandboxed page"),
        ({"allowed_origins": ["chrome-extension://*"]}, "allowed_origins is wrong"),
        ({"allowed_origins": ["chrome-extension://"]}, "allowed_origins is wrong"),
        ({"allowed_origins": ["tauri://localhost/index.html"]}, "allowed_origins is wrong"),
        ({"allowed_origins": ["tauri:localhost"]}, "allowed_origins is wrong"),
        ({"allowed_origins": ["1app://localhost"]}, "allowed_origins is wrong"),
        ({"allowed_origins": [f"{'a' * 65}://localhost"]}, "allowed_origins is wrong: an origin has at most 64"),
        ({"allowed_origins": [HOST]}, "allowed_origins is wrong"),
        ({"allowed_origins": [f"https://{HOST}/"]}, "allowed_origins is wrong"),
        ({"allowed_origins": [f"https://user@{HOST}"]}, "allowed_origins is wrong"),
        ({"allowed_origins": [f"https://{HOST}:x"]}, "allowed_origins is wrong"),
        ({"allowed_origins": ["file://"]}, "allowed_origins is wrong"),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies is wrong: 10.0.0.1/8 has host bits set"),
        ({"trusted_proxies": ["proxy.example.com"]}, "trusted_proxies is wrong"),
        ({"trusted_proxies": ["0.0.0.0/0"]}, "trusted_proxies is wrong: '0.0.0.0/0' is everybody"),
        ({"trusted_proxies": ["::/0"]}, "trusted_proxies is wrong: '::/0' is everybody"),
        ({"trusted_proxies": "10.0.0.0/8"}, "trusted_proxies must be a list of strings"),
        ({"max_body_bytes": 0}, "max_body_bytes must be a whole number, at least 1"),
        ({"max_body_bytes": 1.5}, "max_body_bytes must be a whole number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_right(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}"):
        transport(**given)
