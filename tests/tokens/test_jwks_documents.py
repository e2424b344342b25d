"""Fetched keys: which documents count, and what in them."""

from __future__ import annotations

import json

import pytest
from minting import NOW, jwks
from tokens.fetched import A, B, Subject

from doorward.tokens.fetch import MAX_KEY_SET_BYTES
from doorward.tokens.jwks import COOL_DOWN

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
    verified = await subject.verified()
    subject.server.jwks = document
    assert await subject.verify(B, now=NOW + COOL_DOWN) == "issuer_unavailable"
    assert await subject.verify(now=NOW + COOL_DOWN) == "accepted"
    assert not verified.standing.withdrawn
    assert subject.alarms == ["keys_malformed"]


async def test_a_document_over_the_bound_is_not_read(subject: Subject) -> None:
    subject.server.jwks = json.dumps({**jwks(A), "padding": "x" * MAX_KEY_SET_BYTES}).encode()
    assert await subject.verify() == "issuer_unavailable"
    assert subject.alarms == ["keys_unreachable"]


async def test_an_exotic_key_spoils_nothing(subject: Subject) -> None:
    subject.server.jwks = {"keys": [*EXOTIC, A.public_jwk(), *EXOTIC]}
    assert (await subject.verify(), subject.alarms) == ("accepted", [])
