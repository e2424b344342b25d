"""Which addresses belong to the internet at large."""

from __future__ import annotations

import pytest

from doorward.addresses import is_public, parse_address


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "1.1.1.1", "192.0.9.1", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public(text: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert is_public(address)


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254"),  # noqa: S104
        *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.0.1", "198.18.0.1", "203.0.113.1"),
        *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fe80::1", "fe80::1%eth0", "fec0::1"),
        *("fc00::1", "fd12:3456::1", "ff02::1", "ff0e::1", "2001:db8::1", "100::1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::", "2001:0:1::1"),
    ],
)
def test_not_public(text: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert not is_public(address)
