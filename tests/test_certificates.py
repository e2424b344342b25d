"""Client certificates in the headers of proxies: one format a header name, and None for everything else."""

from __future__ import annotations

import base64
import hashlib
import ssl
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.certificates import CERTIFICATE_HEADERS, certificate_sha256, parse_certificate_header

DER = b"a certificate in DER, long enough for base64 of several lines: " * 4 + b"\xff\xfe\xfd\xfb\xef\xbe"
SHA256 = hashlib.sha256(DER).digest()
BASE64 = base64.b64encode(DER).decode()
OTHER = base64.b64encode(b"another certificate").decode()
PEM = ssl.DER_cert_to_PEM_cert(DER)
HASH = f"Hash={SHA256.hex()}"
OTHER_HASH = f"Hash={'0' * 64}"

GOOD = {
    "RFC 9440": ("client-cert", f":{BASE64}:"),
    "RFC 9440, white space around it": ("client-cert", f" :{BASE64}: "),
    "Envoy: hash alone": ("x-forwarded-client-cert", HASH),
    "Envoy: hash in capitals": ("x-forwarded-client-cert", f"Hash={SHA256.hex().upper()}"),
    "Envoy: the server's URI before it": ("x-forwarded-client-cert", f"By=spiffe://cluster/ns/a/sa/b;{HASH}"),
    "Envoy: subject of one name": ("x-forwarded-client-cert", f'{HASH};Subject="CN=a"'),
    "Envoy: subject of several names": ("x-forwarded-client-cert", f'{HASH};Subject="CN=a,OU=Agents,C=DE"'),
    "Envoy: escaped comma": ("x-forwarded-client-cert", rf'{HASH};Subject="CN=a,O=Example\, Inc.";URI=spiffe://a'),
    "Envoy: escaped quote": ("x-forwarded-client-cert", rf'{HASH};Subject="CN=\"a\",O=b"'),
    "Envoy: escaped backslash at the end": ("x-forwarded-client-cert", rf'{HASH};Subject="CN=a\\";URI=b'),
    "Envoy 1.40 with all details": (
        "x-forwarded-client-cert",
        rf'{HASH};Cert="{quote(PEM, safe="")}";Subject="OU=\"q\",O=Example\, Inc.,CN=localhost";URI=;DNS=localhost',
    ),
    "Envoy: empty subject": ("x-forwarded-client-cert", f'{HASH};Subject=""'),
    "Envoy: a hash inside of a quoted value is text": (
        "x-forwarded-client-cert",
        f'{HASH};Subject="CN=a;{OTHER_HASH},{OTHER_HASH}"',
    ),
    "Envoy: certificate, several URIs": (
        "x-forwarded-client-cert",
        f'{HASH};Cert="{quote(PEM, safe="")}";Subject="CN=a";URI=a;URI=b;DNS=c',
    ),
    "nginx": ("x-ssl-client-cert", quote(PEM, safe="")),
    "nginx, as the ingress names it": ("ssl-client-cert", quote(PEM, safe="")),
    "nginx, only what has to be is escaped": ("x-ssl-client-cert", quote(PEM, safe="+/= ")),
    "Apache: newlines as spaces": ("x-ssl-client-cert", PEM.replace("\n", " ")),
    "HAProxy": ("x-ssl-client-der", BASE64),
    "HAProxy, quoted": ("x-ssl-client-der", f'"{BASE64}"'),
    "Traefik": ("x-forwarded-tls-client-cert", BASE64),
    "Traefik: a chain, the client's first": ("x-forwarded-tls-client-cert", f"{BASE64},{OTHER}"),
}


@pytest.mark.parametrize(("name", "value"), GOOD.values(), ids=GOOD)
def test_the_certificate_in_the_header_of_each_proxy(name: str, value: str) -> None:
    assert certificate_sha256(name, value) == SHA256


