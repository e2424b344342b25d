"""The pure-Python twin of the native core: the same contract, file by file and name by name. Correct first."""

from __future__ import annotations

from doorward._pure.cache import TokenCache
from doorward._pure.canonical import hash_arguments
from doorward._pure.chain import Chain
from doorward._pure.charge import Charge
from doorward._pure.claims import Claims, token_issuer, token_kind
from doorward._pure.envelope import Envelope, read_envelope
from doorward._pure.jwk import KeySet
from doorward._pure.jws import verify_jws
from doorward._pure.jwt import Verifier, Verifiers
from doorward._pure.leases import Holding, Holdings, RemoteGrant
from doorward._pure.limiter import Charges, Grant, Limiter
from doorward._pure.recogniser import Recognised, Recogniser
from doorward._pure.record import call_record, spelt
from doorward._pure.scrubber import Scrubber
from doorward._pure.subject import subject_by

__all__ = [
    "REFUSALS",
    "Chain",
    "Charge",
    "Charges",
    "Claims",
    "Envelope",
    "Grant",
    "Holding",
    "Holdings",
    "KeySet",
    "Limiter",
    "Recognised",
    "Recogniser",
    "RemoteGrant",
    "Scrubber",
    "TokenCache",
    "Verifier",
    "Verifiers",
    "call_record",
    "hash_arguments",
    "read_envelope",
    "spelt",
    "subject_by",
    "token_issuer",
    "token_kind",
    "verify_jws",
]

REFUSALS = [
    "bad_signature",
    "invalid_claim",
    "invalid_audience",
    "invalid_issuer",
    "invalid_json",
    "invalid_request",
    "invalid_type",
    "malformed_key_set",
    "malformed_token",
    "missing_claim",
    "proof_required",
    "token_expired",
    "token_lifetime_too_long",
    "token_not_yet_valid",
    "token_too_large",
    "unknown_key",
    "unsupported_algorithm",
    "unsupported_critical",
]
"""Every reason for which this core refuses, as in ``rust/refusal.rs``."""
