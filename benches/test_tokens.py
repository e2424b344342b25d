"""One access token not seen before: the signature, and `exp`, `aud` and `iss` at least."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import jwt
import pytest
from benches.contest import CORES, Measure
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet as JoserfcKeySet

from doorward.testing import Issuer
from doorward.testing.keys import base64url

ISSUER, AUDIENCE = "https://as.example.com", "https://mcp.example.com/mcp"
ALGORITHMS = ("RS256", "ES256", "EdDSA", "HS256")
SECRET = bytes(range(32))


@cache
def issued(algorithm: str) -> tuple[str, dict[str, Any]]:
    """A token that outlives the run, and the keys it is verified with."""
    if algorithm == "HS256":
        token, _ = issued("ES256")
        claims = jwt.decode(token, options={"verify_signature": False})
        token = jwt.encode(claims, SECRET, algorithm, headers={"typ": "at+jwt"})
        return token, {"keys": [{"kty": "oct", "k": base64url(SECRET), "alg": algorithm}]}
    issuer = Issuer(ISSUER, algorithm=algorithm)
    return issuer.token(audience=AUDIENCE, scopes=["mcp:tools:read"], lifetime=36_000), issuer.jwks()


def doorward(name: str) -> Callable[[str], Callable[[], Any]]:
    def prepared(algorithm: str) -> Callable[[], Any]:
        token, jwks = issued(algorithm)
        key_set = CORES[name].KeySet
        keys = (
            key_set.from_secret(SECRET, algorithm=algorithm)
            if algorithm == "HS256"
            else key_set.from_json(json.dumps(jwks))
        )
        verifier = CORES[name].Verifier(keys, issuer=ISSUER, audience=AUDIENCE, algorithms=[algorithm])
        return lambda: verifier.verify(token, now=time.time())

    return prepared


def signature_alone(algorithm: str) -> Callable[[], Any]:
    token, jwks = issued(algorithm)
    key: Any = jwt.PyJWK.from_dict(jwks["keys"][0]).key
    signed, _, encoded = token.rpartition(".")
    message, signature = signed.encode(), base64.urlsafe_b64decode(encoded + "==")
    if algorithm == "HS256":
        return lambda: hmac.compare_digest(hmac.digest(SECRET, message, "sha256"), signature)
    if algorithm == "RS256":
        return lambda: key.verify(signature, message, padding.PKCS1v15(), SHA256()) or True
    if algorithm == "ES256":
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        der = encode_dss_signature(r, s)
        return lambda: key.verify(der, message, ec.ECDSA(SHA256())) or True
    return lambda: key.verify(signature, message) or True


def ryjwt(algorithm: str) -> Callable[[], Any]:
    peer = pytest.importorskip("ryjwt", reason="ryjwt is for CPython 3.12 and newer: make PYTHON=python3.12 bench")
    token, jwks = issued(algorithm)
    expected = {"algorithms": [algorithm], "audience": AUDIENCE, "issuer": ISSUER}
    if algorithm == "HS256":
        key = peer.SecretKey(SECRET, **expected)
    else:
        public: Any = jwt.PyJWK.from_dict(jwks["keys"][0]).key
        key = peer.PublicKey(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), **expected)
    return lambda: key.decode(token)


def pyjwt(algorithm: str) -> Callable[[], Any]:
    token, jwks = issued(algorithm)
    key = jwt.PyJWK.from_dict(jwks["keys"][0])
    return lambda: jwt.decode(token, key, algorithms=[algorithm], audience=AUDIENCE, issuer=ISSUER)


def joserfc(algorithm: str) -> Callable[[], Any]:
    token, jwks = issued(algorithm)
    keys = JoserfcKeySet.import_key_set(jwks)  # type: ignore[arg-type]
    claims = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}
    )

    def verify() -> Any:
        decoded = joserfc_jwt.decode(token, keys, algorithms=[algorithm])
        claims.validate(decoded.claims)
        return decoded

    return verify


CONTESTANTS: dict[str, Callable[[str], Callable[[], Any]]] = {
    **{name: doorward(name) for name in CORES},
    "the signature alone (cryptography)": signature_alone,
    "ryjwt": ryjwt,
    "PyJWT": pyjwt,
    "joserfc": joserfc,
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", CONTESTANTS)
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_verify(name: str, algorithm: str, measure: Measure) -> None:
    verify = CONTESTANTS[name](algorithm)
    assert verify()
    measure(f"verify {algorithm}", name, verify)


@pytest.mark.parametrize("name", CORES)
def test_seen_before(name: str, measure: Measure) -> None:
    token, _ = issued("RS256")
    cache = CORES[name].TokenCache()
    cache.put(token, object(), expires_at=time.time() + 36_000)
    measure("a token seen before", name, lambda: cache.get(token, now=time.time()))
