"""An issuer's documents: bounded, and only from where the issuer may be."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tokens.misbehaving import MIB, Misbehaving, listening

from doorward import Unavailable
from doorward.tokens import fetch
from doorward.tokens.fetch import DEADLINE, MAX_KEY_SET_BYTES, Fetcher

pytestmark = pytest.mark.anyio
BOUND = MAX_KEY_SET_BYTES


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every test below runs over both."""
    return str(request.param)


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    """An issuer on this machine."""
    with listening() as server:
        yield server


def names(**hosts: Sequence[str]) -> Callable[[str, int], Any]:
    """A name server: each name has its addresses, the first answer first, the last one for ever."""
    asked: dict[str, int] = {}

    async def resolve(host: str, port: int) -> Sequence[str]:
        answers = hosts[host.replace(".", "_")]
        asked[host] = asked.get(host, -1) + 1
        return answers[min(asked[host], len(answers) - 1)].split()

    return resolve


async def refused(fetcher: Fetcher, url: str, *, max_bytes: int = BOUND) -> str:
    """Why nothing was fetched."""
    with pytest.raises(Unavailable) as unavailable:
        await fetcher.get(url, max_bytes=max_bytes)
    assert unavailable.value.code == "issuer_unavailable"
    # Nothing of an answer, a URL or a token is kept for whoever renders the traceback.
    assert unavailable.value.__cause__ is None
    return unavailable.value.detail


async def test_a_document(server: Misbehaving) -> None:
    server.jwks = {"keys": [1]}
    assert await Fetcher(server.url).get(f"{server.url}/jwks", max_bytes=BOUND) == b'{"keys": [1]}'
    [sent] = server.headers
    assert sent["host"] == f"127.0.0.1:{server.port}"
    assert sent["accept-encoding"] == "identity"
    assert "authorization" not in sent


async def test_a_form(server: Misbehaving) -> None:
    server.answer = {"active": False}
    headers = {"authorization": "Basic eDp5"}
    form = {"token": "a+b/ä&c"}
    answer = await Fetcher(server.url).post(f"{server.url}/introspect", form, headers=headers, max_bytes=BOUND)
    assert answer == b'{"active": false}'
    assert server.forms == [form]
    assert server.headers[0]["authorization"] == "Basic eDp5"
    assert server.headers[0]["content-type"] == "application/x-www-form-urlencoded"


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "options", "why"),
    [
        ("500", {}, "not 200"),
        ("redirect", {}, "not 200"),
        ("refuse", {}, "cannot be reached"),
        ("truncated", {}, "cannot be reached"),
        ("gzip_bomb", {"mib": 1}, "encoded"),
        ("huge", {"mib": 8}, "too large"),
    ],
)
async def test_what_is_no_document(server: Misbehaving, mode: str, options: dict[str, Any], why: str) -> None:
    server.mode("jwks", mode, **options)
    assert why in await refused(Fetcher(server.url), f"{server.url}/jwks")
    assert server.counts["jwks"] == 1, "nothing is asked twice"


async def test_a_document_may_be_as_large_as_the_bound(server: Misbehaving) -> None:
    server.jwks = b"x" * 1000
    assert len(await Fetcher(server.url).get(f"{server.url}/jwks", max_bytes=1000)) == 1000
    assert "too large" in await refused(Fetcher(server.url), f"{server.url}/jwks", max_bytes=999)


async def test_a_large_answer_is_not_read_to_its_end(server: Misbehaving) -> None:
    server.mode("jwks", "huge", mib=512)
    started = time.monotonic()
    await refused(Fetcher(server.url), f"{server.url}/jwks", max_bytes=MIB)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("mode", ["hang", "slowloris"])
async def test_the_deadline_is_for_the_whole(server: Misbehaving, mode: str) -> None:
    server.mode("jwks", mode, bytes_per_s=1)
    started = time.monotonic()
    assert "too long" in await refused(Fetcher(server.url), f"{server.url}/jwks")
    assert DEADLINE <= time.monotonic() - started < DEADLINE + 0.5


async def test_a_caller_that_goes_away_leaves_nothing_behind(server: Misbehaving) -> None:
    server.mode("jwks", "hang")
    with anyio.move_on_after(0.2):
        await Fetcher(server.url).get(f"{server.url}/jwks", max_bytes=BOUND)
    assert await anyio.to_thread.run_sync(server.is_quiet)
    assert server.connections == 1


