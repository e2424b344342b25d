"""From an issuer's URL to its metadata: RFC 8414 first, then OpenID Connect discovery."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from doorward._core import hash_arguments
from doorward.errors import Malformed, Unavailable
from doorward.tokens.fetch import Fetcher, unavailable

__all__ = ["MAX_METADATA_BYTES", "find_key_set_url", "metadata_urls"]

MAX_METADATA_BYTES: Final = 128 * 1024
"""Honest documents have 1 to 10 KiB."""


async def find_key_set_url(issuer: str, fetcher: Fetcher) -> str:
    """The ``jwks_uri`` of the first document that is the issuer's own. Where it may lead is the fetcher's to say.
    Raises `Unavailable`, and `Malformed` where documents were served and none was right."""
    served, why = None, ""
    for url in metadata_urls(issuer):
        try:
            document = await fetcher.get(url, max_bytes=MAX_METADATA_BYTES)
        except Unavailable as error:
            why = error.detail
            continue  # servers answer what they do not know with anything but 404
        try:
            return _key_set_url(_read(document), issuer)
        except Malformed as malformed:
            # So do some that serve a page for every path; the next document is judged by the same rules.
            served = malformed
    raise served or unavailable(f"no metadata of the issuer can be fetched: {why}")


def metadata_urls(issuer: str) -> Iterator[str]:
    """Where an issuer's metadata may lie, in the order to look."""
    parts = urlsplit(issuer)
    origin = f"{parts.scheme}://{parts.netloc}"
    path = parts.path.rstrip("/")
    yield f"{origin}/.well-known/oauth-authorization-server{path}"  # RFC 8414 section 3.1
    if path:
        yield f"{origin}/.well-known/openid-configuration{path}"  # RFC 8414 section 5
    yield f"{origin}{path}/.well-known/openid-configuration"  # OpenID Connect Discovery section 4


def _read(document: bytes) -> Mapping[str, Any]:
    # The core's parser refuses what two parsers could read as two different things, such as a second `issuer`.
    hash_arguments(document)
    metadata = json.loads(document)
    if not isinstance(metadata, dict):
        raise _malformed("the metadata is not an object")
    return metadata


def _key_set_url(metadata: Mapping[str, Any], issuer: str) -> str:
    # RFC 8414 section 3.3: byte for byte, or one server would speak for another.
    if metadata.get("issuer") != issuer:
        raise _malformed("the metadata is another issuer's")
    url = metadata.get("jwks_uri")
    if not isinstance(url, str):
        raise _malformed("the metadata names no jwks_uri")
    return url


def _malformed(detail: str) -> Malformed:
    return Malformed("malformed_key_set", detail)
