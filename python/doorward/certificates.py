"""The client's certificate in a header of a trusted proxy; only its SHA-256 is used (RFC 8705 section 3.1)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

__all__ = ["CERTIFICATE_HEADERS", "certificate_sha256", "parse_certificate_header"]

_MAX_HEADER: Final = 16_384
"""Characters of a certificate header that are read: a chain of a few certificates, in base64."""

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----[ \r\n]([A-Za-z0-9+/= \r\n]+)-----END CERTIFICATE-----[ \r\n]*")
"""RFC 7468 section 2: one block, with nothing around it. Apache writes its newlines as spaces."""

_XFCC_PAIR: Final = re.compile(r'([A-Za-z]+)=("[^"\\]*(?:\\.[^"\\]*)*"|[^",;]*)(?:;|\Z)')
"""A key and its value, which may be quoted with backslash escapes. A comma outside of quotes matches nothing."""

_XFCC_HASH: Final = re.compile(r"[0-9A-Fa-f]{64}")


def parse_certificate_header(name: str) -> str:
    """The name of a certificate header in lower case. Raises `ValueError` for one whose format is not known."""
    lower = name.lower()
    if lower not in CERTIFICATE_HEADERS:
        raise ValueError(f"{name!r} is not a certificate header that can be read: use one of {', '.join(_NAMES)}")
    return lower


def certificate_sha256(name: str, value: str) -> bytes | None:
    """The SHA-256 of the certificate in a header. None if the header does not hold exactly one certificate in its
    format, as when the client showed none.

    :param name: one of `CERTIFICATE_HEADERS`.
    """
    return CERTIFICATE_HEADERS[name](value.strip()) if len(value) <= _MAX_HEADER else None


def _from_client_cert(text: str) -> bytes | None:
    """``Client-Cert`` (RFC 9440 section 2.2): an RFC 8941 byte sequence, base64 between colons."""
    if len(text) < 3 or text[0] != ":" or text[-1] != ":":
        return None
    return _sha256_of_base64(text[1:-1])


def _from_xfcc(text: str) -> bytes | None:
    """``X-Forwarded-Client-Cert`` of Envoy: the ``Hash`` of its only element. An element per proxy means that the
    client's own was appended to."""
    hashes, position = [], 0
    while position < len(text):
        pair = _XFCC_PAIR.match(text, position)
        if pair is None:
            return None
        if pair[1].lower() == "hash":
            hashes.append(pair[2])
        position = pair.end()
    return bytes.fromhex(hashes[0]) if len(hashes) == 1 and _XFCC_HASH.fullmatch(hashes[0]) else None


def _from_escaped_pem(text: str) -> bytes | None:
    """One PEM block, percent-encoded or not (nginx: ``$ssl_client_escaped_cert``); ``+`` is a plus, not a space."""
    block = _PEM.fullmatch(unquote(text))
    return None if block is None else _sha256_of_base64("".join(block[1].split()))


def _from_quoted_der(text: str) -> bytes | None:
    """DER in base64, as HAProxy's ``%[ssl_c_der,base64]`` or, in double quotes, ``%{+Q}[ssl_c_der,base64]``."""
    return _sha256_of_base64(text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text)


def _from_der_chain(text: str) -> bytes | None:
    """DER in base64, the client's certificate first, then its issuers', as Traefik's ``passTLSClientCert`` sends it."""
    hashes = [_sha256_of_base64(part) for part in text.split(",")]
    return None if None in hashes else hashes[0]


def _sha256_of_base64(text: str) -> bytes | None:
    try:
        der = base64.b64decode(text, validate=True)
    except ValueError:  # also raised for characters that are not ASCII
        return None
    # The decoder accepts too much padding: the text must be what an encoder writes.
    return hashlib.sha256(der).digest() if der and base64.b64encode(der).decode() == text else None


_READERS: Final[Mapping[str, Callable[[str], bytes | None]]] = {
    "Client-Cert": _from_client_cert,
    "X-Forwarded-Client-Cert": _from_xfcc,
    "X-Forwarded-Tls-Client-Cert": _from_der_chain,
    "X-SSL-Client-Cert": _from_escaped_pem,
    "X-SSL-Client-DER": _from_quoted_der,
    "SSL-Client-Cert": _from_escaped_pem,
}
_NAMES: Final = tuple(_READERS)

CERTIFICATE_HEADERS: Final[Mapping[str, Callable[[str], bytes | None]]] = MappingProxyType(
    {name.lower(): read for name, read in _READERS.items()}
)
"""The readers by header name, in lower case. Each name has one format."""
