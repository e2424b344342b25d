"""Which key of a set a token was signed with, and why the others are not used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from doorward._core import KeySet, verify_jws
from doorward.errors import Refused, refusal
from doorward.tokens.unverified import algorithm_of, header_of

__all__ = ["Fit", "fits_of"]

_NAMES: Final = ("kid", "kty", "crv", "alg", "use")
"""Members of a key that are named; the others are the key itself."""

_MAX_TEXT: Final = 64


@dataclass(frozen=True)
class Fit:
    """One key of a set, and one token."""

    name: str
    """Its place in the set, and its public names: ``keys[0] kid=a kty=EC``."""
    verdict: str
    """Whether it fits the token's header, or why it cannot be used."""
    fits: bool
    """Whether a server would try it."""
    verifies: bool
    """Whether the signature verifies with it, whatever its names say."""


def fits_of(token: str, document: bytes) -> list[Fit]:
    """Each key of a JWK Set. Raises `Malformed` for what is none."""
    skipped = dict(each.split(": ", 1) for each in KeySet.from_json(document).skipped)
    members = json.loads(document)["keys"]
    return [_fit(token, member, position, skipped.get(f"keys[{position}]")) for position, member in enumerate(members)]


def _fit(token: str, member: Any, position: int, skipped: str | None) -> Fit:
    member = member if isinstance(member, dict) else {}
    named = " ".join(f"{name}={str(member[name])[:_MAX_TEXT]}" for name in _NAMES if name in member)
    verdict = f"cannot be used: {skipped}" if skipped else _verdict(token, member)
    return Fit(
        f"keys[{position}] {named}".rstrip(), verdict or "fits the header", verdict is None, _signed(token, member)
    )


def _verdict(token: str, member: Mapping[str, Any]) -> str | None:
    """Why the core would not choose this key, if it were the only one; None where it would."""
    reason = _reason(token, member)
    if reason is None or reason.code == "bad_signature":
        return None
    if reason.code != "unknown_key":
        return "cannot be tried: the token is not well formed, or its alg is not known"
    key_id = header_of(token).get("kid")
    return (
        "is not for the alg of the header" if key_id in (None, member.get("kid")) else "has another kid than the header"
    )


def _signed(token: str, member: Mapping[str, Any]) -> bool:
    """Whether the key made the signature: tried alone, under the name that the header asks for."""
    alone = {name: value for name, value in member.items() if name in ("kty", "crv", "x", "y", "n", "e")}
    return _reason(token, {**alone, "kid": header_of(token).get("kid", "")}) is None


def _reason(token: str, member: Mapping[str, Any]) -> Refused | None:
    """Why the signature does not verify with this key alone; None where it does."""
    try:
        verify_jws(token, KeySet.from_json({"keys": [member]}), [algorithm_of(token) or ""])
    except Refused as refused:
        return refused
    except ValueError:
        return refusal("unsupported_algorithm")
    return None
