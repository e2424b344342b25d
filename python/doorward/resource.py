"""The resource: the one URL that clients call (RFC 8707 section 2)."""

from __future__ import annotations

from urllib.parse import urlsplit

from doorward.hosts import is_loopback_host, parse_host

__all__ = ["parse_resource", "spellings"]


def parse_resource(text: str) -> str:
    """The URL with scheme and host in lower case; the rest is compared as it is written. Raises `ValueError`."""
    # It stands in a quoted string of a header as it is.
    if not text or not all("!" <= each <= "~" and each not in '"\\' for each in text):
        raise ValueError(f"{text!r} is not a URL: only visible ASCII, without quotes and backslashes")
    parts = urlsplit(text)
    scheme = parts.scheme.lower()
    if scheme not in ("https", "http") or "?" in text or "#" in text:
        raise ValueError(f"{text!r} is not a URL like https://mcp.example.com/mcp, without query and fragment")
    host = parse_host(parts.netloc)
    if scheme == "http" and not is_loopback_host(host):
        raise ValueError(f"{text!r} is plain http: only a loopback resource may be")
    return f"{scheme}://{host}{parts.path}"


def spellings(resource: str) -> tuple[str, str]:
    """The resource with and without one trailing slash: clients and authorization servers disagree about it."""
    return (resource, resource[:-1] if resource.endswith("/") else f"{resource}/")
