"""Where a request comes from and what it carries: everything that is judged before credentials are looked at."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from doorward import checks
from doorward.addresses import UNIX, Address, lies_in, parse_address, parse_proxy
from doorward.certificates import CERTIFICATE_HEADERS, certificate_sha256, parse_certificate_header
from doorward.errors import refusal
from doorward.hosts import is_loopback_host, parse_host, parse_origin, without_default_port
from doorward.request import Request

__all__ = ["HTTP_METHODS", "LARGEST_SIZE", "Transport", "bearer_token", "is_loopback_host"]

_MAX_PEERS: Final = 1024
"""Addresses of connections that are kept parsed."""

HTTP_METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
"""What MCP over HTTP uses, in both protocol eras."""

_FORWARDED: Final = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded")
"""Headers that proxies add (RFC 7239 and its predecessors)."""

_log = logging.getLogger("doorward")

_MAX_SIZE_DIGITS: Final = 15
LARGEST_SIZE: Final = 10**_MAX_SIZE_DIGITS - 1
"""That a body can be declared to have: a petabyte. Longer numbers would only make the conversion slow."""

_MAX_QUERY: Final = 4096
"""Characters of a query: MCP has none, and a stranger's is looked through before anything is known of them."""

_MAX_CODINGS: Final = 64
"""Characters of a Content-Encoding, for the same reason: the one coding that is served is ``identity``."""


class Transport:
    """Host, Origin, https, the query and the encoding, for one resource."""

    def __init__(
        self,
        resource: str,
        *,
        allowed_hosts: Sequence[str] = (),
        allowed_origins: Sequence[str] = (),
        trusted_proxies: Sequence[str] = (),
        client_certificate: str | None = None,
        max_body_bytes: int,
    ) -> None:
        """Raises `ValueError` that begins with the name of the argument."""
        parts = urlsplit(resource)
        self._scheme = parts.scheme
        hosts = checks.each("allowed_hosts", allowed_hosts, parse_host) or (parts.netloc,)
        self.allowed_hosts = tuple(without_default_port(host, self._scheme) for host in hosts)
        own = f"{self._scheme}://{without_default_port(parts.netloc, self._scheme)}"
        self.allowed_origins = (own, *checks.each("allowed_origins", allowed_origins, parse_origin))
        # Somebody who names hosts means these alone.
        self.any_loopback = is_loopback_host(parts.netloc) and not allowed_hosts
        self._hosts = frozenset(self.allowed_hosts)
        self._origins = frozenset(self.allowed_origins)
        proxies = checks.each("trusted_proxies", trusted_proxies, parse_proxy)
        self._proxies = tuple(network for network in proxies if network is not None)
        self._trusts_unix = None in proxies
        self._certificate_header = _certificate_header(client_certificate, has_proxies=bool(proxies))
        # As each request of a connection has the same address, few are many.
        self._peer: Callable[[str | None], _Peer] = lru_cache(_MAX_PEERS)(self._peer_at)
        self._has_warned = False
        checks.whole("max_body_bytes", max_body_bytes, at_least=1)
        self.max_body_bytes = max_body_bytes

    def check(self, request: Request) -> None:
        """Raises `Forbidden` or `Malformed`; a request that passes may show its credentials."""
        if request.host not in self._hosts and not self._is_allowed_host(request.host):
            raise refusal("invalid_host")
        for origin in request.header_values("origin"):
            if not self.is_allowed_origin(origin):
                raise refusal("invalid_origin")
        if not self._is_secure(request):
            raise refusal("insecure_transport")
        self._check_certificate_headers(request)
        if request.method not in HTTP_METHODS:
            raise refusal("method_not_allowed")
        if len(request.query) > _MAX_QUERY:
            raise refusal("query_too_long")
        if request.query and _has_token(request.query):
            raise refusal("token_in_query")
        if any(len(value) > _MAX_CODINGS for value in request.header_values("content-encoding")):
            raise refusal("unsupported_encoding")
        for coding in _listed(request, "content-encoding"):
            if coding.lower() != "identity":
                raise refusal("unsupported_encoding")
        self._check_declared_size(request.header_values("content-length"))

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether pages of that origin may call; on a loopback resource those of any loopback port may."""
        if origin in self._origins:
            return True
        return self.any_loopback and origin.startswith("http://") and is_loopback_host(origin.removeprefix("http://"))

    def address(self, request: Request) -> str:
        """The address the request came from: the peer's, or behind trusted proxies the furthest they vouch for."""
        peer = self._peer(request.peer)
        address = peer.address
        if not peer.is_trusted:
            return peer.text
        # Each proxy writes down, behind what it was told, who spoke to it: only what a trusted one wrote counts.
        for part in reversed(_listed(request, "x-forwarded-for")):
            before = parse_address(part)
            if before is None:
                break
            address = before
            if not lies_in(address, self._proxies):
                break
        return UNIX if address is None else str(address)

    def certificate(self, request: Request) -> bytes | None:
        """The SHA-256 of the client's certificate: the one given with the request, or the one in the configured header
        if a trusted proxy sent it. No other header is read. The request must have passed `check`."""
        if request.certificate_sha256 is not None or self._certificate_header is None:
            return request.certificate_sha256
        values = request.header_values(self._certificate_header)
        if len(values) != 1 or not self._peer(request.peer).is_trusted:
            return None
        return certificate_sha256(self._certificate_header, values[0])

    def _is_allowed_host(self, host: str) -> bool:
        if without_default_port(host.lower(), self._scheme) in self._hosts:
            return True
        return self.any_loopback and is_loopback_host(host)

    def _is_secure(self, request: Request) -> bool:
        """Whether the client's own connection is https or within this machine. What a trusted proxy says of it counts
        more than the connection to the gate, which the proxy may have encrypted anew."""
        peer = self._peer(request.peer)
        if not peer.is_trusted and (peer.is_loopback or not request.peer):
            self._warn_of_untrusted_proxy(request, peer)
        schemes = _listed(request, "x-forwarded-proto") if peer.is_trusted else ()
        if schemes:
            # One value for each stage; the first may be the client's own claim, so all must be https.
            return all(scheme.lower() == "https" for scheme in schemes)
        return request.scheme == "https" or peer.is_loopback

    def _warn_of_untrusted_proxy(self, request: Request, peer: _Peer) -> None:
        """Log once that a proxy on this machine seems to be missing in ``trusted_proxies``. A loopback connection
        counts as secure, so that plain http passes, and all clients of the proxy have its address."""
        if self._has_warned:
            return
        found = next((name for name in _FORWARDED if request.header(name) is not None), None)
        if found is None:
            return
        self._has_warned = True
        where = UNIX if peer.address is None else peer.text
        _log.warning(
            "the header %s came from %s, which is not in trusted_proxies: if that is your proxy, the gate does not see "
            "whether its clients use https, and all of them share the budget failed_auth of one address. Set "
            'trusted_proxies = ["%s"]',
            found,
            where,
            where,
        )

    def _check_certificate_headers(self, request: Request) -> None:
        # The proxy replaces the header it is configured for. Any other certificate header, or a second line of that
        # one, was typed by the client or added by a proxy that the operator did not name.
        if self._certificate_header is None or not self._peer(request.peer).is_trusted:
            return
        for name in CERTIFICATE_HEADERS:
            allowed = 1 if name == self._certificate_header else 0
            if len(request.header_values(name)) > allowed:
                raise refusal("multiple_credentials", "a client certificate header that is not the configured one")

    def _peer_at(self, text: str | None) -> _Peer:
        address = parse_address(text) if text else None
        if address is None:
            name = (text or UNIX).encode("utf-8", "backslashreplace").decode()
            return _Peer(None, name, is_loopback=False, is_trusted=self._trusts_unix and not text)
        is_trusted = lies_in(address, self._proxies)
        return _Peer(address, str(address), is_loopback=address.is_loopback, is_trusted=is_trusted)

    def _check_declared_size(self, declared: Sequence[str]) -> None:
        if not declared:
            return
        size = declared[0]
        # RFC 9110 section 8.6: digits alone, and one value.
        is_one = len(declared) == 1 or len(set(declared)) == 1
        if not is_one or not (size.isascii() and size.isdecimal()) or len(size) > _MAX_SIZE_DIGITS:
            raise refusal("invalid_request", "Content-Length is not one number")
        if int(size) > self.max_body_bytes:
            raise refusal("body_too_large")


