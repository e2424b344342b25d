"""How a question is authenticated: a secret that survives any character, or an assertion that is used once."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from minting import NOW

from doorward.extras import install
from doorward.settings import Introspection, Secret
from doorward.settings.secrets import known_secrets
from doorward.tokens.client_auth import ASSERTION_SECONDS, ClientAuthentication, client_authentication

URL = "https://auth.example.com/introspect"


def pem(key: Any, passphrase: bytes | None = None) -> bytes:
    """The key as it stands in a file."""
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def with_secret(client_id: str, secret: bytes) -> Introspection:
    return Introspection(URL, client_id, secret=Secret(secret))


def with_key(key: bytes, key_id: str = "") -> Introspection:
    return Introspection(URL, "mcp", private_key=Secret(key, key_id))


@pytest.mark.parametrize(
    ("client_id", "secret", "pair"),
    [
        ("mcp", b"hunter2", "mcp:hunter2"),
        ("https://mcp.example.com/mcp", b"a:b", "https%3A%2F%2Fmcp.example.com%2Fmcp:a%3Ab"),
        ("two words", b"100%+&=", "two+words:100%25%2B%26%3D"),
        ("mcp", "zwölf".encode(), "mcp:zw%C3%B6lf"),
        ("mcp", b"\xff\x00", "mcp:%FF%00"),
    ],
)
def test_id_and_secret_are_encoded_before_they_are_joined(client_id: str, secret: bytes, pair: str) -> None:
    client = client_authentication(with_secret(client_id, secret))
    scheme, _, credentials = client.headers()["authorization"].partition(" ")
    assert (scheme, base64.b64decode(credentials).decode()) == ("Basic", pair)
    assert client.form(now=NOW) == {}
    assert unquote_plus(pair.partition(":")[0]) == client_id


# --- a secret that stands in a file -----------------------------------------------------------------------------------


def shown(client: ClientAuthentication, *, now: float) -> str:
    """The secret in the next request, or the key id of its assertion."""
    form = client.form(now=now)
    if form:
        return str(jwt.get_unverified_header(form["client_assertion"])["alg"])
    return base64.b64decode(client.headers()["authorization"].removeprefix("Basic ")).decode().partition(":")[2]


def test_a_secret_in_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"first\n")
    client = client_authentication(Introspection(URL, "mcp", secret=Secret(b"first", file=str(file))))
    assert shown(client, now=NOW) == "first"
    file.write_bytes(b"second\n")
    assert shown(client, now=NOW + 1) == "second"
    assert b"second" in known_secrets(), "so that no log shows it"


def test_a_key_in_a_file_as_well(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    first, second = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    file.write_bytes(pem(first))
    client = client_authentication(Introspection(URL, "mcp", private_key=Secret(pem(first), "1", str(file))))
    assert shown(client, now=NOW) == "ES256"
    file.write_bytes(pem(second))
    assert shown(client, now=NOW + 1) == "EdDSA"


def test_a_mounted_secret_is_a_link_that_is_exchanged(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_bytes(name.encode())
    (tmp_path / "data").symlink_to("first")
    client = client_authentication(
        Introspection(URL, "mcp", secret=Secret(b"first", file=str(tmp_path / "data" / "secret")))
    )
    assert shown(client, now=NOW) == "first"
    (tmp_path / "next").symlink_to("second")
    (tmp_path / "next").replace(tmp_path / "data")
    assert shown(client, now=NOW + 1) == "second"


@pytest.mark.parametrize("content", [b"", b" \n", b"-----BEGIN", None], ids=["empty", "blank", "half", "gone"])
def test_what_cannot_be_a_key_never_replaces_one(
    content: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "key.pem"
    key = pem(ec.generate_private_key(ec.SECP256R1()))
    file.write_bytes(key)
    alarms: list[str] = []
    asked = Introspection(URL, "mcp", private_key=Secret(key, file=str(file)))
    client = client_authentication(asked, alarm=alarms.append)
    file.unlink() if content is None else file.write_bytes(content)
    assert shown(client, now=NOW + 1) == "ES256"
    assert alarms == ["secret_file_unreadable"]
    assert str(file) in caplog.text
    assert "BEGIN" not in caplog.text
    file.write_bytes(pem(ed25519.Ed25519PrivateKey.generate()))
    assert shown(client, now=NOW + 2) == "EdDSA"


def test_a_secret_may_be_written_by_others(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"first")
    file.chmod(0o660)  # as the volumes of some orchestrators are
    client = client_authentication(Introspection(URL, "mcp", secret=Secret(b"first", file=str(file))))
    assert shown(client, now=NOW) == "first"


# --- assertions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (rsa.generate_private_key(65_537, 2048), "RS256"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
    ids=["RS256", "ES256", "ES384", "EdDSA"],
)
def test_an_assertion_is_about_this_client_for_this_endpoint(key: Any, algorithm: str) -> None:
    client = client_authentication(with_key(pem(key), "2026-11"))
    assert client.headers() == {}
    form = client.form(now=NOW + 0.9)
    assertion = form["client_assertion"]
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert jwt.get_unverified_header(assertion) == {"alg": algorithm, "kid": "2026-11", "typ": "JWT"}
    claims = jwt.decode(
        assertion, key.public_key(), [algorithm], audience=URL, options={"verify_exp": False, "verify_iat": False}
    )
    assert len(claims.pop("jti")) >= 22  # 128 bits
    assert claims == {"iss": "mcp", "sub": "mcp", "aud": URL, "iat": int(NOW), "exp": int(NOW) + ASSERTION_SECONDS}
    assert ASSERTION_SECONDS <= 60


def test_no_assertion_is_used_twice() -> None:
    client = client_authentication(with_key(pem(ec.generate_private_key(ec.SECP256R1()))))
    made = [client.form(now=NOW)["client_assertion"] for _ in range(100)]
    assert len({json.loads(base64.urlsafe_b64decode(each.split(".")[1] + "=="))["jti"] for each in made}) == 100
    assert "kid" not in jwt.get_unverified_header(made[0])


@pytest.mark.parametrize(
    "key",
    [
        b"hunter2hunter2",
        b"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
        pem(ec.generate_private_key(ec.SECP256R1()), b"hunter2"),
        pem(rsa.generate_private_key(65_537, 1024)),  # noqa: S505
        pem(ec.generate_private_key(ec.SECP521R1())),
        pem(ed448.Ed448PrivateKey.generate()),
        ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["text", "PEM of nothing", "with a passphrase", "RSA 1024", "P-521", "Ed448", "a public key"],
)
def test_a_key_that_cannot_sign_is_a_mistake_at_start(key: bytes) -> None:
    with pytest.raises(ValueError, match=r"^private_key (is not a private key in PEM|must be of RSA)") as refused:
        client_authentication(with_key(key))
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    assert "hunter2" not in str(refused.value)


def test_without_the_library_the_error_names_the_extra() -> None:
    code = f"""
import sys
sys.modules["jwt"] = None
from doorward.settings import Introspection, Secret
from doorward.tokens.client_auth import client_authentication
assert client_authentication(Introspection({URL!r}, "mcp", secret=Secret(b"s")))
try:
    client_authentication(Introspection({URL!r}, "mcp", private_key=Secret(b"k")))
except ModuleNotFoundError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert install("pure") in run.stdout


def test_nothing_secret_shows() -> None:
    key = pem(ec.generate_private_key(ec.SECP256R1()))
    for settings in (with_secret("mcp", b"hunter2"), with_key(key)):
        client = client_authentication(settings)
        for shown in (repr(client), str(client), repr(settings)):
            assert "hunter2" not in shown
            assert "PRIVATE" not in shown
