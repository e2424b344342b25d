"""Which keys of a published set are used, and why the others are skipped."""

from __future__ import annotations

import json
from types import MappingProxyType, ModuleType
from typing import Any

import pytest
from minting import ABSENT, NOW, jwks, mint, signing_key, verdict, verifier

from doorward import Malformed
from doorward.testing.keys import ALGORITHMS, base64url

EC = signing_key().public_jwk()
RSA = signing_key("RS256").public_jwk()
OKP = signing_key("EdDSA").public_jwk()
FIELD = 2**255 - 19


def number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def roca(bits: int = 2048) -> int:
    """A modulus that is 1 for every prime of the fingerprint of CVE-2017-15361, and so a power of 65537."""
    step = 2
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157):
        step *= prime
    return (2 ** (bits - 1) // step + 1) * step + 1


def skipped(core: ModuleType, jwk: Any) -> str:
    """Why one key is skipped; nothing where it is used."""
    keys = core.KeySet.from_json({"keys": [jwk]})
    assert len(keys) + len(keys.skipped) == 1
    return keys.skipped[0].removeprefix("keys[0]: ") if keys.skipped else ""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_has_its_key(core: ModuleType, algorithm: str) -> None:
    keys = core.KeySet.from_json(jwks(signing_key(algorithm, algorithm)))
    assert (keys.key_ids, keys.skipped, len(keys)) == ((algorithm,), (), 1)


@pytest.mark.parametrize("form", [json.dumps, lambda keys: json.dumps(keys).encode(), dict, MappingProxyType])
def test_a_set_may_come_as_text_bytes_or_mapping(core: ModuleType, form: Any) -> None:
    assert len(core.KeySet.from_json(form(jwks()))) == 1


@pytest.mark.parametrize(
    "document",
    [
        *(
            "",
            "{}",
            "[]",
            "null",
            '{"keys":null}',
            '{"keys":{}}',
            '{"Keys":[]}',
            '{"keys":[],"keys":[]}',
            '{"keys":[]} x',
        ),
        *("\ud800", b"\xff", b'\xef\xbb\xbf{"keys":[]}'),
        *('{"keys":[' + "1," * 256 + "1]}", '{"keys":[],"x":"' + "x" * 600_000 + '"}'),
        *({"keys": [{"x": object()}]}, {"keys": [], "x": float("nan")}, {"keys": [], 1: 1, "1": 1}),
    ],
    ids=lambda document: str(document)[:30],
)
def test_what_is_no_key_set(core: ModuleType, document: Any) -> None:
    with pytest.raises(Malformed, match="malformed_key_set"):
        core.KeySet.from_json(document)


@pytest.mark.parametrize("document", [None, 1, ["keys"], bytearray(b"{}")])
def test_what_is_not_even_a_document(core: ModuleType, document: Any) -> None:
    with pytest.raises(TypeError):
        core.KeySet.from_json(document)


@pytest.mark.parametrize(
    ("base", "changes", "reason"),
    [
        (EC, {}, ""),
        (EC, {"alg": ABSENT, "use": ABSENT, "kid": ABSENT}, ""),
        (EC, {"use": ABSENT, "key_ops": ["verify"], "x5c": "ignored", "exp": 1}, ""),
        (EC, {"kty": ABSENT}, "kty is missing"),
        (EC, {"kty": "LWE"}, "an unsupported kty"),
        (EC, {"kty": "oct", "k": "c2VjcmV0"}, "a shared secret in a published set"),
        (EC, {"d": "AA"}, "a private key in a published set"),
        (RSA, {"oth": []}, "a private key in a published set"),
        (EC, {"use": "enc"}, "use is not sig"),
        (EC, {"key_ops": ["sign"]}, "key_ops lacks verify"),
        (EC, {"key_ops": "verify"}, "key_ops is not an array"),
        (EC, {"alg": "ES384"}, "alg does not fit crv"),
        (EC, {"alg": "RSA-OAEP"}, "an unsupported alg"),
        (EC, {"kid": 1}, "kid is not a string"),
        (EC, {"alg": None}, "alg is not a string"),
        (EC, {"use": 1}, "use is not a string"),
        (EC, {"x": 1}, "x is not a string"),
        (EC, {"kid": "k" * 1025}, "kid is too long"),
        (EC, {"crv": ABSENT}, "crv is missing"),
        (EC, {"crv": "P-384", "alg": ABSENT}, "a coordinate has the wrong length"),
        (EC, {"crv": "secp256k1"}, "an unsupported crv"),
        (EC, {"x": base64url(bytes(31))}, "a coordinate has the wrong length"),
        (EC, {"x": EC["y"], "y": EC["x"]}, "the point is not on the curve"),
        (EC, {"x": base64url(bytes(32)), "y": base64url(bytes(32))}, "the point is not on the curve"),
        (EC, {"x": EC["x"] + "="}, "x is not base64url"),
        (EC, {"y": ABSENT}, "y is missing"),
        (RSA, {"alg": "ES256"}, "the algorithm is not for RSA"),
        (RSA, {"n": ABSENT}, "n is missing"),
        (RSA, {"n": number(2**2047 - 1)}, "the modulus has less than 2048 bits"),
        (RSA, {"n": number(2**2047)}, "the modulus is even"),
        (RSA, {"n": number(2**8192 + 1)}, "the modulus has more than 8192 bits"),
        (RSA, {"n": "AAAA" + RSA["n"]}, "the modulus begins with a zero octet"),
        (RSA, {"n": number(roca())}, "the modulus was made by a broken generator (CVE-2017-15361)"),
        (RSA, {"e": "Aw"}, ""),
        (RSA, {"e": "AQ"}, "the exponent is 1: anybody could sign"),
        (RSA, {"e": "Ag"}, "the exponent is even"),
        (RSA, {"e": ""}, "the exponent is not a plain number"),
        (RSA, {"e": "AAEAAQ"}, "the exponent is not a plain number"),
        (RSA, {"e": number(2**32 + 1)}, "the exponent is too long"),
        (OKP, {"crv": "Ed448"}, "an unsupported crv"),
        (OKP, {"crv": "X25519"}, "an unsupported crv"),
        (OKP, {"alg": "Ed25519"}, ""),
        (OKP, {"alg": "ES256"}, "alg does not fit crv"),
        (OKP, {"x": base64url(bytes(31))}, "a key has the wrong length"),
        (OKP, {"x": base64url(bytes(31) + b"\x80")}, "the point has a small order: anybody could sign"),
        (OKP, {"x": base64url((FIELD - 1).to_bytes(32, "little"))}, "the point has a small order: anybody could sign"),
        (OKP, {"x": base64url(FIELD.to_bytes(32, "little"))}, "the point is not encoded canonically"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_keys_are_judged_one_by_one(
    core: ModuleType, base: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    members = {name: value for name, value in (base | changes).items() if value is not ABSENT}
    assert skipped(core, members) == reason


@pytest.mark.parametrize("member", [1, "x", None, [], [EC]])
def test_a_member_that_is_no_key(core: ModuleType, member: Any) -> None:
    assert skipped(core, member) == "not an object"


def test_an_exotic_key_never_spoils_the_set(core: ModuleType) -> None:
    exotic = [{"kty": "LWE"}, 7, {"kty": "RSA", "kid": "broken"}]
    keys = core.KeySet.from_json({"keys": [exotic[0], EC, *exotic[1:]]})
    assert (keys.key_ids, len(keys)) == (("key-1",), 1)
    assert [reason.split(":")[0] for reason in keys.skipped] == ["keys[0]", "keys[2]", "keys[3]"]


def test_one_name_for_two_keys_is_ambiguous(core: ModuleType) -> None:
    other = signing_key("ES256", "key-2").public_jwk() | {"kid": "key-1"}
    keys = core.KeySet.from_json({"keys": [EC, other]})
    assert (len(keys), len(keys.skipped)) == (0, 2)
    assert verdict(verifier(core, {"keys": [EC, other]}), mint()) == "unknown_key"


def test_one_name_for_keys_of_different_algorithms_is_not(core: ModuleType) -> None:
    rsa = RSA | {"kid": "key-1"}
    assert len(core.KeySet.from_json({"keys": [EC, rsa]})) == 2
    assert verdict(verifier(core, {"keys": [rsa, EC]}), mint()) == "accepted"


def test_repeating_a_key_is_harmless(core: ModuleType) -> None:
    keys = core.KeySet.from_json({"keys": [EC, EC]})
    assert (len(keys), keys.skipped) == (1, ("keys[1]: repeats an earlier key",))


def test_without_a_name_the_key_must_be_the_only_one_that_fits(core: ModuleType) -> None:
    token = mint(header={"kid": ABSENT})
    other = signing_key("ES256", "key-2").public_jwk()
    assert verdict(verifier(core, {"keys": [EC, RSA, OKP]}), token) == "accepted"
    assert verdict(verifier(core, {"keys": [EC, other]}), token) == "unknown_key"


@pytest.mark.parametrize(("declared", "sent"), [("RS256", "PS256"), ("RS256", "RS512")])
def test_a_key_is_for_the_algorithm_it_declares(core: ModuleType, declared: str, sent: str) -> None:
    key = signing_key(sent)
    members = key.public_jwk()
    allowed = {"algorithms": [declared, sent]}
    assert verdict(verifier(core, {"keys": [members | {"alg": declared}]}, **allowed), mint(key=key)) == "unknown_key"
    del members["alg"]
    assert verdict(verifier(core, {"keys": [members]}, **allowed), mint(key=key)) == "accepted"


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_as_long_as_its_hash(core: ModuleType, algorithm: str, least: int) -> None:
    keys = core.KeySet.from_secret(bytes(least), algorithm=algorithm)
    assert (len(keys), keys.key_ids, keys.skipped) == (1, (), ())
    with pytest.raises(ValueError, match="shorter"):
        core.KeySet.from_secret(bytes(least - 1), algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ["RS256", "none", "hs256", ""])
def test_a_secret_is_for_hmac(core: ModuleType, algorithm: str) -> None:
    with pytest.raises(ValueError, match=r"secret|unknown"):
        core.KeySet.from_secret(bytes(64), algorithm=algorithm)


# --- fingerprints -----------------------------------------------------------------------------------------------------


def fingerprints(core: ModuleType, *members: Any) -> tuple[bytes, ...]:
    """Those of a set of keys."""
    return tuple(core.KeySet.from_json({"keys": list(members)}).fingerprints)


SAME = {
    "another position": lambda core: fingerprints(core, OKP, EC)[1:],
    "members that decide nothing": lambda core: fingerprints(core, EC | {"x5c": ["AA"], "use": "sig"}),
    "its algorithm declared": lambda core: fingerprints(core, EC | {"alg": "ES256"}),
}
DIFFERENT = {
    "another id": EC | {"kid": "other"},
    "no id": {name: value for name, value in EC.items() if name != "kid"},
    "another key": signing_key("ES256", "other").public_jwk() | {"kid": EC["kid"]},
    "another kind": OKP | {"kid": EC["kid"]},
}


@pytest.mark.parametrize("same", SAME.values(), ids=SAME)
def test_a_key_has_the_same_fingerprint_in_every_set(core: ModuleType, same: Any) -> None:
    assert same(core) == fingerprints(core, EC)


@pytest.mark.parametrize("other", DIFFERENT.values(), ids=DIFFERENT)
def test_another_key_has_another_fingerprint(core: ModuleType, other: dict[str, Any]) -> None:
    assert set(fingerprints(core, EC)).isdisjoint(fingerprints(core, other))


def test_a_key_has_a_fingerprint_for_each_of_its_algorithms(core: ModuleType) -> None:
    bare = {name: value for name, value in RSA.items() if name != "alg"}
    assert len(set(fingerprints(core, bare))) == 6
    assert set(fingerprints(core, bare | {"alg": "PS256"})) < set(fingerprints(core, bare))


def test_a_key_that_is_not_used_has_none(core: ModuleType) -> None:
    assert fingerprints(core, EC | {"use": "enc"}, OKP, {"kty": "oct", "k": "AAAA"}) == fingerprints(core, OKP)


def test_claims_name_the_key_that_verified_them(core: ModuleType) -> None:
    other = signing_key("ES256", "other")
    keys = {"keys": [EC, other.public_jwk()]}
    for _ in range(2):  # the second time the header is remembered
        found = [verifier(core, keys).verify(mint(key=key), now=NOW).key_fingerprint for key in (signing_key(), other)]
        assert tuple(found) == fingerprints(core, *keys["keys"])
    among = core.Verifiers([verifier(core, keys)]).verify(mint(key=other), now=NOW)
    assert among.key_fingerprint == found[1]
