"""Tokens that went wrong on the way, or that somebody meant to go wrong: drawn from a seed, each with its kind."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from minting import AUDIENCE, ISSUER, NOW, claims, encoded, sign, signing_key

from doorward.testing.keys import SigningKey

# The value that each member of a header or payload is changed to.
TEXTS = ["", ISSUER, ISSUER + "/", ISSUER.upper(), AUDIENCE, AUDIENCE + "/", "é", "\0", "a b", "1", "null", "x" * 600]
TIMES = [NOW, NOW + 1, NOW - 1, NOW + 0.001, NOW - 0.001, NOW + 1e9, 0, -1, 2**31, 2**63, 2**70, 1e300, 1.8e9 + 0.5]
OTHERS: list[Any] = [
    *(None, True, False, str(int(NOW)), "-1", {}, {"a": 1}),
    *([], [None], [1], [AUDIENCE], [AUDIENCE, 1], [[AUDIENCE]]),
]
ALGORITHMS = ["none", "None", "", "HS256", "es256", "ES256", "ES256 ", "ES384", "EdDSA", "Ed25519", "RS256", "PS256"]
TYPES = ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "id_token", "logout+jwt", "dpop+jwt", "", "at+jwt "]
KEY_IDS = ["", "es", "ed", "rs", "ES", "es ", "unknown", "../es", "es\0", "x" * 400, "x" * 2000]
CRITICAL = [[], ["exp"], ["b64"], ["alg"], ["x"], "exp", [1]]
HEADER_VALUES: dict[str, list[Any]] = {
    "alg": ALGORITHMS,
    "typ": TYPES,
    "kid": KEY_IDS,
    "crit": CRITICAL,
    "b64": [True, False],
    "cty": ["JWT", "json", ""],
    "zip": ["DEF"],
    "jku": ["https://evil.example.com/jwks", "es"],
    "jwk": [{"kty": "oct", "k": "AAAA"}, "es"],
    "x5c": [["AAAA"], "AAAA"],
    "x5t": ["AAAA"],
    "x5u": ["https://evil.example.com/x", ""],
    "iss": [ISSUER],
    "x": TEXTS,
}
TIME_CLAIMS = ["exp", "nbf", "iat"]
CLAIMS = [
    *("iss", "aud", "sub", "jti", "scope", "scp", "client_id", "azp", "cnf", "nonce", "typ", "events", "x"),
    *TIME_CLAIMS,
]
LITERALS = [
    *("NaN", "Infinity", "-Infinity", "1e400", "-0", "01", "1.", "+1", "0x1", "9" * 600, "1E2"),
    *('"\\ud800"', '"\\u0061"'),
]


@dataclass
class Draft:
    """A good token, still in parts."""

    key: SigningKey
    header: dict[str, Any]
    payload: dict[str, Any] = field(default_factory=claims)
    rewrite: dict[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    """What is done to the JSON of a part."""

    def part(self, name: str) -> dict[str, Any]:
        return self.header if name == "header" else self.payload

    def token(self) -> bytes:
        header, payload = (
            self.rewrite.get(name, bytes)(json.dumps(self.part(name)).encode()) for name in ("header", "payload")
        )
        return sign(encoded(header), payload, self.key).encode()


def published() -> list[SigningKey]:
    """The keys of the issuer."""
    return [signing_key(algorithm, kid) for algorithm, kid in (("ES256", "es"), ("EdDSA", "ed"), ("RS256", "rs"))]


def mutant(chance: random.Random) -> tuple[str, bytes]:
    """A token and the kinds of what was done to it: before it was signed with the right key, or after."""
    key = chance.choices(published(), [6, 6, 1])[0]  # RSA signs slowly
    draft = Draft(key, {"alg": key.algorithm, "typ": chance.choice(TYPES[:3]), "kid": key.kid})
    kinds = []
    for _ in range(chance.choice([0, 1, 1, 2])):
        change = chance.choice(BEFORE)
        change(draft, chance)
        kinds.append(change.__name__.strip("_"))
    token = draft.token()
    if not kinds or chance.random() < 0.25:
        change_after = chance.choice(AFTER)
        token = change_after(token, chance)
        kinds.append(change_after.__name__.strip("_"))
    return "+".join(kinds), token


def _header_edit(draft: Draft, chance: random.Random) -> None:
    name = chance.choice(list(HEADER_VALUES))
    draft.header[name] = chance.choice(HEADER_VALUES[name] if chance.random() < 0.8 else [*OTHERS, *TEXTS])


def _header_loss(draft: Draft, chance: random.Random) -> None:
    draft.header.pop(chance.choice(["alg", "typ", "kid"]), None)


def _other_key(draft: Draft, chance: random.Random) -> None:
    strangers = [signing_key(one.algorithm, one.kid + " of somebody else") for one in published()[:2]]
    draft.key = chance.choice([*published(), *strangers])


def _claim_edit(draft: Draft, chance: random.Random) -> None:
    draft.payload[chance.choice(CLAIMS)] = chance.choice([*TEXTS, *OTHERS, *TIMES])


def _claim_loss(draft: Draft, chance: random.Random) -> None:
    draft.payload.pop(chance.choice(list(draft.payload) or [""]), None)


def _time_edit(draft: Draft, chance: random.Random) -> None:
    draft.payload[chance.choice(TIME_CLAIMS)] = chance.choice([*TIMES, chance.uniform(NOW - 700, NOW + 700)])


def _case_change(draft: Draft, chance: random.Random) -> None:
    members = chance.choice([draft.header, draft.payload])
    name = chance.choice(list(members) or [""])
    value = members.pop(name, "")
    if chance.random() < 0.5:
        members[chance.choice([name.upper(), name.capitalize()])] = value
    else:
        members[name] = value.swapcase() if isinstance(value, str) else value


def _duplicate(draft: Draft, chance: random.Random) -> None:
    part = chance.choice(["header", "payload"])
    name = chance.choice(list(draft.part(part)) or ["x"])
    value = chance.choice([ISSUER, AUDIENCE, NOW + 600, "ES256", "es", "at+jwt", None])
    added = f"{json.dumps(name)}:{json.dumps(value)}".encode()
    if chance.random() < 0.5:
        draft.rewrite[part] = lambda text: b"{" + added + b"," + text[1:]
    else:
        draft.rewrite[part] = lambda text: text[:-1] + b"," + added + b"}"


def _literal(draft: Draft, chance: random.Random) -> None:
    part, name = chance.choice([("payload", one) for one in CLAIMS] + [("header", "kid"), ("header", "x")])
    draft.part(part).pop(name, None)
    added = f',"{name}":{chance.choice(LITERALS)}}}'.encode()
    draft.rewrite[part] = lambda text: text[:-1] + added


def _json_text(draft: Draft, chance: random.Random) -> None:
    draft.rewrite[chance.choice(["header", "payload"])] = chance.choice(REWRITES)


REWRITES: list[Callable[[bytes], bytes]] = [
    lambda text: b"\xef\xbb\xbf" + text,
    lambda text: b" \t\r\n" + text + b" ",
    lambda text: text + b"\0",
    lambda text: text + b"{}",
    lambda text: b"\f" + text,
    lambda text: text.replace(b", ", b" ,\n"),
    lambda text: text.replace(b'"', b"'"),
    lambda text: text[:-1] + b",}",
    lambda text: b"[" + text + b"]",
    lambda text: text.decode().encode("utf-16"),
    lambda text: text.decode().encode("utf-16-le"),
    lambda text: text.replace(b"s", b"\\u0073"),
    lambda text: text.replace(b"user", b"us\xe9r"),
    lambda text: text.replace(b"user", b"\xed\xa0\x80"),
    lambda text: text[:-1] + b',"y":' + b"[" * 200 + b"]" * 200 + b"}",
]


def _byte_flip(token: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(token))
    return token[:place] + bytes([token[place] ^ (1 << chance.randrange(8))]) + token[place + 1 :]


def _base64_end(token: bytes, chance: random.Random) -> bytes:
    """The last character of a part can carry bits that stand for nothing."""
    parts = token.split(b".")
    which = chance.randrange(3)
    parts[which] = parts[which][:-1] + bytes([chance.choice(b"ABCDEFGHQRSTUVWXghijwxyz0123456789-_")])
    return b".".join(parts)


def _base64_variant(token: bytes, chance: random.Random) -> bytes:
    parts = token.split(b".")
    which = chance.randrange(3)
    old = parts[which]
    parts[which] = chance.choice(
        [old + b"=", old + b"==", old + b"=" * (-len(old) % 4), old.replace(b"-", b"+").replace(b"_", b"/"), old + b"A"]
    )
    return b".".join(parts)


def _whitespace(token: bytes, chance: random.Random) -> bytes:
    place = chance.choice([0, len(token), token.index(b"."), token.rindex(b"."), chance.randrange(len(token))])
    return token[:place] + chance.choice([b" ", b"\n", b"\r\n", b"\t", b"\0", b"\xc2\xa0", b"%20"]) + token[place:]


def _segment_swap(token: bytes, chance: random.Random) -> bytes:
    parts = token.split(b".")
    other = mutant(chance)[1].split(b".") if chance.random() < 0.3 else parts
    return b".".join(chance.choice([*parts, *other, b""]) for _ in range(chance.choice([1, 2, 3, 3, 3, 4, 5])))


def _case_swap(token: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(token))
    return token[:place] + token[place : place + 1].swapcase() + token[place + 1 :]


def _cut(token: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(token))
    return token[:start] + token[start + chance.choice([1, 2, 3, 4, 40]) :]


BEFORE = [
    _header_edit,
    _header_loss,
    _other_key,
    _claim_edit,
    _claim_loss,
    _time_edit,
    _case_change,
    _duplicate,
    _json_text,
    _literal,
]
AFTER = [_byte_flip, _base64_end, _base64_variant, _whitespace, _segment_swap, _case_swap, _cut]
