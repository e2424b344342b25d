"""Network addresses as connections and proxies write them, brought to one spelling each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

__all__ = ["UNIX", "Address", "Network", "lies_in", "parse_address", "parse_proxy"]

UNIX: Final = "unix"
"""Stands for a peer without an address, as behind a Unix socket."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

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


def parse_proxy(text: str) -> Network | None:
    """The network of a trusted proxy; None for ``unix``. Raises `ValueError`, also for a network of every address there
    is: whoever may call would then vouch for itself."""
    if text == UNIX:
        return None
    network = ip_network(text)
    if network.prefixlen == 0:
        raise ValueError(f"{text!r} is everybody")
    return network


def lies_in(address: Address, networks: Iterable[Network]) -> bool:
    """Whether the address belongs to one of the networks."""
    return any(address in network for network in networks)
