"""The resource's URL: one spelling, and nothing that could break out of the header it stands in."""

from __future__ import annotations

import pytest

from doorward.resource import parse_resource, spellings

GOOD = {
    "as it is": ("https://mcp.example.com/mcp", "https://mcp.example.com/mcp"),
    "scheme and host in lower case": ("HTTPS://MCP.Example.com/Mcp", "https://mcp.example.com/Mcp"),
    "a port": ("https://mcp.example.com:8443/mcp", "https://mcp.example.com:8443/mcp"),
    "no path": ("https://mcp.example.com", "https://mcp.example.com"),
    "plain http on loopback": ("http://127.0.0.1:8000/mcp", "http://127.0.0.1:8000/mcp"),
    "loopback by IPv6": ("http://[::1]:8000/mcp", "http://[::1]:8000/mcp"),
}
BAD = {
    "empty": "",
    "no scheme": "mcp.example.com/mcp",
    "another scheme": "ftp://mcp.example.com/mcp",
    "plain http": "http://mcp.example.com/mcp",
    "credentials": "https://user:password@mcp.example.com/mcp",
    "a query": "https://mcp.example.com/mcp?",
    "a fragment": "https://mcp.example.com/mcp#",
    "a quote": 'https://mcp.example.com/m"cp',
    "a line break": "https://mcp.example.com/mcp\r\nX: y",
    "a space": "https://mcp.example.com/m cp",
    "a port that is none": "https://mcp.example.com:99999/mcp",
    "no host": "https:///mcp",
}


@pytest.mark.parametrize(("given", "parsed"), GOOD.values(), ids=GOOD)
def test_a_resource_has_one_spelling(given: str, parsed: str) -> None:
    assert parse_resource(given) == parsed


@pytest.mark.parametrize("given", BAD.values(), ids=BAD)
def test_what_is_no_resource_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"is not|is plain"):
        parse_resource(given)


def test_the_audience_may_have_one_slash_more_or_less() -> None:
    assert spellings("https://m.example/mcp") == ("https://m.example/mcp", "https://m.example/mcp/")
    assert spellings("https://m.example/mcp/") == ("https://m.example/mcp/", "https://m.example/mcp")
