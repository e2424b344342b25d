"""What is fuzzed: tokens, key sets, and claims behind a good signature. Each target draws cases for both cores."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

from attacks import SHARED, Attack, attacks
from fuzz.havoc import havoc_json, havoc_token
from minting import NOW, claims, jwks, mint, signing_key, verifier
from mutations import mutant, published

from doorward import Refused
from doorward.testing.keys import ALGORITHMS

__all__ = ["TARGETS", "Case"]

SEED_BYTES = 9_000
"""Giant seeds only slow the fuzzer down: damage makes its own."""


class Case(NamedTuple):
    """One input, and what a core is asked about it."""

    origin: str
    data: bytes
    run: Callable[[Any], object]


Draw = Callable[[random.Random], Case]


def tokens() -> Draw:
    """Damaged tokens, judged by the verifier they were made for, and by all that reads a token."""
    seeds = _configured_attacks()
    loose = _loose_seeds()

    @cache
    def judge_of(number: int, core: Any) -> Any:
        return seeds[number].verifier(core)

    @cache
    def common(core: Any) -> tuple[Any, Any]:
        keys = jwks(*published())
        names = [key.algorithm for key in published()]
        return verifier(core, keys, algorithms=names), core.KeySet.from_json(keys)

    def draw(chance: random.Random) -> Case:
        splice = chance.choice(loose)
        if chance.random() < 0.5:
            number = chance.randrange(len(seeds))
            attack = seeds[number]
            data = havoc_token(chance, attack.token.encode("utf-8", "surrogatepass"), splice=splice)
            return Case(attack.name, data, lambda core: _verified(judge_of(number, core), data, attack))
        kind, made = mutant(chance)
        origin, data = chance.choice([("library", splice), (kind, made)])
        token = havoc_token(chance, data, splice=splice)

        def run(core: Any) -> object:
            judge, keys = common(core)
            names = [key.algorithm for key in published()]
            return [
                _told(lambda: _verified(judge, token)),
                _told(lambda: _verified(core.Verifiers([judge]), token)),
                _told(lambda: core.token_issuer(token)),
                _told(lambda: core.verify_jws(token, keys, names)),
            ]

        return Case(origin, token, run)

    return draw


def key_sets() -> Draw:
    """Damaged documents: which keys are left, why the others are not, and what the first one still verifies."""
    good = [signing_key(algorithm) for algorithm in ALGORITHMS]
    sets = {f"{key.algorithm} alone": ({"keys": [key.public_jwk()]}, key) for key in good}
    sets |= {f"{key.algorithm} of all": (jwks(key, *good[:2]), key) for key in good}
    foreign = {json.dumps(attack.keys).encode(): attack.name for attack in _configured_attacks()}
    signed = {key.algorithm: [mint(key=key), mint(key=key, header={"kid": "other"})] for key in good}

    def draw(chance: random.Random) -> Case:
        origin, (document, key) = chance.choice(list(sets.items()))
        whole = json.dumps(document).encode()
        other, name = chance.choice(list(foreign.items()))
        if chance.random() < 0.3:
            origin, whole = name, other
        data = havoc_json(chance, whole, splice=other)

        def run(core: Any) -> object:
            found = core.KeySet.from_json(data)
            judge = core.Verifier(found, issuer="https://a", audience="a", algorithms=list(ALGORITHMS))
            told = [_told(partial(_verified, judge, token.encode())) for token in signed[key.algorithm]]
            return [found.key_ids, found.skipped, len(found), *told]

        return Case(origin, data, run)

    return draw


def payloads() -> Draw:
    """Damaged claims, signed again with the right key."""
    key = signing_key("EdDSA", "ed")  # the quickest to sign
    rich = {"scope": "a b", "scp": ["a"], "nbf": NOW, "jti": "1", "azp": "b", "cnf": {"x5t#S256": "A" * 43}, "é": [1.5]}
    seeds = [json.dumps(one).encode() for one in (claims(), claims(**rich), claims(aud=["a", "b"]), claims(nonce="n"))]
    seeds += [payload for payload in map(_payload, _loose_seeds()) if payload]

    @cache
    def judge(core: Any) -> Any:
        return verifier(core, jwks(key), algorithms=["EdDSA"], max_token_lifetime=3600.0)

    def draw(chance: random.Random) -> Case:
        seed = chance.choice(seeds[:4] if chance.random() < 0.8 else seeds)
        data = havoc_json(chance, seed, splice=chance.choice(seeds))
        token = mint(data, key=key, header={"typ": chance.choice(["at+jwt", "JWT"])}).encode()
        return Case("claims", data, lambda core: _verified(judge(core), token))

    return draw


TARGETS: dict[str, Callable[[], Draw]] = {"token": tokens, "jwks": key_sets, "claims": payloads}

TOLD = [
    "issuer",
    "subject",
    "client_id",
    "audience",
    "scopes",
    "issued_at",
    "expires_at",
    "not_before",
    "certificate_sha256",
    "token_id",
    "raw",
]


def _verified(judge: Any, token: bytes, attack: Attack | None = None) -> object:
    found = judge.verify(
        token, now=attack.now if attack else NOW, certificate_sha256=attack.certificate if attack else None
    )
    return [getattr(found, name) for name in TOLD]


def _told(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except Refused as refused:
        return refused.code


@cache
def _configured_attacks() -> list[Attack]:
    """Those that a verifier can be made for, and that are no giants."""
    from doorward import _pure

    def fits(attack: Attack) -> bool:
        try:
            attack.verifier(_pure)
        except (ValueError, Refused):
            return False
        return len(attack.token) <= SEED_BYTES

    return [attack for attack in attacks() if fits(attack)]


@cache
def _loose_seeds() -> list[bytes]:
    """Tokens without a configuration: those out of other libraries' suites, where they are at hand, and the attacks."""
    path = SHARED / "fuzz_seed_tokens.json"
    found = [one["token"] for one in json.loads(path.read_text("utf-8"))] if path.exists() else []
    found += [attack.token for attack in _configured_attacks()]
    return [one.encode("utf-8", "surrogatepass") for one in found]


def _payload(token: bytes) -> bytes | None:
    from doorward._pure.jwk import base64url

    parts = token.split(b".")
    return base64url(parts[1]) if len(parts) == 3 else None
