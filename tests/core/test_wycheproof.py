"""What others wrote against validators: Wycheproof, the RFCs' own examples, and hostile JSON where tokens have JSON."""

from __future__ import annotations

import base64
import json
from types import ModuleType
from typing import Any

import pytest
from attacks import shared_vectors
from minting import encoded, mint, sign, signing_key, verdict, verifier

from doorward import Refused

EVERY = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256", "HS384", "HS512"]


def verifies(core: ModuleType, case: dict[str, Any], algorithms: list[str]) -> bool:
    try:
        core.verify_jws(case["token"], core.KeySet.from_json(json.dumps(case["keys"])), algorithms)
    except Refused:
        return False
    return True


@pytest.mark.parametrize("algorithms", ["its own", "every"])
def test_wycheproof(core: ModuleType, algorithms: str) -> None:
    wrong = []
    for case in shared_vectors("wycheproof_cases.json"):
        allowed = EVERY if algorithms == "every" else [name for name in case["algorithms"] if name in EVERY]
        # Shared secrets in a published set are refused whatever the signature, and ES512 is not offered.
        expected = case["expect"] == "accept" and not case["symmetric"] and allowed != []
        if verifies(core, case, allowed or EVERY) is not expected:
            wrong.append(case["id"])
    assert wrong == []


def test_the_examples_of_the_rfcs(core: ModuleType) -> None:
    wrong = []
    for case in shared_vectors("rfc_jws_cases.json"):
        if case["id"].endswith("-expired"):  # of the claims, which this layer does not read
            continue
        expected = case["expect"] == "accept" and not case["symmetric"] and "ES512" not in case["algorithms"]
        allowed = [name for name in case["algorithms"] if name in EVERY]
        if verifies(core, case, allowed or EVERY) is not expected:
            wrong.append(case["id"])
    assert wrong == []


def test_hostile_json_is_no_part_of_a_token(core: ModuleType) -> None:
    verify, key = verifier(core, max_token_bytes=1_000_000), signing_key()
    for name, hostile in hostile_json("reject"):
        assert verdict(verify, sign(encoded(hostile), None, key)) == "malformed_token", name
        assert verdict(verify, mint(hostile)) == "malformed_token", name
        assert key_set(core, b'{"keys":[],"x":' + hostile + b"}") == "malformed_key_set", name


def test_odd_but_good_json_is(core: ModuleType) -> None:
    verify, key = verifier(core), signing_key()
    header = b'{"alg":"ES256","kid":"key-1","x":'
    for name, good in hostile_json("accept"):
        if "duplicated" in name:  # an object with a member twice: allowed by RFC 8259, refused here
            continue
        assert verdict(verify, mint(b'{"x":' + good + b"}")) == "missing_claim", name
        assert verdict(verify, sign(encoded(header + good + b"}"), None, key)) == "accepted", name
        assert key_set(core, b'{"keys":[],"x":' + good + b"}") == "accepted", name


def hostile_json(expect: str) -> list[tuple[str, bytes]]:
    cases = shared_vectors("json_hostile.json")["parsing"]
    return [(case["id"], base64.b64decode(case["input_b64"])) for case in cases if case["expect"] == expect]


def key_set(core: ModuleType, document: bytes) -> str:
    try:
        core.KeySet.from_json(document)
    except Refused as refused:
        return refused.code
    return "accepted"
