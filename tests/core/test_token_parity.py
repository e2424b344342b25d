"""Whatever is done to a token or a key set, both cores say the same, for the same reason."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import pytest
from attacks import attacks
from conftest import Proof
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minting import ABSENT, AUDIENCE, ISSUER, NOW, claims, jwks, mint, signing_key, verifier

from doorward import Refused, _pure
from doorward.testing.keys import ALGORITHMS

pytestmark = pytest.mark.skipif(find_spec("doorward._rust") is None, reason="the native core is not built")

ATTACKS = [attack for attack in attacks() if len(attack.token) < 8192]
HOSTILE = ["", "\0", ".", "=", "é", "A", "_", "\ud800", '"', "{}", "e30", " ", "\n"]

numbers = st.one_of(
    st.floats(NOW - 700, NOW + 700), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.sampled_from(
    [
        ISSUER,
        AUDIENCE,
        "",
        "at+jwt",
        "JWT",
        "ES256",
        "none",
        "key-1",
        "a b",
        "application/at+jwt",
        "ID",
        "openid",
        "Access",
    ]
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, st.text(max_size=5), st.just(ABSENT))
values = st.one_of(scalars, st.lists(texts, max_size=3), st.dictionaries(texts, texts, max_size=2))
CLAIMS = [
    "iss",
    "aud",
    "sub",
    "exp",
    "nbf",
    "iat",
    "jti",
    "scope",
    "scp",
    "cnf",
    "azp",
    "client_id",
    "nonce",
    "typ",
    "events",
    "auth_time",
    "token_use",
    "mode",
    "cid",
    "email",
    "username",
]
HEADERS = ["alg", "typ", "kid", "crit", "cty", "jku", "zip", "b64", "jwk", "x5t"]
MEMBERS = ["kty", "crv", "x", "y", "n", "e", "alg", "use", "key_ops", "kid", "d", "k"]


def mutants(proof: Proof) -> Any:
    return settings(max_examples=proof("mutants", small=300, large=50_000), suppress_health_check=list(HealthCheck))


def told(verify: Any, token: str, certificate: bytes | None = None) -> object:
    """Everything a caller learns about a token."""
    try:
        found = verify.verify(token, now=NOW, certificate_sha256=certificate)
    except Refused as refused:
        return refused.code
    names = "issuer subject client_id audience scopes issued_at expires_at not_before certificate_sha256 token_id raw"
    return [getattr(found, name) for name in names.split()]


def same(token: str, keys: dict[str, Any] | None = None, **options: Any) -> None:
    from doorward import _rust

    assert told(verifier(_rust, keys, **options), token) == told(verifier(_pure, keys, **options), token)


def test_mutated_text(proof: Proof) -> None:
    from doorward import _rust

    @mutants(proof)
    @given(st.sampled_from(ATTACKS), st.sampled_from(HOSTILE), st.integers(0), st.integers(0, 3))
    def check(attack: Any, hostile: str, place: int, length: int) -> None:
        start = place % (len(attack.token) + 1)
        token = attack.token[:start] + hostile + attack.token[start + length :]
        try:
            verifiers = [attack.verifier(core) for core in (_rust, _pure)]
        except (ValueError, Refused):
            return
        assert told(verifiers[0], token) == told(verifiers[1], token)

    check()


def test_mutated_claims(proof: Proof) -> None:
    @mutants(proof)
    @given(
        st.dictionaries(st.sampled_from(CLAIMS), values, max_size=4),
        st.sampled_from(["at+jwt", "JWT"]),
        st.sampled_from(["sub", "username", "client"]),
    )
    def check(changes: dict[str, Any], typ: str, subject: str) -> None:
        same(mint(claims(**changes), header={"typ": typ}), subject=subject)

    check()


def test_mutated_headers(proof: Proof) -> None:
    @mutants(proof)
    @given(st.dictionaries(st.sampled_from(HEADERS), values, max_size=3))
    def check(changes: dict[str, Any]) -> None:
        same(mint(header=changes))

    check()


def test_mutated_keys(proof: Proof) -> None:
    from doorward import _rust

    @mutants(proof)
    @given(
        st.dictionaries(st.sampled_from(MEMBERS), values, max_size=2),
        st.sampled_from(["ES256", "RS256", "EdDSA"]),
        st.booleans(),
    )
    def check(changes: dict[str, Any], algorithm: str, beside_itself: bool) -> None:
        key = signing_key(algorithm)
        member = {name: value for name, value in (key.public_jwk() | changes).items() if value is not ABSENT}
        document = {"keys": [member, *(jwks(key)["keys"] if beside_itself else ())]}
        sets = [core.KeySet.from_json(json.dumps(document)) for core in (_rust, _pure)]
        assert (sets[0].key_ids, sets[0].skipped, len(sets[0])) == (sets[1].key_ids, sets[1].skipped, len(sets[1]))
        same(mint(key=key), document, algorithms=[algorithm])

    check()


def test_the_fingerprints_of_keys() -> None:
    from doorward import _rust

    keys = jwks(*(signing_key(algorithm, algorithm) for algorithm in ALGORITHMS))
    members = [*keys["keys"], *({**key, "alg": ABSENT, "kid": ABSENT} for key in keys["keys"])]
    present = [{name: value for name, value in key.items() if value is not ABSENT} for key in members]
    published = {"keys": present}
    assert _rust.KeySet.from_json(published).fingerprints == _pure.KeySet.from_json(published).fingerprints
