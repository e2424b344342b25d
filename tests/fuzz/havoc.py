"""Damage to bytes, drawn from a seed: what a coverage-guided fuzzer does between two looks at the coverage."""

from __future__ import annotations

import base64
import json
import random
from copy import deepcopy
from typing import Any

__all__ = ["havoc", "havoc_json", "havoc_token"]

MAX_BYTES = 20_000
"""A little beyond what a token may have, so that the bound itself is met."""

WORDS = [
    *(bytes([byte]) for byte in (0, 9, 10, 32, 34, 44, 46, 58, 61, 92, 0x7F, 0x80, 0xC0, 0xFF)),
    *(b"null", b"true", b"{}", b"[]", b'""', b"-0", b"1e400", b"1E2", b"0.1", b"NaN", b"1" * 400, b"9" * 520),
    *(b"\\u0000", b"\\ud800", b"\\udc00", b"\\uD83D\\uDE00", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
    *(b'"alg":', b'"kid":', b'"typ":', b'"crit":', b'"exp":', b'"iss":', b'"aud":', b'"cnf":', b'"kty":', b'"e":"AQ"'),
    *(b"1800000000", b"1799999999.5", b"-9223372036854775808", b"18446744073709551616", b"253402300800"),
    *(b"[" * 130, b'{"a":' * 130, b"[" * 5_000, b'"' + b"a" * 5_000, b"\\" * 2_000, b"." * 100, b"A" * 4_096),
]

VALUES: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        1.5,
        1e300,
        -0.0,
        2**53 + 1,
        2**64,
        10**308,
        1_800_000_000,
        1_799_999_999.999,
        253_402_300_799,
        253_402_300_800,
    ),
    *("", "A", "AA", "\0", "\ud800", "é", "a b", "=", "x" * 1_025, "https://as.example.com", "Bearer", "1800000000"),
    *("AQAB", "sig", "enc", "RS256", "ES384", "Ed25519", "P-256", "RSA", "EC", "OKP", "oct"),
    *([], {}, [[]], ["verify"], ["sign"], [None], {"x5t#S256": "A" * 43}, {"jkt": "A"}),
    *(json.loads("[" * depth + "]" * depth) for depth in (124, 125, 126, 127, 128, 129)),
]
"""Both sides of each bound, among others."""


def havoc(chance: random.Random, data: bytes, *, splice: bytes = b"") -> bytes:
    """A few changes at random; ``splice`` is other data of the same kind."""
    for _ in range(chance.choice([1, 1, 1, 2, 3, 8])):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice([0, 1, 1, 2, 4, 16, 64]))
        cut = data[start:end]
        match chance.randrange(7):
            case 0:
                middle = bytes(byte ^ (1 << chance.randrange(8)) for byte in cut)
            case 1:
                middle = chance.choice(WORDS)
            case 2:
                middle = cut + chance.choice(WORDS)
            case 3:
                middle = b""
            case 4:
                middle = cut * chance.choice([2, 3, 50])
            case 5:
                middle = chance.randbytes(len(cut))
            case _:
                other = chance.randrange(len(splice) + 1)
                middle = splice[other : other + chance.choice([1, 8, 64])]
        data = data[:start] + middle + data[end:]
    return data[:MAX_BYTES]


def havoc_json(chance: random.Random, data: bytes, *, splice: bytes = b"") -> bytes:
    """Damage to the text, or to the members of the value so that it is still JSON."""
    value = None
    if chance.random() < 0.6:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):  # a seed that is no JSON
            return havoc(chance, data, splice=splice)
    if value is None:
        return havoc(chance, data, splice=splice)
    for _ in range(chance.choice([1, 1, 2, 3])):
        _damage(chance, value)
    return json.dumps(value, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def _damage(chance: random.Random, value: Any) -> None:
    """One member somewhere below is changed, dropped, renamed or repeated elsewhere."""
    places = list(range(len(value))) if isinstance(value, list) else list(value) if isinstance(value, dict) else []
    if not places:
        return
    place = chance.choice(places)
    if isinstance(value[place], (dict, list)) and chance.random() < 0.8:
        _damage(chance, value[place])
        return
    match chance.randrange(5):
        case 0:
            del value[place]
        case 1 if isinstance(place, str):
            name = chance.choice([f"{place} ", place.upper(), "kid", "alg", "d", "k", "nbf", "cnf"])
            value[name] = deepcopy(value[place])
        case 2 if isinstance(value[place], str):
            value[place] = havoc(chance, value[place].encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
        case 3:
            value[place] = deepcopy(value[chance.choice(places)])
        case _:
            value[place] = deepcopy(chance.choice(VALUES))


def havoc_token(chance: random.Random, token: bytes, *, splice: bytes = b"") -> bytes:
    """Damage to the text of a token, or below the base64url of one of its parts."""
    parts = token.split(b".")
    which = chance.randrange(len(parts))
    if chance.random() < 0.4:
        return havoc(chance, token, splice=splice)
    try:
        inner = base64.urlsafe_b64decode(parts[which] + b"=" * (-len(parts[which]) % 4))
    except ValueError:
        return havoc(chance, token, splice=splice)
    parts[which] = base64.urlsafe_b64encode(havoc(chance, inner)).rstrip(b"=")
    return b".".join(parts)
