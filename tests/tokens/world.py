"""The world in which the scenarios of ``tests/vectors/jwks_scenarios.json`` happen: an issuer that misbehaves, its
keys, its tokens, a clock that moves when told, and whoever authenticates as the gate does."""

from __future__ import annotations

import base64
import json
import random
import string
import time
from dataclasses import dataclass, field, replace
from typing import Any

from tokens.misbehaving import Misbehaving

from doorward import Issuer, Refused, Secret
from doorward._core import TokenCache
from doorward.settings import Introspection
from doorward.testing.keys import SigningKey, base64url
from doorward.tokens import Tokens, Verified

AUDIENCES = ("https://mcp.example.com/mcp", "X")
ALGORITHMS = ("ES384", "ES256")
KEYS = {kid: SigningKey.generate("ES384", kid=kid) for kid in ("A", "B")}
FOREIGN = SigningKey.generate("ES256", kid="")
P384_ORDER = int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16)
LIFETIMES = {"A1long": 7 * 86_400, "A1 exp+10s": 10}
USUAL_LIFETIME = 7200
ALPHABET = string.ascii_letters + string.digits + "-_"


@dataclass
class Gate:
    """What a gate does with a token, and nothing else of it: one configuration, one cache."""

    tokens: Tokens
    cache: TokenCache[Verified] = field(default_factory=TokenCache)

    async def authenticate(self, token: str, *, now: float) -> Verified:
        """What the token means; remembered where it may be."""
        verified = self.cache.get(token, now=now)
        if verified is None or not self.tokens.holds(verified, now=now, certificate_sha256=None):
            verified = await self.tokens.authenticate(token, now=now, certificate_sha256=None)
            self.cache.put(token, verified, expires_at=verified.principal.expires_at)
        return verified


@dataclass
class World:
    """One scenario's."""

    server: Misbehaving
    now: float = 1_800_000_000.0
    step: float = 0.0
    """Seconds that each verification takes on the clock."""
    alarms: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    """Seconds, of the callers with a JWT."""
    _gates: dict[Any, Gate] = field(default_factory=dict)
    _issued: dict[str, tuple[str, float]] = field(default_factory=dict)
    _random: random.Random = field(default_factory=lambda: random.Random(1))

    def __post_init__(self) -> None:
        self.server.clock = lambda: self.now
        self.server.answer = {"active": False}
        self.publish(["A"])  # where a scenario says nothing else

    async def verify(
        self, token: str, expect: str, *, audience: str | None = None, algorithms: list[str] | None = None
    ) -> float:
        """One caller with a token, by the word for it; the seconds it took."""
        self.now += self.step
        gate, credential, started = self._gate(audience, algorithms), self.token(token), time.monotonic()
        try:
            await gate.authenticate(credential, now=self.now)
            came = "accept"
        except Refused:
            came = "reject"
        took = time.monotonic() - started
        if token.startswith("A"):
            self.latencies.append(took)
        assert came in expect, f"{token}: {came}"
        return took

    # --- tokens -------------------------------------------------------------------------------------------------------

    def token(self, word: str) -> str:
        """The credential a scenario means."""
        if word == "opaque:random":
            return "".join(self._random.choices(ALPHABET, k=32))
        if word.startswith("O"):
            return word
        if word.startswith("forged:kid="):
            return self._forged(word.removeprefix("forged:kid="))
        if word == "A1 mutated":
            return self._mutated(self.token("A1"))
        if word == "A1 with flipped signature":
            signed, signature = self._parted("A1")
            return f"{signed}.{base64url(bytes([signature[0] ^ 1]) + signature[1:])}"
        if word == "A1 with high-S twin":
            signed, signature = self._parted("A1")
            twin = P384_ORDER - int.from_bytes(signature[48:], "big")
            return f"{signed}.{base64url(signature[:48] + twin.to_bytes(48, 'big'))}"
        return self._honest(word)

    def _honest(self, word: str) -> str:
        token, expires_at = self._issued.get(word, ("", 0.0))
        outlived = self.now >= expires_at and word not in LIFETIMES
        if not token or outlived:
            expires_at = self.now + LIFETIMES.get(word, USUAL_LIFETIME)
            claims = {"exp": expires_at, "iat": self.now}
            if word == "A1 nbf=now":
                claims["nbf"] = self.now
            token = self._signed(KEYS[word[0]], claims)
            self._issued[word] = token, expires_at
        return token

    def _signed(self, key: SigningKey, times: dict[str, float]) -> str:
        header = {"alg": key.algorithm, "typ": "at+jwt", "kid": key.kid}
        claims = {"iss": self.server.url, "aud": list(AUDIENCES), "sub": "user-1", "client_id": "agent-1", **times}
        signed = f"{_part(header)}.{_part(claims)}"
        return f"{signed}.{base64url(key.sign(signed.encode()))}"

    def _forged(self, kid: str) -> str:
        if kid == "random":
            kid = "".join(self._random.choices(ALPHABET, k=16))
        return self._signed(replace(FOREIGN, kid=kid), {"exp": self.now + 600})

    def _mutated(self, token: str) -> str:
        place = self._random.randrange(len(token))
        changed = self._random.choice([each for each in ALPHABET + "." if each != token[place]])
        return token[:place] + changed + token[place + 1 :]

    def _parted(self, word: str) -> tuple[str, bytes]:
        signed, _, signature = self.token(word).rpartition(".")
        return signed, base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))

    # --- the issuer and who trusts it ---------------------------------------------------------------------------------

    def publish(self, keys: list[str]) -> None:
        """``A``, or ``B as kid A``."""
        published = []
        for word in keys:
            name, _, kid = word.partition(" as kid ")
            published.append({**KEYS[name].public_jwk(), "kid": kid or name})
        self.server.jwks = {"keys": published}

    def introspects(self, token: str, *, active: bool = True, expires_in: float = 3600) -> None:
        """What introspection says about an opaque token from now on."""
        good = {"iss": self.server.url, "aud": AUDIENCES[0], "sub": "user-1", "client_id": "agent-1"}
        times = {"iat": self.now, "exp": self.now + expires_in}
        self.server.tokens[token] = {"active": True, **good, **times} if active else {"active": False}

    def _gate(self, audience: str | None, algorithms: list[str] | None) -> Gate:
        key = audience, tuple(algorithms or ())
        if key not in self._gates:
            issuer = Issuer(
                self.server.url,
                algorithms=algorithms or ALGORITHMS,
                leeway=0,
                introspection=Introspection(f"{self.server.url}/introspect", client_id="rs", secret=Secret(b"s" * 32)),
            )
            tokens = Tokens(
                [issuer],
                audiences=[audience or AUDIENCES[0]],
                organization_claim=None,
                alarm=self.alarms.append,
            )
            self._gates[key] = Gate(tokens)
        return self._gates[key]


def _part(members: dict[str, Any]) -> str:
    return base64url(json.dumps(members).encode())
