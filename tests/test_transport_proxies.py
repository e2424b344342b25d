"""What a proxy says of a request, and whose word counts: https or plain text, and from which address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judging import CLIENT, PROXY, transport, verdict

from doorward.request import Request

# --- plain text -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "forwarded", "may_be_plain"),
    [
        pytest.param("127.0.0.1", [], True, id="loopback"),
        pytest.param("127.8.9.1", [], True, id="all of loopback"),
        pytest.param("::1", [], True, id="loopback, IPv6"),
        pytest.param("::ffff:127.0.0.1", [], True, id="loopback on a socket for both families"),
        pytest.param("::1%lo", [], True, id="loopback with a zone"),
        pytest.param(CLIENT, [], False, id="anybody"),
        pytest.param(CLIENT, ["https"], False, id="anybody who says https"),
        pytest.param("::ffff:192.0.2.7", ["https"], False, id="anybody in disguise"),
        pytest.param(None, ["https"], False, id="a socket nobody trusts"),
        pytest.param("", ["https"], False, id="an empty peer"),
        pytest.param("nonsense", ["https"], False, id="a peer that is no address"),
        pytest.param(PROXY, [], False, id="a proxy that says nothing"),
        pytest.param(PROXY, ["https"], True, id="a proxy that says https"),
        pytest.param(PROXY, ["HTTPS "], True, id="in any case"),
        pytest.param(f"::ffff:{PROXY}", ["https"], True, id="a proxy on a socket for both families"),
        pytest.param("fd00::1%eth0", ["https"], True, id="a proxy with a zone"),
        pytest.param(PROXY, ["http"], False, id="a proxy that says http"),
        pytest.param(PROXY, ["https, http"], False, id="a stage in plain text"),
        pytest.param(PROXY, ["https, https"], True, id="two stages, both https"),
        pytest.param(PROXY, ["https", "http"], False, id="the proxy's line behind the caller's own"),
        pytest.param(PROXY, [""], False, id="a proxy that says something empty"),
        pytest.param("127.0.0.9", ["http"], False, id="a proxy on loopback that says http"),
        pytest.param("127.0.0.9", [], True, id="a proxy on loopback that says nothing"),
    ],
)
def test_plain_text(peer: str | None, forwarded: list[str], may_be_plain: bool) -> None:
    judge = transport(trusted_proxies=["10.0.0.0/8", "fd00::/8", "127.0.0.9"])
    headers = [("x-forwarded-proto", scheme) for scheme in forwarded]
    found = verdict(judge, *headers, scheme="http", peer=peer)
    assert found == (None if may_be_plain else "insecure_transport")


@pytest.mark.parametrize("peer", [None, ""])
def test_a_trusted_socket_vouches_for_https_and_needs_to(peer: str | None) -> None:
    judge = transport(trusted_proxies=["unix"])
    assert verdict(judge, ("x-forwarded-proto", "https"), scheme="http", peer=peer) is None
    assert verdict(judge, scheme="http", peer=peer) == "insecure_transport"
    assert verdict(judge, ("x-forwarded-proto", "https"), scheme="http", peer="unix") == "insecure_transport"


# --- the address ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        pytest.param(CLIENT, [], CLIENT, id="the peer"),
        pytest.param(CLIENT, ["198.51.100.1"], CLIENT, id="a peer that nobody trusts speaks for itself"),
        pytest.param(f"::ffff:{CLIENT}", [], CLIENT, id="IPv4 in IPv6 is IPv4"),
        pytest.param("2001:DB8:0::7", [], "2001:db8::7", id="one spelling"),
        pytest.param("fe80::7%eth0", [], "fe80::7", id="zones mean nothing elsewhere"),
        pytest.param(None, [], "unix", id="no address"),
        pytest.param("testclient", [], "testclient", id="no address, but a name"),
        pytest.param(PROXY, [], PROXY, id="a proxy that says nothing"),
        pytest.param(PROXY, [CLIENT], CLIENT, id="a proxy that says who"),
        pytest.param(PROXY, [f"198.51.100.1, {CLIENT}"], CLIENT, id="what the caller wrote before is nothing"),
        pytest.param(PROXY, ["198.51.100.1", CLIENT], CLIENT, id="also on a line of its own"),
        pytest.param(PROXY, [f"{CLIENT}, 10.0.0.2, 10.0.0.3"], CLIENT, id="through several proxies"),
        pytest.param(PROXY, ["10.0.0.2, 10.0.0.3"], "10.0.0.2", id="from within: the furthest"),
        pytest.param(PROXY, [f"{CLIENT}, unknown, 10.0.0.2"], "10.0.0.2", id="up to what is no address"),
        pytest.param(PROXY, ["unknown"], PROXY, id="nothing but what is no address"),
        pytest.param(PROXY, [f"{CLIENT}:4711"], CLIENT, id="with a port"),
        pytest.param(PROXY, ["[2001:db8::7]:4711"], "2001:db8::7", id="IPv6 with a port"),
        pytest.param(PROXY, ["[2001:db8::7]"], "2001:db8::7", id="IPv6 in brackets"),
        pytest.param(PROXY, ["::ffff:192.0.2.7"], CLIENT, id="IPv4 in IPv6, told"),
        pytest.param(PROXY, ["fe80::7%invented"], "fe80::7", id="an invented zone"),
        pytest.param(PROXY, [f"{CLIENT}, ::ffff:10.0.0.2"], CLIENT, id="a proxy in IPv6"),
        pytest.param(PROXY, [f"{CLIENT},"], PROXY, id="an empty member"),
        pytest.param(PROXY, ["010.0.0.7"], PROXY, id="octal is no address"),
    ],
)
def test_addresses(peer: str | None, forwarded: list[str], address: str) -> None:
    headers = [("x-forwarded-for", value) for value in forwarded]
    assert transport(trusted_proxies=["10.0.0.0/8"]).address(Request(peer=peer, headers=headers)) == address


def test_behind_a_trusted_socket_the_address_is_what_it_tells() -> None:
    judge = transport(trusted_proxies=["unix"])
    assert judge.address(Request(headers=[("x-forwarded-for", CLIENT)])) == CLIENT
    assert judge.address(Request()) == "unix"


ADDRESSES = st.ip_addresses().map(str)


@given(st.lists(ADDRESSES | st.text(max_size=8)), ADDRESSES)
def test_nothing_a_caller_writes_moves_its_address(written: list[str], client: str) -> None:
    judge = transport(trusted_proxies=["10.0.0.0/8"])
    honest = judge.address(Request(peer=client))
    told = ", ".join([*written, client])
    if not honest.startswith("10."):
        assert judge.address(Request(peer=PROXY, headers=[("x-forwarded-for", told)])) == honest
        assert judge.address(Request(peer=client, headers=[("x-forwarded-for", told)])) == honest
