"""Fetched keys: which documents count, and what in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from minting import NOW, jwks, signing_key
from tokens.fetched import A, B, Subject

from doorward.tokens.fetch import MAX_KEY_SET_BYTES
from doorward.tokens.jwks import COOL_DOWN, LIFETIME

pytestmark = pytest.mark.anyio

EXOTIC = [
    {"kty": "AKP", "alg": "ML-DSA-65", "kid": "quantum", "pub": "AA"},
    {"kty": "EC", "crv": "secp256k1", "kid": "coin", "x": "AA", "y": "AA"},
    {"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"},
    {"kty": "oct", "kid": "secret", "k": "AAAA"},
    {"kid": "nothing"},
    "not even an object",
]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[]",
        b'{"keys":1}',
        b'{"keys":[]}',
        b'{"keys":[],"keys":[]}',
        b"<!doctype html>",
        b"\xff",
        b"[" * 100_000,
        json.dumps({"keys": EXOTIC}).encode(),
        json.dumps({"keys": [B.public_jwk()] * 300}).encode(),
    ],
    ids=["empty", "bare", "array", "number", "no-keys", "twice", "html", "not-utf-8", "deep", "exotic", "many"],
)
async def test_a_bad_document_never_replaces_a_good_one(subject: Subject, document: bytes) -> None:
    await subject.verify()
    subject.server.jwks = document
    assert await subject.verify(B, now=NOW + COOL_DOWN) == "issuer_unavailable"
    assert (await subject.verify(now=NOW + COOL_DOWN), subject.keys.generation) == ("accepted", 0)
    assert subject.alarms == ["keys_malformed"]


async def test_a_document_over_the_bound_is_not_read(subject: Subject) -> None:
    subject.server.jwks = json.dumps({**jwks(A), "padding": "x" * MAX_KEY_SET_BYTES}).encode()
    assert await subject.verify() == "issuer_unavailable"
    assert subject.alarms == ["keys_unreachable"]


async def test_an_exotic_key_spoils_nothing(subject: Subject) -> None:
    subject.server.jwks = {"keys": [*EXOTIC, A.public_jwk(), *EXOTIC]}
    assert (await subject.verify(), subject.alarms) == ("accepted", [])


@pytest.mark.parametrize(
    ("published", "changed"),
    [
        ([A, B], False),
        ([B, A], False),
        ([A], False),
        ([B], True),
        ([signing_key("ES256", "other A"), B], True),
    ],
    ids=["added", "added-before", "same", "withdrawn", "replaced"],
)
async def test_the_generation_tells_of_keys_that_no_longer_count(
    subject: Subject, published: list[Any], changed: bool
) -> None:
    await subject.verify()
    before = subject.keys.generation
    document = jwks(*published)
    for key in document["keys"]:
        key["kid"] = key["kid"].removeprefix("other ")
    subject.server.jwks = document
    told = await subject.verify(now=NOW + LIFETIME)
    assert (subject.keys.generation != before) is changed
    assert (told == "accepted") is not changed


async def test_what_else_a_key_says_changes_nothing(subject: Subject) -> None:
    await subject.verify()
    before = subject.keys.generation
    subject.server.jwks = {"keys": [{**A.public_jwk(), "x5c": ["AA"], "expires": 1}]}
    assert await subject.verify(now=NOW + LIFETIME) == "accepted"
    assert subject.keys.generation == before
