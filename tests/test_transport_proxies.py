"""What a proxy says of a request, and whose word counts: https or plain text, from which address, with which
certificate."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judging import CLIENT, PROXY, transport, verdict

from doorward.certificates import CERTIFICATE_HEADERS
from doorward.request import Request

Spelling = Callable[[str], str]

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


# What the header says, and whether that means https all the way; None where it says nothing.
FORWARDED: dict[str, tuple[list[tuple[str, str]], bool | None]] = {
    "nothing": ([], None),
    "https": ([("x-forwarded-proto", "https")], True),
    "https in capitals, with spaces": ([("X-Forwarded-Proto", " HTTPS ")], True),
    "http": ([("x-forwarded-proto", "http")], False),
    "https, then https": ([("x-forwarded-proto", "https, https")], True),
    "https, then http": ([("x-forwarded-proto", "https, http")], False),
    "http, then https": ([("x-forwarded-proto", "http,https")], False),
    "two lines, both https": ([("x-forwarded-proto", "https"), ("x-forwarded-proto", "https")], True),
    "two lines, the first http": ([("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")], False),
    "two lines, the last http": ([("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")], False),
    "an empty value": ([("x-forwarded-proto", "")], False),
    "an empty member": ([("x-forwarded-proto", "https,")], False),
    "another scheme": ([("x-forwarded-proto", "wss")], False),
    "quotes": ([("x-forwarded-proto", '"https"')], False),
    "more than a scheme": ([("x-forwarded-proto", "https://")], False),
    "bytes": ([("x-forwarded-proto", "https\xff")], False),
    "Forwarded with http, which is not read": ([("forwarded", "proto=http")], None),
    "Forwarded with https, which is not read": ([("forwarded", "proto=https")], None),
}
PEERS = {
    "a stranger": (CLIENT, False, False),
    "a trusted proxy": (PROXY, True, False),
    "a trusted socket": (None, True, False),
    "loopback": ("127.0.0.1", False, True),
    "a trusted proxy on loopback": ("127.0.0.9", True, True),
}


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize(("peer", "is_trusted", "is_loopback"), PEERS.values(), ids=PEERS)
@pytest.mark.parametrize(("headers", "is_https"), FORWARDED.values(), ids=FORWARDED)
def test_the_scheme_is_that_of_the_client_not_of_the_proxy_s_connection(
    headers: list[tuple[str, str]],
    is_https: bool | None,
    peer: str | None,
    is_trusted: bool,
    is_loopback: bool,
    scheme: str,
) -> None:
    judge = transport(trusted_proxies=["10.0.0.0/8", "127.0.0.9", "unix"])
    of_the_connection = scheme == "https" or is_loopback
    is_secure = is_https if is_trusted and is_https is not None else of_the_connection
    found = verdict(judge, *headers, scheme=scheme, peer=peer)
    assert found == (None if is_secure else "insecure_transport")


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


# --- the certificate --------------------------------------------------------------------------------------------------

DER = b"a certificate"
SHA256 = hashlib.sha256(DER).digest()
BASE64 = base64.b64encode(DER).decode()
PEM = f"-----BEGIN%20CERTIFICATE-----%0A{BASE64.replace('=', '%3D')}%0A-----END%20CERTIFICATE-----%0A"
VALUES = {
    "client-cert": f":{BASE64}:",
    "x-forwarded-client-cert": f'Hash={SHA256.hex()};Subject="CN=a,O=Example\\, Inc."',
    "x-forwarded-tls-client-cert": BASE64,
    "x-ssl-client-cert": PEM,
    "x-ssl-client-der": BASE64,
    "ssl-client-cert": PEM,
}


def test_the_table_has_every_header_that_can_be_configured() -> None:
    assert set(VALUES) == set(CERTIFICATE_HEADERS)


def shown(configured: str | None, *names: str, peer: str | None = PROXY) -> bytes | str | None:
    """The certificate of a request with these headers, or the slug of its refusal."""
    judge = transport(trusted_proxies=["10.0.0.0/8", "unix"], client_certificate=configured)
    headers = [(name, VALUES[name.lower()]) for name in names]
    forwarded = ("x-forwarded-proto", "https")
    refused = verdict(judge, forwarded, *headers, peer=peer)
    return refused or judge.certificate(Request(peer=peer, headers=headers))


@pytest.mark.parametrize("peer", [PROXY, CLIENT, "127.0.0.1", None])
@pytest.mark.parametrize("name", VALUES)
def test_without_a_configured_header_none_counts(name: str, peer: str | None) -> None:
    judge = transport(trusted_proxies=["10.0.0.0/8", "unix"])
    headers = [(each, VALUES[each]) for each in (name, *VALUES)]
    assert verdict(judge, *headers, peer=peer) is None
    assert judge.certificate(Request(peer=peer, headers=headers)) is None


@pytest.mark.parametrize("spelling", [str.lower, str.upper, str.title])
@pytest.mark.parametrize("peer", [PROXY, None], ids=["network", "socket"])
@pytest.mark.parametrize("name", VALUES)
def test_the_configured_header_counts_from_a_trusted_proxy(name: str, peer: str | None, spelling: Spelling) -> None:
    assert shown(spelling(name), name, peer=peer) == SHA256
    assert shown(name, spelling(name), peer=peer) == SHA256


@pytest.mark.parametrize(("configured", "other"), [*product(VALUES, VALUES)])
def test_a_second_certificate_header_from_a_trusted_proxy_is_refused(configured: str, other: str) -> None:
    assert shown(configured, configured, other) == "multiple_credentials"
    assert shown(configured, other, configured) == "multiple_credentials"
    assert shown(configured, configured, other.title()) == "multiple_credentials"
    alone = shown(configured, other)
    assert alone == (SHA256 if other == configured else "multiple_credentials"), "also where the configured is absent"


@pytest.mark.parametrize("peer", [CLIENT, "127.0.0.1", "nonsense"])
@pytest.mark.parametrize("name", VALUES)
def test_certificate_headers_of_others_are_ignored(name: str, peer: str) -> None:
    assert shown(name, name, peer=peer) is None
    assert shown(name, *VALUES, *VALUES, peer=peer) is None


@pytest.mark.parametrize("value", ["", "(null)", "::", ":{http.request.tls.client.certificate_der_base64}:"])
def test_a_proxy_whose_client_has_no_certificate_may_send_the_header_all_the_same(value: str) -> None:
    judge = transport(trusted_proxies=["10.0.0.0/8"], client_certificate="Client-Cert")
    assert verdict(judge, ("client-cert", value), peer=PROXY) is None
    assert judge.certificate(Request(peer=PROXY, headers=[("client-cert", value)])) is None


def test_a_certificate_given_with_the_request_has_precedence() -> None:
    judge = transport(trusted_proxies=["10.0.0.0/8"], client_certificate="Client-Cert")
    headers = [("client-cert", VALUES["client-cert"])]
    assert judge.certificate(Request(peer=PROXY, headers=headers, certificate_sha256=b"c" * 32)) == b"c" * 32
    assert transport().certificate(Request(certificate_sha256=b"c" * 32)) == b"c" * 32


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"client_certificate": "X-Client-Cert"}, "is wrong: 'X-Client-Cert' is not a certificate header that can"),
        ({"client_certificate": "Client-Cert, X-SSL-Client-Cert"}, "is wrong: 'Client-Cert, X-SSL-Client-Cert' is not"),
        ({"client_certificate": ""}, "must be a string, and not empty"),
        ({"client_certificate": ["Client-Cert"]}, "must be a string, and not empty"),
        ({"client_certificate": "Client-Cert", "trusted_proxies": []}, "requires trusted_proxies"),
    ],
)
def test_a_certificate_header_that_cannot_be_right(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^client_certificate {problem}"):
        transport(**{"trusted_proxies": ["10.0.0.0/8"], **given})


# --- a proxy that is not named ----------------------------------------------------------------------------------------

UNNAMED: dict[str, tuple[str | None, str, str | None]] = {
    "loopback": ("127.0.0.1", "x-forwarded-for", "127.0.0.1"),
    "loopback, IPv6": ("::1", "forwarded", "::1"),
    "a Unix socket": (None, "x-real-ip", "unix"),
    "the scheme alone": ("127.0.0.1", "x-forwarded-proto", "127.0.0.1"),
    "the host alone": ("127.0.0.1", "x-forwarded-host", "127.0.0.1"),
    "another header": ("127.0.0.1", "x-request-start", None),
    "another machine": (CLIENT, "x-forwarded-for", None),
    "a named proxy": (PROXY, "x-forwarded-for", None),
    "a named proxy on loopback": ("127.0.0.9", "x-forwarded-for", None),
}


@pytest.mark.parametrize(("peer", "header", "named"), UNNAMED.values(), ids=UNNAMED)
def test_a_proxy_on_this_machine_that_is_not_trusted_is_named_once(
    caplog: pytest.LogCaptureFixture, peer: str | None, header: str, named: str | None
) -> None:
    judge = transport(trusted_proxies=["10.0.0.0/8", "127.0.0.9"])
    for _ in range(2):
        verdict(judge, (header, "https"), scheme="https", peer=peer)
    lines = [line for line in caplog.messages if "trusted_proxies" in line]
    assert len(lines) == (0 if named is None else 1)
    for line in lines:
        assert line.startswith(f"the header {header} came from {named}, which is not in trusted_proxies")
        assert line.endswith(f'Set trusted_proxies = ["{named}"]')
