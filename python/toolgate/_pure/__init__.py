"""The pure-Python twin of the native core: the same contract, file by file and name by name. Correct first."""

from __future__ import annotations

from toolgate._pure.cache import TokenCache
from toolgate._pure.canonical import hash_arguments
from toolgate._pure.charge import Charge
from toolgate._pure.claims import Claims
from toolgate._pure.envelope import Envelope, read_envelope
from toolgate._pure.jwk import KeySet
from toolgate._pure.jws import verify_jws
from toolgate._pure.jwt import Verifier, Verifiers
from toolgate._pure.limiter import Grant, Limiter

__all__ = [
    "Charge",
    "Claims",
    "Envelope",
    "Grant",
    "KeySet",
    "Limiter",
    "TokenCache",
    "Verifier",
    "Verifiers",
    "hash_arguments",
    "read_envelope",
    "verify_jws",
]
