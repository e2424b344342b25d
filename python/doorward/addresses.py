"""Network addresses as connections and proxies write them, brought to one spelling each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

__all__ = ["UNIX", "Address", "Network", "is_public", "lies_in", "parse_address", "parse_proxy", "site_of"]

UNIX: Final = "unix"
"""Stands for a peer without an address, as behind a Unix socket."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052 section 2.1: the name servers of a network without IPv4 put every IPv4 address in here."""

_TUNNELS: Final = (
    IPv6Network("::/96"),  # RFC 4291 section 2.5.5.1: IPv4-compatible
    IPv6Network("64:ff9b:1::/48"),  # RFC 8215: translation within one network
    IPv6Network("2001::/32"),  # RFC 4380: Teredo
    IPv6Network("2002::/16"),  # RFC 3056: 6to4
    IPv6Network("fec0::/10"),  # RFC 3879: site-local
)
"""They lead to IPv4 addresses, or to the own network, by another name; nobody publishes a server there."""

_WITH_PORT: Final = re.compile(r"(?:(?P<v4>[0-9.]+)|\[(?P<v6>[^\]]*)\])(?::[0-9]{1,5})?")


def parse_address(text: str) -> Address | None:
    """The address, or None for what is none. A port is dropped, since some proxies add it; so is a zone, which means
    something on one machine alone; and what is IPv4 inside is IPv4, as on a socket that serves both."""
    match = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address(match["v4"] or match["v6"] if match else text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def site_of(address: str) -> str:
    """What counts as one address: its one spelling, or for IPv6 its /64, since who has one address of a /64 has all of
    them. What is no address stands for itself."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((int(parsed), 64), strict=False))
    return address if parsed is None else str(parsed)


def parse_proxy(text: str) -> Network | None:
    """The network of a trusted proxy; None for ``unix``. Raises `ValueError`, also for a network of every address there
    is: whoever may call would then vouch for itself."""
    if text == UNIX:
        return None
    network = ip_network(text)
    if network.prefixlen == 0:
        raise ValueError(f"{text!r} is everybody")
    return network


def is_public(address: Address) -> bool:
    """Whether the address belongs to the internet at large, not to this machine, its network or a group of machines."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(address.packed[-4:]))
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if lies_in(address, _TUNNELS):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def lies_in(address: Address, networks: Iterable[Network]) -> bool:
    """Whether the address belongs to one of the networks."""
    return any(address in network for network in networks)
