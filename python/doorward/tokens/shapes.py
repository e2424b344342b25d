"""What was expected and what came, for the detail of a refusal.

What was expected stands in the configuration. What came is shown only for a token whose signature is good, or for the
answer of an introspection endpoint: otherwise anybody could write into the records. Names of algorithms are the
exception, because they are words of a fixed list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from doorward.errors import Refused, refusal
from doorward.settings import Issuer
from doorward.tokens.unverified import algorithm_of, audience_of

__all__ = ["foreign_issuer", "unexpected_audience", "with_shape"]

MAX_VALUES: Final = 3
"""Values of one list that are named; a record is one line."""

_PLAIN: Final = re.compile(r"(?!eyJ|doorward_agent_)[A-Za-z0-9._~:/-]{1,128}")
"""URLs without a query, GUIDs and names. A value of other characters may be a person, a credential or an attack on the
terminal, and what begins like a token may be one."""


def with_shape(refused: Refused, token: str, issuer: Issuer, audiences: Iterable[str]) -> Refused:
    """The same refusal of a JWT of a configured issuer, with what was expected and what came."""
    detail = refused.detail
    if refused.code == "invalid_audience":
        detail = unexpected_audience(audiences, audience_of(token))
    elif refused.code == "unsupported_algorithm":
        detail = f"{detail}: expected {_listed(issuer.algorithms)}, came {algorithm_of(token) or 'none that is known'}"
    elif refused.code == "token_lifetime_too_long" and issuer.max_token_lifetime is not None:
        detail = f"{detail}: max_token_lifetime is {issuer.max_token_lifetime:g} s"
    return refusal(refused.code, f"{detail} (issuer {issuer.url})")


def unexpected_audience(expected: Iterable[str], came: Iterable[str]) -> str:
    """What the detail says of an audience. ``came``: from a token or an answer that was verified."""
    return f"aud does not name this resource: expected {_listed(expected)}, came {_listed(came)}"


def foreign_issuer(issuer: str, configured: Iterable[str]) -> str:
    """What the detail says of an ``iss`` that is not configured. Nothing of the token is verified, so that it names the
    configured issuer that differs from it only by case or a slash, and no other value."""
    if not issuer:
        return "iss is missing"
    near = [url for url in configured if url.rstrip("/").casefold() == issuer.rstrip("/").casefold()]
    if near:
        return f"iss is not a configured issuer: it differs from {near[0]} by case or by a slash at its end alone"
    return "iss is not a configured issuer"


def shown(value: str) -> str:
    """A value that was verified, where it is safe to repeat."""
    return value if _PLAIN.fullmatch(value) else f"a value of {len(value)} characters that is not shown"


def _listed(values: Iterable[str]) -> str:
    all_values = list(values)
    named = [shown(value) for value in all_values[:MAX_VALUES]]
    more = len(all_values) - len(named)
    return (" or ".join(named) + (f" and {more} more" if more else "")) or "none"
