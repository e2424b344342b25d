"""The protected resource metadata (RFC 9728), and where it is served."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

__all__ = ["Metadata"]

_WELL_KNOWN = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True, slots=True)
class Metadata:
    """The document, its URL, and the paths that answer it: the one with the resource's path behind it (RFC 9728 section
    3.1), with and without a last slash, and the root, which clients in the field ask for as well."""

    url: str
    paths: frozenset[str]
    """Decoded, as servers hand them on."""
    document: bytes

    @classmethod
    def of(cls, resource: str, issuers: Sequence[str], scopes: Sequence[str]) -> Metadata:
        """The metadata of a resource. Without issuers, as where all callers are agents, it names no authorization
        server: a member with no values is left out (RFC 9728 section 3.2)."""
        parts = urlsplit(resource)
        path = _WELL_KNOWN + parts.path.rstrip("/")
        document = {
            "resource": resource,
            "authorization_servers": list(issuers),
            "scopes_supported": list(scopes),
            "bearer_methods_supported": ["header"],
        }
        document = {name: value for name, value in document.items() if value}
        return cls(
            url=f"{parts.scheme}://{parts.netloc}{path}",
            paths=frozenset({_WELL_KNOWN, unquote(path), f"{unquote(path)}/"}),
            document=json.dumps(document, separators=(",", ":")).encode(),
        )
