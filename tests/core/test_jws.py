"""Three parts, a header, one key, one signature: of every algorithm, and of nothing that is not strict."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from minting import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    NOW,
    claims,
    encoded,
    jwks,
    mint,
    sign,
    signing_key,
    verdict,
    verifier,
)

from doorward import Refused
from doorward.testing.keys import ALGORITHMS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_real_token_of_every_algorithm(core: ModuleType, algorithm: str) -> None:
    key = signing_key(algorithm)
    verify = verifier(core, jwks(key), algorithms=[algorithm])
    assert verdict(verify, mint(key=key)) == "accepted"
    assert verdict(verify, mint(key=key)[:-8] + "AAAAAAAA") == "bad_signature"


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "PS384", "ES256", "ES384", "EdDSA", "HS256", "HS512"])
def test_a_token_of_another_library(core: ModuleType, algorithm: str) -> None:
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    private: Any = {
        "RS": lambda: rsa.generate_private_key(65537, 2048),
        "PS": lambda: rsa.generate_private_key(65537, 3072),
        "ES": lambda: ec.generate_private_key(ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1()),
        "Ed": ed25519.Ed25519PrivateKey.generate,
        "HS": lambda: bytes(range(64)),
    }[algorithm[:2]]()
    token = jwt.encode(claims(), private, algorithm=algorithm, headers={"kid": "one"})
    if algorithm.startswith("HS"):
        keys = core.KeySet.from_secret(private, algorithm=algorithm)
    else:
        public = jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key(), as_dict=True)
        keys = core.KeySet.from_json({"keys": [public | {"kid": "one"}]})
    verify = core.Verifier(keys, issuer=ISSUER, audience=AUDIENCE, algorithms=[algorithm])
    assert verify.verify(token, now=NOW).subject == "user-1"
    assert verify.verify(token.encode(), now=NOW).subject == "user-1"
    assert verdict(verify, token[:-8] + "AAAAAAAA") == "bad_signature"


@pytest.mark.parametrize("names", [("EdDSA", "Ed25519"), ("Ed25519", "EdDSA")])
def test_ed25519_has_two_names(core: ModuleType, names: tuple[str, str]) -> None:
    allowed, sent = names
    key = signing_key(allowed)
    assert verdict(verifier(core, jwks(key), algorithms=[allowed]), mint(key=key, header={"alg": sent})) == "accepted"


STRINGS = (
    *("alg", "typ", "cty", "kid", "jku", "x5u", "x5t", "x5t#S256"),
    *("enc", "zip", "apu", "apv", "iv", "tag", "p2s", "iss", "nonce", "url"),
)
TYPES = {
    **{f"{name} is not a string": (name, (None, 1, True, ["x"], {})) for name in STRINGS},
    **{f"{name} is not an object": (name, (None, 1, "x", ["x"])) for name in ("jwk", "epk")},
    **{
        f"{name} is not an array of strings": (name, (None, 1, "x", {}, ["x", 1], [None]))
        for name in ("x5c", "trust_chain")
    },
}


@pytest.mark.parametrize("detail", TYPES)
def test_a_registered_header_parameter_has_its_json_type(core: ModuleType, detail: str) -> None:
    name, values = TYPES[detail]
    for value in values:
        with pytest.raises(Refused) as refused:
            verifier(core).verify(mint(header={name: value}), now=NOW)
        assert (refused.value.code, refused.value.detail) == ("malformed_token", detail), value


@pytest.mark.parametrize("header", [{"x5c": ["AA"]}, {"jwk": {}}, {"nonce": "n"}, {"x-unknown": 1}], ids=str)
def test_a_parameter_of_the_right_type_decides_nothing(core: ModuleType, header: dict[str, Any]) -> None:
    assert verdict(verifier(core), mint(header=header)) == "accepted"


@pytest.mark.parametrize(
    ("keys", "header", "detail"),
    [
        ([("ES256", "a")], {"kid": "b"}, "kid names no key that can be used"),
        ([("ES384", "a")], {"kid": "a"}, "the key that kid names is not for its alg"),
        ([("ES384", "a")], {"kid": ABSENT}, "no kid, and no key is for its alg"),
        ([("ES256", "a"), ("ES256", "b")], {"kid": ABSENT}, "no kid, and several keys fit"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_why_no_key_fits(core: ModuleType, keys: list[tuple[str, str]], header: dict[str, Any], detail: str) -> None:
    published = jwks(*(signing_key(*key) for key in keys))
    with pytest.raises(Refused) as refused:
        verifier(core, published).verify(mint(key=signing_key("ES256", "a"), header=header), now=NOW)
    assert (refused.value.code, refused.value.detail) == ("unknown_key", detail)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *(
            ({"alg": value}, "unsupported_algorithm")
            for value in ("none", "None", "", "es256", "ES384", "HS256", ABSENT)
        ),
        *(({name: 1}, "malformed_token") for name in ("alg", "typ", "kid", "cty", "jku", "x5u", "x5t", "x5t#S256")),
        *(({"crit": value}, "unsupported_critical") for value in (["b64"], [], None, ["exp"])),
        *(({"b64": value}, "unsupported_critical") for value in (False, True)),
        *(({"kid": value}, "unknown_key") for value in ("", "key-2", "key-1\0", "KEY-1")),
        *(({"typ": value}, "accepted") for value in ("AT+JWT", "application/at+jwt", "JWT", "application/jwt", ABSENT)),
        *(
            ({"typ": value}, "invalid_type")
            for value in ("", "at", "id+jwt", "oauth-id-jag+jwt", "logout+jwt", "text/at+jwt")
        ),
        ({"zip": "DEF"}, "malformed_token"),
        ({"cty": "JWT"}, "malformed_token"),
        ({"cty": "json"}, "accepted"),
        ({"kid": ABSENT}, "accepted"),
        ({"kid": "k" * 1025}, "malformed_token"),
        ({"jwk": {"kty": "oct", "k": "AA"}, "jku": "https://evil.example", "x5c": ["AA"]}, "accepted"),
    ],
    ids=str,
)
def test_headers(core: ModuleType, changes: dict[str, Any], reason: str) -> None:
    assert verdict(verifier(core), mint(header=changes)) == reason


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "\ud800",
        "é.é.é",
        b"\xff.\xff.\xff",
        "Bearer x",
        mint() + ".",
        mint() + "=",
        " " + mint(),
    ]
    + [sign(header, None, signing_key()) for header in ("", "e30=", "e31", encoded(b"[]"), encoded(b'{"a":1,"a":1}'))]
    + [mint(payload) for payload in (b"", b"[]", b"1", b'{"a":1,"a":1}', b"\xef\xbb\xbf{}", b"{} {}", b'{"exp":NaN}')],
)
def test_what_is_no_token(core: ModuleType, token: str | bytes) -> None:
    assert verdict(verifier(core), token) == "malformed_token"


@pytest.mark.parametrize("token", [None, 1, bytearray(b"a.b.c"), ["a"]])
def test_what_is_not_even_text(core: ModuleType, token: Any) -> None:
    with pytest.raises(TypeError):
        verifier(core).verify(token, now=NOW)


def test_the_size_is_bounded_in_bytes(core: ModuleType) -> None:
    token = mint()
    assert verdict(verifier(core, max_token_bytes=len(token)), token) == "accepted"
    assert verdict(verifier(core, max_token_bytes=len(token) - 1), token) == "token_too_large"
    assert verdict(verifier(core), "é" * 8192 + "é") == "token_too_large"


def test_a_shared_secret_has_no_name(core: ModuleType) -> None:
    import jwt

    secret = bytes(range(48))
    keys = core.KeySet.from_secret(secret, algorithm="HS384")
    verify = core.Verifier(keys, issuer=ISSUER, audience=AUDIENCE, algorithms=["HS384"])
    for headers in ({}, {"kid": "any"}):
        assert verdict(verify, jwt.encode(claims(), secret, "HS384", headers=headers)) == "accepted"


def test_the_signature_layer_alone(core: ModuleType) -> None:
    keys = core.KeySet.from_json(jwks())
    token = mint(b"not JSON", header={"typ": "anything", "cty": 1, "jku": 1})
    assert core.verify_jws(token, keys, ["ES256", "HS256"]) == b"not JSON"
    with pytest.raises(Refused, match="unsupported_critical"):
        core.verify_jws(mint(header={"crit": ["x"]}), keys, ["ES256"])
    with pytest.raises(ValueError, match="ES512"):
        core.verify_jws(token, keys, ["ES512"])