async def test_proxies_and_passwords_of_the_environment_are_not_used(
    server: Misbehaving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with listening() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login x password y\n", encoding="ascii")
        monkeypatch.setenv("NETRC", str(netrc))
        await Fetcher(server.url).get(f"{server.url}/jwks", max_bytes=BOUND)
    assert proxy.connections == 0
    assert "authorization" not in server.headers[0]


# --- where an issuer may be -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://as.example.com", "http://127.0.0.1.example.com", "ftp://127.0.0.1", "https://a@b", "https://"]
)
async def test_an_issuer_is_asked_over_https_or_on_this_machine(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        Fetcher(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/jwks",
        "http://[::ffff:127.0.0.1]:9/",
        "http://127.0.0.1:6379/",
        "http://as.example.com/jwks",
        "file:///etc/passwd",
        "https://127.0.0.1:9/",
        "https://2130706433:9/",
        "https://0x7f.1:9/",
        "https://[::1]:9/",
        "https://[::]:9/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fe80::1]/",
        "https://0.0.0.0:9/",
        "https://10.1.2.3/",
        "https://100.64.0.1/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://as.example.com@127.0.0.1/",
        "https://127.0.0.1\\@as.example.com/",
        "https://127.0.0.1#@as.example.com/",
        "https://as.example.com:0x1/",
        "https://as.example.com:99999/",
        "https://as.example.com/\r\nx: y",
        "https://as.example.com (and a word)",
        "https:///jwks",
        "//127.0.0.1/",
        "jwks",
        "",
        "https://[::1",
    ],
)
async def test_a_document_leads_nowhere_inside(server: Misbehaving, url: str) -> None:
    started = time.monotonic()
    await refused(Fetcher(server.url), url)
    assert time.monotonic() - started < 1, "nothing was tried"


@pytest.mark.parametrize(
    "inside", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1%eth0"]
)
async def test_a_name_is_judged_by_its_addresses(inside: str) -> None:
    fetcher = Fetcher("https://as.example.com", resolve=names(keys_test=[inside]))
    assert "private" in await refused(fetcher, "https://keys.test/")
    mixed = Fetcher("https://as.example.com", resolve=names(keys_test=[f"8.8.8.8 {inside}"]))
    assert "private" in await refused(mixed, "https://keys.test/"), "one inside is enough"


@pytest.mark.parametrize("answer", ["", "not an address"])
async def test_a_name_without_an_address(answer: str) -> None:
    fetcher = Fetcher("https://as.example.com", resolve=names(keys_test=[answer]))
    assert "no address" in await refused(fetcher, "https://keys.test/")


async def test_what_was_judged_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[str] = []

    async def connect(*_: Any, host: str, **__: Any) -> Any:
        connected.append(host)
        raise OSError

    # The network itself is replaced: the answer is a public address, and a test reaches none.
    monkeypatch.setattr("httpcore2._backends.auto.AutoBackend.connect_tcp", connect)
    resolve = names(rebind_test=["8.8.8.8", "127.0.0.1"])
    await refused(Fetcher("https://as.example.com", resolve=resolve), "https://rebind.test/jwks")
    assert connected == ["8.8.8.8"], "asked once, and nothing but that answer is used"


async def test_the_configured_issuer_may_be_inside() -> None:
    with listening() as server:
        fetcher = Fetcher(f"http://localhost:{server.port}", resolve=names(localhost=["127.0.0.1"]))
        assert await fetcher.get(f"http://localhost:{server.port}/jwks", max_bytes=BOUND)
        assert server.headers[0]["host"] == f"localhost:{server.port}"
        for other in (f"http://127.0.0.1:{server.port}/jwks", f"https://localhost:{server.port}/jwks"):
            await refused(fetcher, other)
    assert server.connections == 1


async def test_a_localhost_that_is_elsewhere() -> None:
    fetcher = Fetcher("http://localhost:1", resolve=names(localhost=["10.0.0.1"]))
    assert "not this machine" in await refused(fetcher, "http://localhost:1/jwks")


async def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    with listening() as server:
        fetcher = Fetcher(f"http://localhost:{server.port}", resolve=names(localhost=["::1 127.0.0.1"]))
        assert await fetcher.get(f"http://localhost:{server.port}/jwks", max_bytes=BOUND)


# --- TLS --------------------------------------------------------------------------------------------------------------


def authority(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for ``name``, and a client's that trusts it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    return serving, ssl.create_default_context(cadata=pem.read_text(encoding="ascii"))


async def test_tls_proves_the_name_though_the_address_is_dialled(tmp_path: Path) -> None:
    serving, trusting = authority(tmp_path, "as.example.test")
    asked_for: list[str] = []
    serving.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    resolve = names(as_example_test=["127.0.0.1"], other_example_test=["127.0.0.1"])
    with listening(tls=serving) as server:
        url = f"https://as.example.test:{server.port}"
        good = Fetcher(url, resolve=resolve, context=trusting)
        assert await good.get(f"{url}/jwks", max_bytes=BOUND)
        assert (asked_for, server.headers[0]["host"]) == (["as.example.test"], f"as.example.test:{server.port}")

        impostor = f"https://other.example.test:{server.port}"
        await refused(Fetcher(impostor, resolve=resolve, context=trusting), f"{impostor}/jwks")
        await refused(Fetcher(url, resolve=resolve), f"{url}/jwks")  # nobody vouches for the certificate
    assert server.counts["jwks"] == 1


def test_the_bound_is_the_core_s() -> None:
    assert fetch.MAX_KEY_SET_BYTES == 512 * 1024