def bearer_token(request: Request) -> str:
    """The one bearer token of the request (RFC 6750 section 2.1)."""
    values = list(request.header_values("authorization"))
    if not values:
        raise refusal("missing_credentials")
    if len(values) > 1:
        raise refusal("multiple_credentials")
    scheme, _, token = values[0].strip().partition(" ")
    if scheme.lower() != "bearer":
        raise refusal("unsupported_scheme")
    token = token.strip(" ")
    if not token:
        raise refusal("malformed_token", "the token is empty")
    return token


def _certificate_header(name: str | None, *, has_proxies: bool) -> str | None:
    if name is None:
        return None
    given = checks.text("client_certificate", name)
    (parsed,) = checks.each("client_certificate", (given,), parse_certificate_header)
    if not has_proxies:
        raise ValueError("client_certificate requires trusted_proxies: the header counts from those alone")
    return parsed


class _Peer(NamedTuple):
    """The other end of a connection."""

    address: Address | None
    text: str
    is_loopback: bool
    is_trusted: bool


def _listed(request: Request, name: str) -> Sequence[str]:
    """The members of a header that is a list (RFC 9110 section 5.3): several lines are as good as one with commas."""
    values = request.header_values(name)
    return [part.strip() for value in values for part in value.split(",")] if values else ()


def _has_token(query: str) -> bool:
    """Whether a parameter of the query is the one of RFC 6750 section 2.3, which is not for us, in any spelling that a
    server may read. The whole query is decoded at once: a list of its parameters would cost far more than it does."""
    # What is encoded separates nothing, and a lone percent sign stands for nothing.
    spelled = _ENCODED_SEPARATOR.sub(".", query).replace("+", " ").encode("utf-8", "surrogatepass")
    text = unquote_to_bytes(spelled).decode(errors="replace").lower()
    return "access_token" in text and _ACCESS_TOKEN.search(text) is not None


_ENCODED_SEPARATOR: Final = re.compile("%(?:26|3[bd]|(?![0-9a-f]{2}))", re.IGNORECASE)
_ACCESS_TOKEN: Final = re.compile(r"(?:^|[&;])\s*access_token\s*(?:[=&;]|\Z)")
"""Some servers still separate by semicolons, and drop the white space around a name."""
