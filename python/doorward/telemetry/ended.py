"""What a span and the metrics tell of a decision that has ended.

No token, argument, header or claim has a place here; nor has the URI of a resource, which may be a secret by itself.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from doorward.methods import METHODS

__all__ = ["OTHER_METHOD", "Ended", "bounded_method", "bounded_reason"]

OTHER_METHOD: Final = "_OTHER"
"""Stands for what no protocol knows, as in the semantic conventions: a caller can invent methods without end."""

_NO_ERRORS: Final = frozenset({"success", "asked"})

_RESERVED_CODES: Final = range(-32768, -31999)
"""Of JSON-RPC: a server's own codes may be any number."""


class Ended(NamedTuple):
    """The decision, and how its call ended."""

    seconds: float
    """From the first look at it on."""
    request_id: str
    parent_id: str | None
    transport: str
    method: str | None
    tool: str | None
    """Of a call that a rule governs; None for a name that somebody may have made up."""
    client_id: str | None
    """Of a caller who is known."""
    rule: str | None
    result: str
    reason: str | None
    budget: str | None
    budget_scope: str | None
    budget_window: str | None
    limits_fallback: str | None
    """What decided its budgets where the store did not."""
    retry_after_ms: int | None
    would_deny: tuple[str, ...]
    disconnected: bool

    @property
    def error(self) -> str | None:
        """Why it did not succeed; None where it did, or a confirmation is asked for first."""
        return self.reason or (None if self.result in _NO_ERRORS else self.result)

    @property
    def is_well(self) -> bool:
        """Whether nothing went wrong: a question that asks for a confirmation is an answer, too."""
        return self.result in ("success", "asked")


def bounded_method(method: str | None) -> str | None:
    """The method as far as there is one of that name."""
    return method if method is None or method in METHODS else OTHER_METHOD


def bounded_reason(reason: str) -> str:
    """The reason, one of so many: as a label of a metric each one is kept for ever."""
    if not reason.startswith("rpc"):
        return reason
    try:
        return reason if int(reason[3:]) in _RESERVED_CODES else "rpc_other"
    except ValueError:
        return "rpc_other"
