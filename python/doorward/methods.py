"""What governs each method of the protocol, in both of its eras. A method in no row is refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["GOVERNED_BY_METHOD", "HANDSHAKES", "METHODS", "REFERENCES", "REMOVED", "SESSION", "STATELESS", "STREAMS"]

METHODS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tools/call": "tool",
        "prompts/get": "prompt",
        "resources/read": "resource",
        "resources/subscribe": "resource",
        "resources/unsubscribe": "resource",
        "completion/complete": "reference",
        "initialize": "method",
        "logging/setLevel": "method",
        "notifications/cancelled": "method",
        "notifications/initialized": "method",
        "notifications/progress": "method",
        "notifications/roots/list_changed": "method",
        "ping": "method",
        "prompts/list": "method",
        "resources/list": "method",
        "resources/templates/list": "method",
        "server/discover": "method",
        "subscriptions/listen": "method",
        "tools/list": "method",
    }
)
"""A ``tool``, ``prompt`` or ``resource`` needs a rule that fits its name; a ``method`` needs a valid token and what a
`MethodRule` adds; a ``reference`` is governed by the rule of what it refers to."""

REFERENCES: Final[Mapping[str, str]] = MappingProxyType({"ref/prompt": "prompt", "ref/resource": "resource"})
"""What the ``ref`` of a completion refers to, by its type."""

GOVERNED_BY_METHOD: Final = frozenset(method for method, governor in METHODS.items() if governor == "method")
"""All that a `MethodRule` can be for."""

STREAMS: Final = frozenset({"subscriptions/listen"})
"""Requests that are answered by a stream without an end."""

SESSION: Final = "initialize"
"""The request that opens a session of the older protocol."""

HANDSHAKES: Final = frozenset({SESSION, "server/discover"}) | STREAMS
"""Requests that open something and need no rule: a session, the connection of a client without sessions, a stream.
They spend the budget ``[limits] handshake`` of their client."""

STATELESS: Final = "2026-07-28"
"""The first protocol without sessions; versions are dates, and sort like them."""

REMOVED: Final = frozenset({"resources/subscribe", "resources/unsubscribe"})
"""Methods that name what they call, and that it no longer has."""
