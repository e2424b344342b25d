"""Documents of an issuer over HTTPS: bounded in time and size, and only from where the issuer may be.

What a document names is a stranger's choice: a ``jwks_uri`` may lead into the own network, and so may the name server
that answers for its host. So a name is resolved once, every address it has is judged, and what was judged is what is
connected to; TLS still proves the name. No redirect is followed, no proxy of the environment used, no encoding taken.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from socket import SOCK_STREAM
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio

from doorward.addresses import is_public, parse_address
from doorward.errors import Unavailable
from doorward.hosts import is_loopback_host, parse_host, without_default_port

if TYPE_CHECKING:
    import httpx2

__all__ = ["DEADLINE", "MAX_KEY_SET_BYTES", "Fetcher", "unavailable"]

DEADLINE: Final = 5.0
"""Seconds for one document from the name's resolution to its last byte, also where it comes byte by byte: a caller
waits for it, and one that waits longer has gone."""

MAX_KEY_SET_BYTES: Final = 512 * 1024
"""As much as the core parses; honest key sets have 1 to 20 KiB."""

MAX_ADDRESSES: Final = 8
"""Addresses tried of one name; who publishes more has them for balance."""

CONNECT_SECONDS: Final = 2.0
"""For each address, so that a dead one leaves time for the next."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Fetcher:
    """Fetches for one configured issuer."""

    def __init__(self, url: str, *, resolve: Resolve | None = None, context: ssl.SSLContext | None = None) -> None:
        """``url``: the configured one, whose origin alone may lie in a private network, since an operator wrote it.
        ``resolve`` gives the addresses of a name and port, ``context`` the trusted authorities: the system's unless
        given. Raises `ValueError` where the URL is plain http to another machine."""
        target = _Target.parse(url)
        if target is None or (target.scheme == "http" and not is_loopback_host(target.authority)):
            raise ValueError("url must be https: only an issuer on this very machine may be asked without")
        self._own = target.origin
        self._resolve = resolve or _resolve
        self._context = context

    async def get(self, url: str, *, max_bytes: int) -> bytes:
        """The document at ``url``. Raises `Unavailable`."""
        return await self._fetch("GET", url, {"accept": "application/json"}, None, max_bytes)

    async def post(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str], max_bytes: int) -> bytes:
        """The answer to a form sent to ``url``. Raises `Unavailable`."""
        return await self._fetch("POST", url, {"accept": "application/json", **headers}, form, max_bytes)

    async def _fetch(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None, max_bytes: int
    ) -> bytes:
        # Here, not above: a gate whose keys are given never needs a client, and it takes long to import.
        import httpx2

        target = _Target.parse(url)
        if target is None:
            raise unavailable("the URL is not one to fetch from")
        try:
            with anyio.fail_after(DEADLINE):
                addresses = await self._addresses(target)
                self._context = self._context or httpx2.create_ssl_context()
                # A client for each document. Its pool knows connections by address and port alone, so a kept one,
                # whose certificate was judged for one name, would carry a request for any other name that lies there;
                # what a name means would not be judged anew; and a pool belongs to one event loop. Keys are fetched
                # once an hour; a question about a token pays a handshake more.
                # Without the environment: no proxy, no passwords out of .netrc.
                async with httpx2.AsyncClient(
                    verify=self._context,
                    trust_env=False,
                    timeout=httpx2.Timeout(DEADLINE, connect=CONNECT_SECONDS),
                ) as client:
                    request = _Request(client, method, target, headers, form, max_bytes)
                    return await request.answer_of_any(addresses)
        except TimeoutError:
            raise unavailable("the answer took too long") from None
        # ValueError: names that cannot be encoded. Nothing of these errors is kept: they may quote what was sent.
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError):
            raise unavailable("the host cannot be reached, or does not speak HTTP as it should") from None

    async def _addresses(self, target: _Target) -> list[str]:
        """Those to connect to, every one of them allowed: a name that leads inside as well as outside is a trap."""
        own = target.origin == self._own
        if target.scheme != "https" and not own:
            raise unavailable("the URL is not https")
        found = [parse_address(text) for text in (await self._resolve(target.host, target.port))[:MAX_ADDRESSES]]
        addresses = [address for address in found if address is not None]
        if not addresses or len(addresses) < len(found):
            raise unavailable("the host has no address")
        if target.scheme == "http" and not all(address.is_loopback for address in addresses):
            raise unavailable("the host is not this machine, and plain http is for nothing else")
        if not own and not all(map(is_public, addresses)):
            raise unavailable("the host lies in a private network, and is not the configured one")
        return [f"[{address}]" if address.version == 6 else str(address) for address in addresses]


def unavailable(detail: str, *, retry_after: float = 1.0) -> Unavailable:
    """The refusal for an issuer that cannot be asked; ``detail`` is fixed words, and a status at most."""
    return Unavailable("issuer_unavailable", detail, retry_after=retry_after)


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL, read once and strictly: two readers that disagree about its host are the oldest trick there is."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @classmethod
    def parse(cls, url: str) -> _Target | None:
        if not all("!" <= each <= "~" for each in url) or "#" in url or "\\" in url:
            return None
        try:
            parts = urlsplit(url)
            if parts.scheme not in _PORTS:
                return None
            authority = without_default_port(parse_host(parts.netloc), parts.scheme)
            port = parts.port
        except ValueError:
            return None
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        return cls(parts.scheme, parts.hostname or "", port or _PORTS[parts.scheme], authority, path)


_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Request:
    """One request, for whichever address takes the connection."""

    client: httpx2.AsyncClient
    method: str
    target: _Target
    headers: Mapping[str, str]
    form: Mapping[str, str] | None
    max_bytes: int

    async def answer_of_any(self, addresses: Sequence[str]) -> bytes:
        import httpx2

        for address in addresses:
            with suppress(httpx2.ConnectError, httpx2.ConnectTimeout):  # nothing was sent: the next may be asked
                return await self._answer_of(address)
        raise unavailable("no address of the host takes a connection")

    async def _answer_of(self, address: str) -> bytes:
        # The URL names the address that was judged; the Host header, SNI and the certificate go by the name.
        async with self.client.stream(
            self.method,
            f"{self.target.scheme}://{address}:{self.target.port}{self.target.path}",
            headers={**self.headers, "host": self.target.authority, "accept-encoding": "identity"},
            data=self.form,
            extensions={"sni_hostname": self.target.host},
            follow_redirects=False,
        ) as response:
            if response.status_code != 200:
                raise unavailable(f"the answer is {response.status_code}, not 200")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise unavailable("the answer is encoded, though nobody asked")
            # Key sets are served under many types; the answer to a form is JSON or from somebody else, like a proxy.
            if self.form is not None and _media_type(response.headers) != "application/json":
                raise unavailable("the answer is not application/json")
            body = await self._body(response)
        if len(body) > self.max_bytes:
            raise unavailable("the answer is too large")
        return bytes(body)

    async def _body(self, response: httpx2.Response) -> bytearray:
        """Up to a little more than the bound. Reading ends by cancellation: that unwinds the generators the client has
        nested inside, which must not be dropped half-way."""
        body = bytearray()
        with anyio.CancelScope() as scope:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self.max_bytes:
                    scope.cancel()
        return body


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def _resolve(host: str, port: int) -> list[str]:
    found = await anyio.getaddrinfo(host, port, type=SOCK_STREAM)
    return list(dict.fromkeys(address[0] for *_, address in found))
