"""What a reply means: an answer, or which of our errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from doorward._redis.errors import StoreAway, StoreRefused, StoreSlow

__all__ = ["is_forgotten", "named", "outcome"]

_LOST: Final = ("READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "NOAUTH", "UNBLOCKED")
"""Answers of a server that is no longer the one to ask: the next connection may find the right one."""


def is_forgotten(reply: Any) -> bool:
    """Whether the server does not know the script."""
    return isinstance(reply, Exception) and _word(reply) == "NOSCRIPT"


def outcome(reply: Any) -> Any:
    """The reply, or which of our errors it means."""
    if not isinstance(reply, Exception):
        return reply
    word = _word(reply)
    if isinstance(reply, TimeoutError) or type(reply).__name__ == "TimeoutError":
        return StoreSlow("no answer within the deadline")
    if not word or word in _LOST:
        return StoreAway("the store is out of reach")
    return StoreRefused(word)


def _word(error: Exception) -> str:
    """The first word of an error that the server answered with; nothing for one that came from elsewhere."""
    from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

    if isinstance(error, NoScriptError):
        return "NOSCRIPT"
    if isinstance(error, ReadOnlyError):
        return "READONLY"
    if not isinstance(error, ResponseError):
        return ""
    return _KNOWN.get(type(error).__name__) or _spelled(str(error))


_KNOWN: Final = {
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "TryAgainError": "TRYAGAIN",
    "OutOfMemoryError": "OOM",
    "NoPermissionError": "NOPERM",
    "ClusterCrossSlotError": "CROSSSLOT",
}
"""Whose word redis-py takes off the message."""


def _spelled(message: str) -> str:
    first = message.partition(" ")[0]
    return first if first.isalpha() and first.isupper() else "ERR"


def named(replies: Sequence[Any]) -> str:
    """What kind of failure, without the words of it."""
    return next((type(reply).__name__ for reply in replies if isinstance(reply, Exception)), "nothing")
