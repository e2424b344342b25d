"""The switch between the native core and its pure-Python twin.

A missing extension is a supported installation; a broken one is a bug, and its ImportError is left to rise.
``DOORWARD_CORE=rust|python`` forces one.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

__all__ = ["IMPLEMENTATION"]

_wanted = os.environ.get("DOORWARD_CORE", "")
if _wanted not in ("", "rust", "python"):
    raise ValueError(f"DOORWARD_CORE is {_wanted!r}: it must be rust or python, or not be set")

IMPLEMENTATION: Final[str] = _wanted or ("rust" if find_spec("doorward._rust") else "python")


def _is_subinterpreter() -> bool:
    for name in ("_interpreters", "_xxsubinterpreters"):  # since Python 3.13, and before
        try:
            interpreters = import_module(name)
        except ImportError:
            continue
        return bool(interpreters.get_current() != interpreters.get_main())
    return False


if IMPLEMENTATION == "rust" and _is_subinterpreter():
    # Python itself refuses an isolated one. In one that shares the GIL the module would be initialised a second time.
    raise ImportError(
        "the native core of doorward does not support subinterpreters: import it in the main interpreter of a process, "
        "or set DOORWARD_CORE=python",
        name="doorward._rust",
    )

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
