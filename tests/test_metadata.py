"""The protected resource metadata (RFC 9728)."""

from __future__ import annotations

import json

import pytest

from doorward.metadata import Metadata

ROOT = "/.well-known/oauth-protected-resource"
ISSUERS = ["https://as.example.com", "https://b.example.com/realms/ö"]


@pytest.mark.parametrize(
    ("resource", "url", "paths"),
    [
        pytest.param(
            "https://mcp.example.com/mcp",
            f"https://mcp.example.com{ROOT}/mcp",
            {ROOT, f"{ROOT}/mcp", f"{ROOT}/mcp/"},
            id="between host and path",
        ),
        pytest.param(
            "https://mcp.example.com:8443/a/b/",
            f"https://mcp.example.com:8443{ROOT}/a/b",
            {ROOT, f"{ROOT}/a/b", f"{ROOT}/a/b/"},
            id="a port and a last slash",
        ),
        pytest.param("https://mcp.example.com", f"https://mcp.example.com{ROOT}", {ROOT, f"{ROOT}/"}, id="no path"),
        pytest.param("http://[::1]:8000/", f"http://[::1]:8000{ROOT}", {ROOT, f"{ROOT}/"}, id="a slash alone"),
        pytest.param(
            "https://mcp.example.com/a%20b",
            f"https://mcp.example.com{ROOT}/a%20b",
            {ROOT, f"{ROOT}/a b", f"{ROOT}/a b/"},
            id="servers hand paths on decoded",
        ),
    ],
)
def test_where_it_is_served(resource: str, url: str, paths: set[str]) -> None:
    metadata = Metadata.of(resource, ISSUERS, [])
    assert metadata.url == url
    assert metadata.paths == paths


def test_what_it_says() -> None:
    document = Metadata.of("https://mcp.example.com/mcp", ISSUERS, ["mcp:tools:read"]).document
    assert json.loads(document) == {
        "resource": "https://mcp.example.com/mcp",
        "authorization_servers": ISSUERS,
        "scopes_supported": ["mcp:tools:read"],
        "bearer_methods_supported": ["header"],
    }


@pytest.mark.parametrize(
    ("issuers", "scopes", "members"),
    [
        ([], ["read"], {"resource", "scopes_supported", "bearer_methods_supported"}),
        (ISSUERS, [], {"resource", "authorization_servers", "bearer_methods_supported"}),
    ],
    ids=["agents alone", "no rule asks for a scope"],
)
def test_what_has_no_values_is_left_out(issuers: list[str], scopes: list[str], members: set[str]) -> None:
    """RFC 9728 section 3.2."""
    assert set(json.loads(Metadata.of("https://mcp.example.com/mcp", issuers, scopes).document)) == members
