"""Fetched keys: which documents count, and what in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from minting import NOW, jwks, signing_key
from tokens.fetched import A, B, Subject

from doorward.testing.keys import base64url
from doorward.tokens.fetch import MAX_KEY_SET_BYTES
from doorward.tokens.jwks import COOL_DOWN, LIFETIME
from doorward.tokens.skipped_keys import MAX_NAMED

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


SKIPPED = {
    "a zero octet before the modulus": (
        lambda key: {**key, "n": base64url(b"\0" + b"\x80" * 255 + b"\x81")},
        "the modulus begins with a zero octet",
    ),
    "alg is null": (lambda key: {**key, "alg": None}, "alg is not a string"),
    "for encryption": (lambda key: {**key, "use": "enc"}, "use is not sig"),
}


@pytest.mark.parametrize(("change", "why"), SKIPPED.values(), ids=SKIPPED)
async def test_a_key_that_is_skipped_is_logged_once_with_the_reason(
    subject: Subject, caplog: pytest.LogCaptureFixture, change: Any, why: str
) -> None:
    caplog.set_level("INFO", "doorward")
    skipped = change(signing_key("RS256", "java").public_jwk())
    subject.server.jwks = {"keys": [A.public_jwk(), skipped]}
    for fetched in range(3):
        await subject.verify(now=NOW + fetched * 2 * LIFETIME)
    assert subject.fetches == 3
    logged = [record.getMessage() for record in caplog.records if "cannot be used" in record.getMessage()]
    [line] = logged
    assert line.startswith(f"a key of {subject.server.url} cannot be used: keys[1]: {why}; tokens that are signed")


async def test_two_keys_of_one_kid_are_both_logged(subject: Subject, caplog: pytest.LogCaptureFixture) -> None:
    subject.server.jwks = {
        "keys": [A.public_jwk(), B.public_jwk(), {**signing_key("ES256", "C").public_jwk(), "kid": B.kid}]
    }
    assert await subject.verify() == "accepted"
    assert caplog.text.count("another key has the same kid") == 2


async def test_a_set_of_unusable_keys_does_not_fill_the_log(subject: Subject, caplog: pytest.LogCaptureFixture) -> None:
    subject.server.jwks = {"keys": [A.public_jwk(), *[{"kty": "x"}] * 255]}
    assert await subject.verify() == "accepted"
    assert len(caplog.records) == MAX_NAMED + 1
    assert f"{255 - MAX_NAMED} more keys" in caplog.text


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"keys": [{"kty": "x"}] * 257}, "there are more than 256 keys"),
        ({"keys": []}, "no key can be used: the set is empty"),
        ({"keys": [{"kid": "a"}]}, "no key can be used: keys[0]: kty is missing"),
    ],
    ids=["more than 256", "none", "none usable"],
)
async def test_a_set_that_cannot_be_used_is_logged_once_until_it_changes(
    subject: Subject, caplog: pytest.LogCaptureFixture, document: Any, why: str
) -> None:
    line = f"the keys of {subject.server.url} cannot be had: {why}"
    times = iter(NOW + number * LIFETIME for number in range(1, 9))
    for served in (document, document, jwks(A), document):
        subject.server.jwks = served
        await subject.verify(now=next(times))
        await subject.looked()
    assert [record.getMessage() for record in caplog.records].count(line) == 2
