"""What a human decides about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from doorward.principal import Principal

__all__ = ["Approver", "Ask", "NoAnswer", "NotAsked", "Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """One call that waits for a human, as the operator's approver gets it. The only place where arguments are shown:
    to whoever decides about them, and to no log or record."""

    kind: str
    """``tool``, ``resource`` or ``prompt``."""
    tool: str
    """The name of the tool or prompt, or the URI of the resource."""
    arguments: Mapping[str, Any] = field(repr=False)
    """A copy: changing it changes nothing of the call."""
    principal: Principal
    """Who calls."""
    request_id: str
    """Of the call's record."""
    deadline: float
    """Seconds since the epoch; a later answer is none."""
    text: str = field(repr=False)
    """All of it in words, bounded, with nothing in it that could pass for the gate's own words."""
    version: str = ""
    """Of the tool, where the client names one of several (fastmcp)."""


class NotAsked(Exception):
    """What asks has not reached anybody, for certain: then asking costs nothing."""


class NoAnswer(Exception):
    """What was asked has said something else. Its text is fixed words of ours, with nothing of that in them."""


Ask = Callable[[Question, Callable[[], None]], Awaitable[object]]
"""Puts a question to somebody and waits. Calls its second argument when the work has ended, from any thread: a thread
that nobody waits for any more has not."""


class Approver(Protocol):
    """The operator's function: true is a yes, and everything else a no. It may be asynchronous; if not, it runs in a
    thread of its own. What it raises means that nobody can be asked now."""

    def __call__(self, question: Question, /) -> object: ...
