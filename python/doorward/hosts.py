"""Hosts and origins as configurations and headers write them (RFC 9110 section 7.2, RFC 6454)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_loopback_host", "parse_host", "parse_origin", "without_default_port"]

MAX_HOST: Final = 259
"""Characters: 253 of a name (RFC 1035 section 2.3.4), a colon and a port. Nothing longer is looked at."""

MAX_SCHEME: Final = 64
"""Characters of an origin's scheme: the longest in use has 16."""

_HOST: Final = re.compile(r"(?P<name>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def parse_host(text: str) -> str:
    """A host, with or without a port, in lower case. Raises `ValueError`."""
    if len(text) > MAX_HOST:
        raise ValueError(f"a host has at most {MAX_HOST} characters: this one has {len(text)}")
    host = text.lower()
    match = _HOST.fullmatch(host)
    if match is None or not 0 < int(match["port"] or 1) < 65_536:
        raise ValueError(f"{text!r} is not a host, like mcp.example.com or mcp.example.com:8443")
    return host


def parse_origin(text: str) -> str:
    """A serialised origin (RFC 6454 section 6.2) as the Origin header has it: of the web in lower case and without a
    default port, of an extension or an app (``chrome-extension://...``, ``tauri://localhost``) as it is written.
    Raises `ValueError`."""
    if text == "null":
        raise ValueError("'null' is the origin of every sandboxed page and local file, so it cannot be allowed")
    written, _, authority = text.partition("://")
    if len(written) > MAX_SCHEME or len(authority) > MAX_HOST:
        raise ValueError(f"an origin has at most {MAX_SCHEME} characters of scheme and {MAX_HOST} of host")
    scheme = written.lower()
    try:
        if _SCHEME.fullmatch(scheme) is not None:
            host = parse_host(authority)
            return f"{scheme}://{without_default_port(host, scheme) if scheme in _DEFAULT_PORTS else authority}"
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not an origin, like https://app.example.com or chrome-extension://abcdef")


def without_default_port(host: str, scheme: str) -> str:
    """The host without the port that goes without saying: clients leave it out, some of them not."""
    return host.removesuffix(_DEFAULT_PORTS[scheme])


def is_loopback_host(host: str) -> bool:
    """Whether the host, with any port or none, is this machine's own."""
    try:
        match = _HOST.fullmatch(parse_host(host))
    except ValueError:
        return False
    return match is not None and match["name"] in _LOOPBACK
