"""We accept nothing that joserfc refuses, but for what is written down here; what only we refuse is counted."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from conftest import Proof, Tell
from joserfc import jwk, jwt
from joserfc.jws import JWSRegistry
from minting import ABSENT, AUDIENCE, ISSUER, NOW, claims, encoded, jwks, mint, verdict, verifier
from mutations import mutant, published

from doorward import _core
from doorward.testing.keys import SigningKey

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

TEXT_HEADERS = ("jku", "jwk", "x5u", "x5c")


class Known(NamedTuple):
    """A token that we accept and joserfc refuses, and why both may."""

    error: str
    why: str
    holds: Callable[[dict[str, Any], dict[str, Any]], bool]
    """Whether it is so of a header and claims."""
    example: dict[str, Any]
    """A change of the header of a good token."""
    claims: dict[str, Any] = {}  # noqa: RUF012
    """A change of its claims."""


KNOWN = {
    "unknown parameter": Known(
        "UnsupportedHeaderError",
        "RFC 7515 section 4: a parameter that is not understood and not critical must be ignored",
        lambda header, said: bool(set(header) - set(JWSRegistry.default_header_registry)) and "crit" not in header,
        {"x": "y"},
    ),
    "long header": Known(
        "ExceededSizeError",
        "joserfc takes 512 characters of header; we bound the kid and the token as a whole",
        lambda header, said: len(encoded(header)) > 512,
        {"x5t": "x" * 600},
    ),
    "unused parameter": Known(
        "InvalidHeaderValueError",
        "RFC 8725 section 3.10: a key or an address in a token is never used, so only its JSON type is looked at",
        lambda header, said: any(name in header for name in TEXT_HEADERS),
        {"jku": "no URL"},
    ),
    "null claim": Known(
        "InvalidClaimError",
        "several issuers write null for a claim that they leave out",
        lambda header, said: None in said.values(),
        {},
        {"jti": None},
    ),
    "no kid": Known(
        "InvalidKeyIdError",
        "RFC 7515 section 4.1.4: kid is optional; the key is taken where only one of the set fits alg",
        lambda header, said: "kid" not in header,
        {"kid": ABSENT},
    ),
    "two names of one algorithm": Known(
        "InvalidKeyIdError",
        "RFC 9864 section 4.1.2: with a key of the curve Ed25519, EdDSA and Ed25519 mean the same",
        lambda header, said: header.get("alg") == "Ed25519",
        {"alg": "Ed25519"},
    ),
}


class Peer:
    """joserfc, told the same as we: algorithms, issuer, audience and time."""

    def __init__(self, keys: list[SigningKey], algorithms: list[str]) -> None:
        self._keys = jwk.KeySet.import_key_set(jwks(*keys))  # type: ignore[arg-type]
        self._registry = JWSRegistry(algorithms=algorithms)
        required = {"essential": True}
        self._claims = jwt.JWTClaimsRegistry(
            now=int(NOW),
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            exp=required,  # type: ignore[arg-type]
            sub=required,  # type: ignore[arg-type]
        )

    def error(self, token: bytes) -> str | None:
        """What it refuses the token with; None where it accepts it."""
        try:
            self._claims.validate(jwt.decode(token, self._keys, registry=self._registry).claims)
        except Exception as error:  # whatever it raises, it does not accept
            return type(error).__name__
        return None


def both() -> tuple[Any, Peer]:
    keys = published()
    algorithms = [key.algorithm for key in keys]
    return verifier(_core, jwks(*keys), algorithms=algorithms), Peer(keys, [*algorithms, "Ed25519"])


def parts_of(token: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims; only asked about tokens that we accept, whose parts are one JSON object each."""
    from joserfc.jws import extract_compact

    generous = JWSRegistry()
    generous.max_header_length = 16_384
    parts = extract_compact(token, registry=generous)
    return parts.headers(), json.loads(parts.payload)


def explanation(token: bytes, error: str) -> str | None:
    """Which entry of the list explains why only we accept it."""
    header, said = parts_of(token)
    return next((name for name, known in KNOWN.items() if known.error == error and known.holds(header, said)), None)


def test_we_accept_nothing_else_that_joserfc_refuses(proof: Proof, tell: Tell, seed: int) -> None:
    ours, peer = both()
    chance = random.Random(seed)
    agreed: Counter[str] = Counter()
    only_we_accept: Counter[str] = Counter()
    only_we_refuse: Counter[str] = Counter()
    for _ in range(proof("mutated tokens", small=2_000, large=1_000_000)):
        kind, token = mutant(chance)
        found, error = verdict(ours, token), peer.error(token)
        if found == "accepted" and error is not None:
            why = explanation(token, error)
            assert why, f"accepted by us, {error} by joserfc: {kind} {token!r}"
            only_we_accept[why] += 1
        elif found != "accepted" and error is None:
            only_we_refuse[f"{found} after {'several' if '+' in kind else kind}"] += 1
        else:
            agreed["accepted" if error is None else "refused"] += 1
    tell(
        f"both: {_listed(agreed)}; only we accept: {_listed(only_we_accept)}; only we refuse: {_listed(only_we_refuse)}"
    )


@pytest.mark.parametrize("name", KNOWN)
def test_the_list_says_what_still_is_so(name: str) -> None:
    ours, peer = both()
    known = KNOWN[name]
    key = next(key for key in published() if key.kid == "ed")
    token = mint(claims(**known.claims), key=key, header=known.example).encode()
    assert verdict(ours, token) == "accepted"
    assert explanation(token, peer.error(token) or "") == name


def test_both_accept_what_nothing_was_done_to() -> None:
    ours, peer = both()
    for key in published():
        token = mint(key=key).encode()
        assert (verdict(ours, token), peer.error(token)) == ("accepted", None)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common()) or "nothing"
