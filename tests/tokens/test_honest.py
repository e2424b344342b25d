"""Honest callers stay in: tokens that PyJWT and joserfc made, with keys that joserfc published."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt as pyjwt
import pytest
from conftest import Proof
from joserfc import jwk
from joserfc import jwt as joserfc_jwt
from minting import AUDIENCE, ISSUER, NOW

from doorward import _core

# joserfc warns of the name EdDSA, under which most issuers still sign (RFC 9864 section 4.1.2).
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

ALGORITHMS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "rsa"),
    "ES256": "p256",
    "ES384": "p384",
    "EdDSA": "ed25519",
    "Ed25519": "ed25519",
}
NAMES = ["user-1", "Ünïcode ☃ 名前", "a b\tc\"'\\/", "🦀🐍", "x" * 255, "auth0|123", "\u0000", "\u2028"]
SCOPES = ["read", "write", "tools:call", "https://api.example.com/.default", "café"]
EXTRAS = {
    "roles": ["admin", {"deep": [1, 2.5, None, True]}],
    "email_verified": False,
    "https://example.com/org": {"id": 2**53 + 1, "name": "Ünï"},
    "auth_time": NOW - 100.25,
    "acr": "urn:example:silver",
    "cost": 1e-7,
    "empty": {},
}


@dataclass(frozen=True)
class Honest:
    """What an issuer that means well puts into a token."""

    algorithm: str
    header: dict[str, str]
    claims: dict[str, Any]
    scopes: tuple[str, ...]

    @classmethod
    def draw(cls, chance: random.Random, algorithm: str) -> Honest:
        header = {"kid": ALGORITHMS[algorithm]} if chance.random() < 0.7 else {}
        typ = chance.choice(["at+jwt", "application/at+jwt", "AT+JWT", "JWT", "jwt", None])
        scopes = tuple(chance.sample(SCOPES, chance.randrange(len(SCOPES))))
        claims: dict[str, Any] = _times(chance) | {
            "iss": ISSUER,
            "aud": chance.choice([AUDIENCE, [AUDIENCE], ["https://other.example.com", AUDIENCE], [AUDIENCE, "ünï"]]),
            "sub": chance.choice(NAMES),
        }
        for name in chance.sample(["client_id", "azp", "jti"], chance.randrange(4)):
            claims[name] = chance.choice(NAMES)
        if not scopes and "at+jwt" not in (typ or "").lower():
            claims["client_id"] = chance.choice(NAMES)  # something has to show an access token
        if scopes:
            claims |= chance.choice([{"scope": " ".join(scopes)}, {"scp": list(scopes)}, {"scp": " ".join(scopes)}])
        for name in chance.sample(list(EXTRAS), chance.randrange(4)):
            claims[name] = EXTRAS[name]
        members = list(claims.items())
        chance.shuffle(members)
        return cls(algorithm, header | ({"typ": typ} if typ else {}), dict(members), scopes)


def _times(chance: random.Random) -> dict[str, float]:
    """Whole or fractional, down to the last instant that is still in time."""
    kind: Any = chance.choice([float, int, round])
    times = {"exp": kind(NOW + chance.choice([chance.uniform(1, 86_400), 1]))}
    if chance.random() < 0.8:
        times["iat"] = kind(NOW - chance.choice([chance.uniform(1, 86_400), 0]))
    if chance.random() < 0.5:
        times["nbf"] = kind(NOW - chance.choice([chance.uniform(1, 600), 0]))
    return times


def by_pyjwt(honest: Honest) -> str:
    # typ None leaves it out, where PyJWT would say JWT. It has not learnt the name Ed25519 yet.
    algorithm = "EdDSA" if honest.algorithm == "Ed25519" else honest.algorithm
    headers = {"typ": None} | honest.header
    return pyjwt.encode(dict(honest.claims), _key(honest).private_key, algorithm=algorithm, headers=headers)


def by_joserfc(honest: Honest) -> str:
    header = {"alg": honest.algorithm} | honest.header
    return joserfc_jwt.encode(header, dict(honest.claims), _key(honest), [honest.algorithm], default_type=None)


@cache
def keys() -> dict[str, Any]:
    """One key of each kind, so that a token without a kid finds the one that fits."""
    return {
        "rsa": jwk.RSAKey.generate_key(2048, {"kid": "rsa"}),
        "p256": jwk.ECKey.generate_key("P-256", {"kid": "p256", "use": "sig"}),
        "p384": jwk.ECKey.generate_key("P-384", {"kid": "p384", "alg": "ES384"}),
        "ed25519": jwk.OKPKey.generate_key("Ed25519", {"kid": "ed25519"}),
    }


def _key(honest: Honest) -> Any:
    return keys()[ALGORITHMS[honest.algorithm]]


@pytest.mark.parametrize("make", [by_pyjwt, by_joserfc])
def test_every_honest_token_is_accepted_and_understood(make: Callable[[Honest], str], proof: Proof, seed: int) -> None:
    chance = random.Random(seed)
    published = _core.KeySet.from_json({"keys": [key.as_dict(private=False) for key in keys().values()]})
    verifier = _core.Verifier(published, issuer=ISSUER, audience=AUDIENCE, algorithms=list(ALGORITHMS), leeway=0)
    count = proof("honest tokens", small=100, large=50_000)  # by each of two libraries
    for number in range(count):
        honest = Honest.draw(chance, list(ALGORITHMS)[number % len(ALGORITHMS)])
        found = verifier.verify(make(honest), now=NOW)
        claims = honest.claims
        assert found.raw == claims
        assert (found.issuer, found.subject) == (ISSUER, claims["sub"])
        assert found.audience == tuple([claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"])
        assert found.client_id == claims.get("client_id", claims.get("azp"))
        assert found.scopes == honest.scopes
        assert (found.expires_at, found.issued_at, found.token_id) == tuple(map(claims.get, ("exp", "iat", "jti")))
        assert found.certificate_sha256 is None
