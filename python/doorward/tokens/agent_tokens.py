"""What an agent's token looks like: ``doorward_agent_<id>_<secret><checksum>``.

The prefix lets secret scanners find it, the checksum lets them (and the gate) drop a typing error without a look-up,
the id finds the record, and the secret alone proves anything. There is no dot in it: nobody takes it for a JWT. A
double click selects all of it.

It is kept as SHA-256, without salt and without a slow function: those protect what people make up, and this secret has
256 bits of randomness, so that there is nothing to guess. A slow function would only hand callers a lever to keep the
gate busy with.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from hashlib import sha256
from typing import Final

from doorward.errors import refusal

__all__ = [
    "AGENTS_ISSUER",
    "ID",
    "SCANNED",
    "digest_of",
    "id_of",
    "is_agent_token",
    "is_of_former_name",
    "new_id",
    "new_token",
]

AGENTS_ISSUER: Final = "urn:doorward:agents"
"""The issuer of every agent. No authorization server can have it: theirs are web addresses."""

_PREFIX: Final = "doorward_agent_"
_ID_ALPHABET: Final = string.digits + string.ascii_lowercase
_ID_LENGTH: Final = 12
_ID_START: Final = len(_PREFIX)
_ID_END: Final = _ID_START + _ID_LENGTH
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_LENGTH: Final = 43
"""62 to the 43rd is just above 2 to the 256th."""
_CHECKSUM_LENGTH: Final = 6
"""62 to the sixth holds every CRC-32."""
_LENGTH: Final = len(_PREFIX) + _ID_LENGTH + 1 + _SECRET_LENGTH + _CHECKSUM_LENGTH

ID: Final = re.compile(rf"[0-9a-z]{{{_ID_LENGTH}}}")
SCANNED: Final = rf"\b{_PREFIX}[0-9a-z]{{{_ID_LENGTH}}}_[0-9A-Za-z]{{{_SECRET_LENGTH + _CHECKSUM_LENGTH}}}\b"
"""The regular expression for secret scanners."""


_FORMER: Final = re.compile(
    rf"[a-z]{{1,32}}_agent_[0-9a-z]{{{_ID_LENGTH}}}_[0-9A-Za-z]{{{_SECRET_LENGTH + _CHECKSUM_LENGTH}}}"
)


def is_agent_token(token: str) -> bool:
    """Whether it means to be one, by its prefix alone: whatever is wrong behind it, it is nothing else."""
    return token.startswith(_PREFIX)


def is_of_former_name(token: str) -> bool:
    """Whether it is an agent token that was made before the project was renamed: another prefix, the same form, and a
    checksum that fits."""
    return _FORMER.fullmatch(token) is not None and _checksum(token[:-_CHECKSUM_LENGTH]) == token[-_CHECKSUM_LENGTH:]


def new_id() -> str:
    """An id that no agent has."""
    return _random(_ID_ALPHABET, _ID_LENGTH)


def new_token(agent_id: str) -> str:
    """A new token for an agent."""
    body = f"{_PREFIX}{agent_id}_{_random(_ALPHABET, _SECRET_LENGTH)}"
    return body + _checksum(body)


def id_of(token: str) -> str:
    """Whose token it says it is. Raises `Unauthenticated` for what no agent was ever given."""
    agent_id, separator, rest = token[_ID_START:_ID_END], token[_ID_END : _ID_END + 1], token[_ID_END + 1 :]
    if (
        len(token) != _LENGTH
        or separator != "_"
        or not _has_only(agent_id, _ID_ALPHABET)
        or not _has_only(rest, _ALPHABET)
    ):
        raise refusal("malformed_token", "not the form of an agent token")
    if _checksum(token[:-_CHECKSUM_LENGTH]) != token[-_CHECKSUM_LENGTH:]:
        raise refusal("malformed_token", "the agent token's checksum is wrong: a character was lost or changed")
    return agent_id


def digest_of(token: str) -> bytes:
    """What is kept of it."""
    return sha256(token.encode()).digest()


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _has_only(text: str, allowed: str) -> bool:
    # How long a regular expression walks depends on what it walks over; this does not.
    return not text.encode("ascii", "replace").translate(None, allowed.encode())


def _checksum(body: str) -> str:
    rest = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
