"""However many strangers come, what is remembered of them is bounded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Proof, Tell
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tokens.flood import KEY_ID
from tokens.misbehaving import listening

import doorward
from doorward.testing.keys import base64url

TESTS = Path(__file__).parents[1]
MIB = 1024 * 1024
MAX_GROWTH = 64 * MIB

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


def flooded(**what: Any) -> dict[str, Any]:
    """What came of it."""
    key = Ed25519PrivateKey.generate()
    public = {"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_key().public_bytes_raw())}
    with listening() as issuer:
        issuer.jwks = {"keys": [{**public, "alg": "EdDSA", "kid": KEY_ID}]}
        issuer.answer = {"active": False}
        told = {"issuer": issuer.url, "private_key": key.private_bytes_raw().hex(), **what}
        done = subprocess.run(
            [sys.executable, "-m", "tokens.flood"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (TESTS, Path(doorward.__file__).parents[1])))},
            input=json.dumps(told),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("kind", "small", "large"),
    [
        ("tokens", 2_000, 10_000_000),
        ("key_ids", 4_000, 10_000_000),
        ("clients", 12_000, 10_000_000),  # more than are remembered
        ("talkers", 300, 100_000),
    ],
)
def test_strangers_do_not_fill_the_memory(kind: str, small: int, large: int, proof: Proof, tell: Tell) -> None:
    count = proof(f"random {kind}", small=small, large=large)
    came = flooded(kind=kind, count=count)
    tell(f"memory grew by {came['grown'] / MIB:.1f} MiB: {came['results']}")
    assert sum(came["results"].values()) == count
    assert came["grown"] <= MAX_GROWTH


def test_what_is_kept_of_strangers_shows() -> None:
    assert flooded(kind="key_ids", count=1_000, keep=MAX_GROWTH // 1_000)["grown"] > MAX_GROWTH
