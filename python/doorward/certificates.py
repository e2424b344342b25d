"""The client's certificate as a trusted proxy hands it on: only its SHA-256 is ever of interest (RFC 8705 section
3.1)."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from typing import Final

__all__ = ["from_client_cert", "from_forwarded_client_cert", "from_pem"]

_MAX_HEADER: Final = 16_384
"""Characters of a header that may hold a certificate: a chain of a few, in base64."""

_HASH: Final = re.compile(r"(?:^|[;,])\s*Hash=([0-9a-fA-F]{64})(?=\s*(?:[;,]|$))")


def from_pem(certificate: str) -> bytes | None:
    """Of a certificate as the server program itself saw it (ASGI TLS extension)."""
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).digest()
    except ValueError:
        return None


def from_client_cert(header: str) -> bytes | None:
    """Of ``Client-Cert`` (RFC 9440 section 2.2): the certificate as an RFC 8941 byte sequence, between colons."""
    text = header.strip()
    if len(text) > _MAX_HEADER or len(text) < 3 or text[0] != ":" or text[-1] != ":":
        return None
    try:
        return hashlib.sha256(base64.b64decode(text[1:-1], validate=True)).digest()
    except ValueError:  # also of what is not ASCII
        return None


def from_forwarded_client_cert(header: str) -> bytes | None:
    """Of ``X-Forwarded-Client-Cert`` (Envoy): the ``Hash`` of the only element; several proxies in a row are nobody's
    word."""
    found = _HASH.findall(header) if len(header) <= _MAX_HEADER else []
    return bytes.fromhex(found[0]) if len(found) == 1 and "," not in header else None
