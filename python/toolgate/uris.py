"""Resource URIs that may mean another resource than they spell (RFC 3986 sections 6.2.2 and 6.2.3).

A rule matches the text; the server behind resolves, decodes or opens it. Where the two could differ, a rule for
``file:///secret/*`` would be got around by ``file:///public/../secret/key``. An honest caller can always spell plainly.
"""

from __future__ import annotations

import re
import string
from typing import Final

__all__ = ["is_disguised"]

_DISGUISES: Final = re.compile(
    "|".join(
        (
            # Parsers drop or turn them: urllib drops tab and newline anywhere, so that "/.\n./" becomes a dot segment.
            r"[\x00-\x20\x7f\\]",
            # Dot segments, also before the parameters of a segment.
            r"(?:^|/)\.{1,2}(?:[/;?#]|$)",
            # Empty segments: a file system reads a//b as a/b. "://" and the empty host of "file:///" are none.
            r"(?<!:)(?<!:/)//",
            # Encoded: NUL, the separators, and what needs no encoding (letters, digits, "-._~"); also encoded twice.
            r"%(?:25)*(?:00|2[def]|3[0-9]|4[1-9a-f]|5[0-9acf]|6[1-9a-f]|7[0-9ae])",
        )
    ),
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_UPPER: Final = frozenset(string.ascii_uppercase)
_SCHEMES_WITH_HOSTS: Final = frozenset({"file", "ftp", "http", "https", "ws", "wss"})
"""Of the WHATWG URL standard: their hosts are names of the DNS, for which case means nothing."""


def is_disguised(uri: str) -> bool:
    """Whether some reader may take the URI for another one; in time that grows with its length alone."""
    return _DISGUISES.search(uri) is not None or _has_other_case(uri)


def _has_other_case(uri: str) -> bool:
    scheme, colon, rest = uri.partition(":")
    if not colon or _SCHEME.fullmatch(scheme) is None:
        return False
    if not _UPPER.isdisjoint(scheme):
        return True
    if scheme not in _SCHEMES_WITH_HOSTS or not rest.startswith("//"):
        return False
    host = re.split(r"[/?#]", rest[2:], maxsplit=1)[0]
    return not _UPPER.isdisjoint(host)
