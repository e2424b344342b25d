"""Where a request comes from and what it carries: everything that is judged before credentials are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from toolgate.errors import refusal
from toolgate.request import Request

__all__ = ["HTTP_METHODS", "Transport", "bearer_token", "is_loopback_host"]

HTTP_METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
"""What MCP over HTTP uses, in both protocol eras."""

_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_UNIX: Final = "unix"
"""Among trusted proxies: a peer without an address, as behind a Unix socket."""

_Address = IPv4Address | IPv6Address


class Transport:
    """Host, Origin, https, the query and the encoding, for one resource."""

    def __init__(
        self,
        resource: str,
        *,
        allowed_hosts: Sequence[str] = (),
        allowed_origins: Sequence[str] = (),
        trusted_proxies: Sequence[str] = (),
        max_body_bytes: int,
    ) -> None:
        """Raises `ValueError` for a proxy that is not a network and for an origin that is not one."""
        parts = urlsplit(resource)
        self._default_port = _DEFAULT_PORTS[parts.scheme]
        self.allowed_hosts = tuple(host.lower() for host in allowed_hosts) or (parts.netloc,)
        self.allowed_origins = (f"{parts.scheme}://{parts.netloc}", *map(_origin, allowed_origins))
        self._hosts = frozenset(self.allowed_hosts)
        self._origins = frozenset(self.allowed_origins)
        self.any_loopback = is_loopback_host(parts.netloc)
        self._proxies = tuple(_network(proxy) for proxy in trusted_proxies if proxy != _UNIX)
        self._trusts_unix = _UNIX in trusted_proxies
        self._max_body_bytes = max_body_bytes

    def check(self, request: Request) -> None:
        """Raises `Forbidden` or `Malformed`; a request that passes may show its credentials."""
        if not self._is_allowed_host(request.host):
            raise refusal("invalid_host")
        origin = request.header("origin")
        if origin is not None and not self.is_allowed_origin(origin):
            raise refusal("invalid_origin")
        if request.scheme != "https" and not self._may_be_plain(request):
            raise refusal("insecure_transport")
        if request.method not in HTTP_METHODS:
            raise refusal("method_not_allowed")
        if request.query and any(key.lower() == "access_token" for key, _ in parse_qsl(request.query, True)):
            raise refusal("token_in_query")
        encoding = request.header("content-encoding")
        if encoding is not None and encoding.strip().lower() != "identity":
            raise refusal("unsupported_encoding")
        self._check_declared_size(request)

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether pages of that origin may call; on a loopback resource those of any loopback port may."""
        if origin in self._origins:
            return True
        return self.any_loopback and origin.startswith("http://") and is_loopback_host(origin.removeprefix("http://"))

    def address(self, request: Request) -> str:
        """The address the request came from: the peer's, or behind trusted proxies the one they vouch for."""
        address = _address(request.peer)
        if not self._is_trusted(address, request.peer):
            return request.peer or _UNIX
        forwarded = [part.strip() for value in request.header_values("x-forwarded-for") for part in value.split(",")]
        for part in reversed(forwarded):
            candidate = _address(part)
            if candidate is None:
                break
            if not self._is_trusted(candidate, part):
                return part
        return request.peer or _UNIX

    def _is_allowed_host(self, host: str) -> bool:
        host = host.lower()
        if host in self._hosts or host.removesuffix(f":{self._default_port}") in self._hosts:
            return True
        return self.any_loopback and is_loopback_host(host)

    def _may_be_plain(self, request: Request) -> bool:
        address = _address(request.peer)
        if self._is_trusted(address, request.peer):
            forwarded = request.header("x-forwarded-proto")
            if forwarded is not None:
                return forwarded.strip().lower() == "https"
        return address is not None and address.is_loopback

    def _is_trusted(self, address: _Address | None, peer: str | None) -> bool:
        if address is None:
            return peer is None and self._trusts_unix
        return any(address in network for network in self._proxies)

    def _check_declared_size(self, request: Request) -> None:
        for declared in request.header_values("content-length"):
            # Longer digits than any real size would make the conversion itself slow.
            if not declared.isdecimal() or len(declared) > 15:
                raise refusal("invalid_request", "Content-Length is not a number")
            if int(declared) > self._max_body_bytes:
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


def is_loopback_host(host: str) -> bool:
    """Whether ``host``, with or without a port, is this machine's own."""
    name = host.lower()
    bare, colon, port = name.rpartition(":")
    if colon and port.isdecimal():
        name = bare
    return name in _LOOPBACK_HOSTS


def _address(peer: str | None) -> _Address | None:
    try:
        address = ip_address(peer or "")
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _network(proxy: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(proxy)
    except ValueError as error:
        raise ValueError(f"trusted_proxies: {error}") from None


def _origin(origin: str) -> str:
    parts = urlsplit(origin)
    if parts.scheme not in _DEFAULT_PORTS or not parts.netloc or parts.path or parts.query or parts.fragment:
        raise ValueError(f"allowed_origins: {origin!r} is not an origin, like https://app.example.com")
    return f"{parts.scheme}://{parts.netloc.lower()}"
