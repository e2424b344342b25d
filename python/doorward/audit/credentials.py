"""What credentials look like in a text: in a header's line, a dict's repr, JSON, a query or a sentence."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus

from doorward.settings import known_secrets

__all__ = ["REDACTED", "scrub", "tells"]

REDACTED: Final = "[redacted]"

_MIN_SECRET: Final = 8
"""Characters of a secret that is looked for: a shorter one would be found in words."""

_NAMES: Final = (
    r"(?:access|refresh|id|subject|actor|session)[-_]?token|client[-_]?secret|client[-_]?assertion|(?:x[-_])?api[-_]?key|"
    r"passw(?:or)?d|private[-_]?key|secret[-_]?key|(?:set[-_])?cookie"
)
"""Members and parameters that say what they are, wherever they stand."""

_SCHEME: Final = r"(?:bearer|basic|dpop|negotiate)"
_QUOTED: Final = r"""(?:b(?=['"]))?\\?['"]?"""
_CREDENTIALS: Final = r"[A-Za-z0-9\-._~+/]{16,}=*"
"""RFC 6750 section 2.1, and too long to be a word of a sentence about tokens."""

_ANYTHING: Final = r"""(?!\[redacted\]|b['"])[^'"\s&,;})\\]+"""

_PATTERNS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), replacement)
    for pattern, replacement in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", REDACTED),
        # Nothing else looks like these: an agent's token; a JWS or a JWE, compact.
        (r"doorward_agent_[0-9A-Za-z_]+", REDACTED),
        (r"\beyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){2,4}", REDACTED),
        # RFC 9110 section 11.4: a scheme and its credentials.
        (rf"\b({_SCHEME})({_QUOTED}[\s:=,]+{_QUOTED}){_CREDENTIALS}", rf"\1\2{REDACTED}"),
        (rf"\b(authorization{_QUOTED}\s*[:=,]\s*{_QUOTED}(?:{_SCHEME} +|(?!{_SCHEME} ))){_ANYTHING}", rf"\1{REDACTED}"),
        (rf"\b({_NAMES})({_QUOTED}\s*[:=]\s*{_QUOTED}){_ANYTHING}", rf"\1\2{REDACTED}"),
    )
)

_TELLING: Final = re.compile(rf"(?:proxy[-_])?authorization|token|secret|{_NAMES}", re.IGNORECASE)


def scrub(text: str) -> str:
    """The text without what gives access to anything."""
    configured = _configured(known_secrets())
    if configured is not None:
        text = configured.sub(REDACTED, text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def tells(name: str, value: object) -> bool:
    """Whether the value is a secret by the name of its member, whatever it looks like."""
    return isinstance(value, str | bytes) and _TELLING.fullmatch(name) is not None


@lru_cache(maxsize=4)
def _configured(secrets: frozenset[bytes]) -> re.Pattern[str] | None:
    """Finds each secret as it is, and in the forms it is sent in: percent-encoded, base64, hexadecimal."""
    forms: set[str] = set()
    for secret in secrets:
        text = secret.decode("utf-8", "surrogateescape")
        encoded = (base64.b64encode(secret), base64.urlsafe_b64encode(secret))
        forms |= {text, quote(secret, safe=""), quote_plus(secret), secret.hex(), repr(text)[1:-1]}
        forms |= {each.decode().rstrip("=") for each in encoded}
        # Of a PEM each line by itself, as it is logged; not its first and last, by which every other key is known.
        forms |= {line for line in text.splitlines() if len(line) > 2 * _MIN_SECRET and not line.startswith("--")}
    found = sorted((form for form in forms if len(form) >= _MIN_SECRET), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, found))) if found else None
