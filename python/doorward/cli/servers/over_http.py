"""A server that runs, asked over HTTP: where its URL may lead, and where a token for it may go."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from doorward.hosts import is_loopback_host, parse_host

if TYPE_CHECKING:
    import httpx2

__all__ = ["check_url", "client", "token_of"]

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750 section 2.1."""


def check_url(url: str, *, with_token: bool) -> None:
    """Raises `ValueError` for a URL that is not HTTP, has a credential in it, or would send a token in the clear."""
    parts = _split(url)
    if "@" in parts.netloc:
        # Not repeated: what is named here is written into files and shown.
        raise ValueError("--url has a user or password in it: give a token by --token-env NAME")
    if with_token and parts.scheme != "https" and not is_loopback_host(parts.netloc):
        raise ValueError(f"--url is {url}: a token is sent over https alone, or to this machine")


def token_of(variable: str) -> str:
    """The token in a variable of the environment. Raises `ValueError`, without its value: one that is no token may be
    part of one, and whoever gives a token instead of a name must not see it in an error."""
    if _VARIABLE.fullmatch(variable) is None:
        raise ValueError("--token-env is the name of an environment variable, like DOORWARD_TOKEN, not the token")
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ValueError("--token-env names a variable that is not set: put a token into it")
    if _TOKEN.fullmatch(value) is None:
        raise ValueError("--token-env names a variable that holds no bearer token (RFC 6750 section 2.1)")
    return value


@asynccontextmanager
async def client(url: str, token: str | None) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client that sends the token to the origin of ``url`` and nowhere else, wherever a redirect leads."""
    import httpx2

    own = _origin(httpx2.URL(url))

    async def authorise(request: httpx2.Request) -> None:
        request.headers.pop("authorization", None)
        if token is not None and _origin(request.url) == own:
            request.headers["authorization"] = f"Bearer {token}"

    # A proxy of the environment would see in the clear what is meant for this machine.
    trust = not is_loopback_host(_split(url).netloc)
    async with httpx2.AsyncClient(event_hooks={"request": [authorise]}, trust_env=trust) as made:
        yield made


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parse_host(parts.netloc.rpartition("@")[2])
        is_http = parts.scheme in ("http", "https")
    except ValueError:
        is_http = False
    if not is_http:
        raise ValueError("--url is not like https://mcp.example.com/mcp")
    return parts


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