BAD = {
    **{f"{name}: empty": (name, "") for name in CERTIFICATE_HEADERS},
    **{f"{name}: spaces": (name, "  ") for name in CERTIFICATE_HEADERS},
    **{f"{name}: not ASCII": (name, "\xff") for name in CERTIFICATE_HEADERS},
    **{f"{name}: other text": (name, "(null)") for name in CERTIFICATE_HEADERS},
    **{f"{name}: longer than the bound": (name, "A" * 16_388) for name in CERTIFICATE_HEADERS},
    "RFC 9440: no colons": ("client-cert", BASE64),
    "RFC 9440: no certificate": ("client-cert", "::"),
    "RFC 9440: one colon": ("client-cert", ":"),
    "RFC 9440: a placeholder that was not replaced": (
        "client-cert",
        ":{http.request.tls.client.certificate_der_base64}:",
    ),
    "RFC 9440: two lines joined": ("client-cert", f":{BASE64}:, :{BASE64}:"),
    "RFC 9440: PEM": ("client-cert", quote(PEM, safe="")),
    "RFC 9440: broken padding": ("client-cert", f":{BASE64}=:"),
    "RFC 9440: white space inside": ("client-cert", f":{BASE64[:64]} {BASE64[64:]}:"),
    "Envoy: no hash": ("x-forwarded-client-cert", 'Subject="CN=a"'),
    "Envoy: two elements": ("x-forwarded-client-cert", f"{HASH},{HASH}"),
    "Envoy: an element behind a quoted value": ("x-forwarded-client-cert", f'{HASH};Subject="CN=a",{OTHER_HASH}'),
    "Envoy: an element without hash": ("x-forwarded-client-cert", f"By=a,{HASH}"),
    "Envoy: two hashes": ("x-forwarded-client-cert", f"{HASH};{OTHER_HASH}"),
    "Envoy: two hashes, another case": ("x-forwarded-client-cert", f"{HASH};hash={SHA256.hex()}"),
    "Envoy: a value that ends its quotes early": (
        "x-forwarded-client-cert",
        f'{HASH};Subject="CN=a\\\\";{OTHER_HASH};X=""',
    ),
    "Envoy: a hash only inside of quotes": ("x-forwarded-client-cert", f'Subject="CN=a;{HASH}"'),
    "Envoy: a quoted hash": ("x-forwarded-client-cert", f'Hash="{SHA256.hex()}"'),
    "Envoy: a URI with a comma": ("x-forwarded-client-cert", f"{HASH};URI=spiffe://a,b"),
    "Envoy: a URI with a hash": ("x-forwarded-client-cert", f"{HASH};URI=a;{OTHER_HASH}"),
    "Envoy: open quotes": ("x-forwarded-client-cert", f'{HASH};Subject="CN=a'),
    "Envoy: text behind the quotes": ("x-forwarded-client-cert", f'{HASH};Subject="CN=a"b'),
    "Envoy: quotes inside of an unquoted value": ("x-forwarded-client-cert", f'{HASH};URI=a"b"'),
    "Envoy: a backslash at the end": ("x-forwarded-client-cert", f'{HASH};Subject="CN=a\\'),
    "Envoy: a short hash": ("x-forwarded-client-cert", HASH[:-1]),
    "Envoy: a long hash": ("x-forwarded-client-cert", f"{HASH}0"),
    "Envoy: no key": ("x-forwarded-client-cert", SHA256.hex()),
    "nginx: two blocks": ("x-ssl-client-cert", quote(PEM + PEM, safe="")),
    "nginx: text before it": ("x-ssl-client-cert", quote(f"a\n{PEM}", safe="")),
    "nginx: text behind it": ("x-ssl-client-cert", quote(f"{PEM}a", safe="")),
    "nginx: a key": ("x-ssl-client-cert", quote(PEM.replace("CERTIFICATE", "PRIVATE KEY"), safe="")),
    "nginx: an empty block": ("x-ssl-client-cert", "-----BEGIN CERTIFICATE-----%0A%0A-----END CERTIFICATE-----"),
    "nginx: plus as a space": ("x-ssl-client-cert", PEM.replace("\n", "+")),
    "nginx: escaped twice": ("x-ssl-client-cert", quote(quote(PEM, safe=""), safe="")),
    "nginx: base64 alone": ("x-ssl-client-cert", BASE64),
    "HAProxy: one quote": ("x-ssl-client-der", f'"{BASE64}'),
    "HAProxy: a quote alone": ("x-ssl-client-der", '"'),
    "HAProxy: two lines joined": ("x-ssl-client-der", f"{BASE64}, {BASE64}"),
    "HAProxy: PEM": ("x-ssl-client-der", quote(PEM, safe="")),
    "Traefik: an empty member": ("x-forwarded-tls-client-cert", f"{BASE64},"),
    "Traefik: two lines joined": ("x-forwarded-tls-client-cert", f"{BASE64}, {BASE64}"),
    "Traefik: PEM": ("x-forwarded-tls-client-cert", quote(PEM, safe="")),
}


@pytest.mark.parametrize(("name", "value"), BAD.values(), ids=BAD)
def test_what_is_not_one_certificate_in_the_format_of_its_header_is_none(name: str, value: str) -> None:
    assert certificate_sha256(name, value) is None


def test_a_header_at_the_bound_is_read() -> None:
    assert certificate_sha256("client-cert", f":{'A' * 16_380}:".ljust(16_384)) is not None
    assert certificate_sha256("client-cert", f":{'A' * 16_380}:".ljust(16_385)) is None


@given(st.sampled_from(sorted(CERTIFICATE_HEADERS)), st.text() | st.binary().map(lambda value: value.decode("latin-1")))
def test_any_text_is_a_certificate_or_none(name: str, value: str) -> None:
    found = certificate_sha256(name, value)
    assert found is None or len(found) == 32


QUOTED = st.text(alphabet='aCN=,;"\\ ').map(lambda text: text.replace("\\", "\\\\").replace('"', '\\"'))


@given(QUOTED)
def test_no_quoted_value_of_envoy_changes_what_is_outside_of_it(value: str) -> None:
    assert certificate_sha256("x-forwarded-client-cert", f'{HASH};Subject="{value}"') == SHA256
    assert certificate_sha256("x-forwarded-client-cert", f'Subject="{value}"') is None


@pytest.mark.parametrize("name", ["Client-Cert", "client-cert", "X-SSL-CLIENT-CERT"])
def test_names_of_headers_have_any_case(name: str) -> None:
    assert parse_certificate_header(name) == name.lower()


@pytest.mark.parametrize("name", ["", "Client_Cert", "Client-Cert ", "X-Client-Cert", "Authorization"])
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"can be read: use one of Client-Cert, X-Forwarded-Client-Cert, .*"):
        parse_certificate_header(name)
