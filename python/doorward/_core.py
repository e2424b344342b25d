"""The switch between the native core and its pure-Python twin.

A missing extension is a supported installation; a broken one is a bug, and its ImportError is left to rise.
``DOORWARD_CORE=rust|python`` forces one.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

__all__ = ["IMPLEMENTATION"]

_wanted = os.environ.get("DOORWARD_CORE", "")
if _wanted not in ("", "rust", "python"):
    raise ValueError(f"DOORWARD_CORE is {_wanted!r}: it must be rust or python, or not be set")

IMPLEMENTATION: Final[str] = _wanted or ("rust" if find_spec("doorward._rust") else "python")

if TYPE_CHECKING or IMPLEMENTATION == "rust":
    from doorward._rust import (
        Chain,
        Charge,
        Charges,
        Claims,
        Envelope,
        Grant,
        Holding,
        Holdings,
        KeySet,
        Limiter,
        Recognised,
        Recogniser,
        RemoteGrant,
        Scrubber,
        TokenCache,
        Verifier,
        Verifiers,
        call_record,
        hash_arguments,
        read_envelope,
        spelt,
        subject_by,
        token_issuer,
        token_kind,
        verify_jws,
    )
else:
    from doorward._pure import (
        Chain,
        Charge,
        Charges,
        Claims,
        Envelope,
        Grant,
        Holding,
        Holdings,
        KeySet,
        Limiter,
        Recognised,
        Recogniser,
        RemoteGrant,
        Scrubber,
        TokenCache,
        Verifier,
        Verifiers,
        call_record,
        hash_arguments,
        read_envelope,
        spelt,
        subject_by,
        token_issuer,
        token_kind,
        verify_jws,
    )

__all__ += [
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
