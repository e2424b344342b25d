"""Whatever is done to a token or a key set, both cores say the same, for the same reason.

``TOOLGATE_PROVE`` is the number of mutants; without it a few hundred are compared.
"""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest
from attacks import attacks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minting import ABSENT, AUDIENCE, ISSUER, NOW, claims, jwks, mint, signing_key, verifier

from toolgate import Refused, _pure

pytestmark = pytest.mark.skipif(find_spec("toolgate._rust") is None, reason="the native core is not built")

MUTANTS = settings(
    max_examples=int(os.environ.get("TOOLGATE_PROVE", "300")), deadline=None, suppress_health_check=list(HealthCheck)
)
ATTACKS = [attack for attack in attacks() if len(attack.token) < 8192]
HOSTILE = ["", "\0", ".", "=", "é", "A", "_", "\ud800", '"', "{}", "e30", " ", "\n"]

numbers = st.one_of(
    st.floats(NOW - 700, NOW + 700), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.sampled_from(
    [ISSUER, AUDIENCE, "", "at+jwt", "JWT", "ES256", "none", "key-1", "a b", "application/at+jwt", "ID"]
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
]
HEADERS = ["alg", "typ", "kid", "crit", "cty", "jku", "zip", "b64", "jwk", "x5t"]
MEMBERS = ["kty", "crv", "x", "y", "n", "e", "alg", "use", "key_ops", "kid", "d", "k"]


def told(core: ModuleType, verify: Any, token: str, certificate: bytes | None = None) -> object:
    """Everything a caller learns about a token."""
    try:
        found = verify.verify(token, now=NOW, certificate_sha256=certificate)
    except Refused as refused:
        return refused.code
    names = ("issuer", "subject", "client_id", "audience", "scopes", "issued_at", "expires_at", "token_id", "raw")
    return [getattr(found, name) for name in names]


def same(token: str, keys: dict[str, Any] | None = None, **options: Any) -> None:
    from toolgate import _rust

    assert told(_rust, verifier(_rust, keys, **options), token) == told(_pure, verifier(_pure, keys, **options), token)


@MUTANTS
@given(st.sampled_from(ATTACKS), st.data())
def test_mutated_text(attack: Any, data: st.DataObject) -> None:
    from toolgate import _rust

    start = data.draw(st.integers(0, len(attack.token)))
    length = data.draw(st.integers(0, 3))
    token = attack.token[:start] + data.draw(st.sampled_from(HOSTILE)) + attack.token[start + length :]
    try:
        verifiers = [attack.verifier(core) for core in (_rust, _pure)]
    except (ValueError, Refused):
        return
    assert told(_rust, verifiers[0], token) == told(_pure, verifiers[1], token)


@MUTANTS
@given(st.dictionaries(st.sampled_from(CLAIMS), values, max_size=3), st.sampled_from(["at+jwt", "JWT"]))
def test_mutated_claims(changes: dict[str, Any], typ: str) -> None:
    same(mint(claims(**changes), header={"typ": typ}))


@MUTANTS
@given(st.dictionaries(st.sampled_from(HEADERS), values, max_size=3))
def test_mutated_headers(changes: dict[str, Any]) -> None:
    same(mint(header=changes))


@MUTANTS
@given(
    st.dictionaries(st.sampled_from(MEMBERS), values, max_size=2),
    st.sampled_from(["ES256", "RS256", "EdDSA"]),
    st.booleans(),
)
def test_mutated_keys(changes: dict[str, Any], algorithm: str, beside_itself: bool) -> None:
    from toolgate import _rust

    key = signing_key(algorithm)
    member = {name: value for name, value in (key.public_jwk() | changes).items() if value is not ABSENT}
    document = {"keys": [member, *(jwks(key)["keys"] if beside_itself else ())]}
    sets = [core.KeySet.from_json(json.dumps(document)) for core in (_rust, _pure)]
    assert (sets[0].key_ids, sets[0].skipped, len(sets[0])) == (sets[1].key_ids, sets[1].skipped, len(sets[1]))
    same(mint(key=key), document, algorithms=[algorithm])
