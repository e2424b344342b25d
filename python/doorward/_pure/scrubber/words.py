"""The words by which secrets are known; `doorward.audit.credentials` has the lists."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

__all__ = ["REDACTED", "Words", "looks_random"]

REDACTED: Final = b"[redacted]"

MIN_CREDENTIALS: Final = 16
"""Bytes of credentials behind a scheme, whatever they look like: a word of a sentence about tokens is shorter."""

MIN_RANDOM: Final = 8
"""Bytes of credentials with a digit, padding or changing case in them, as few words have."""


class Words:
    """Names in lower case, without ``-`` and ``_``."""

    __slots__ = ("assigned", "headers", "names", "parameters", "prefixes", "schemes")

    def __init__(
        self,
        *,
        headers: Sequence[str],
        names: Sequence[str],
        assigned: Sequence[str],
        parameters: Sequence[str],
        schemes: Sequence[str],
        prefixes: Sequence[str],
    ) -> None:
        self.headers = tuple(each.encode() for each in headers)
        self.names = tuple(each.encode() for each in names)
        self.assigned = tuple(each.encode() for each in assigned)
        self.parameters = tuple(each.encode() for each in parameters)
        self.schemes = tuple(each.encode() for each in schemes)
        self.prefixes = tuple(each.encode() for each in prefixes)

    def is_assigned_name(self, name: bytes) -> bool:
        """Whether the name, or its last words, is one of those that count where a value is assigned to them."""
        tail = b""
        for part in reversed(name.replace(b"-", b"_").split(b"_")):
            tail = part + tail
            if tail in self.assigned:
                return True
        return False


def looks_random(credentials: bytes) -> bool:
    """Whether no word of a sentence looks like it."""
    if len(credentials) >= MIN_CREDENTIALS:
        return True
    if len(credentials) < MIN_RANDOM:
        return False
    pairs = pairwise(credentials)
    return any(0x30 <= octet <= 0x39 or octet == 0x3D for octet in credentials) or any(
        0x61 <= one <= 0x7A and 0x41 <= two <= 0x5A for one, two in pairs
    )
