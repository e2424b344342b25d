"""Rules: what governs a call, what it needs and what it spends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from doorward import checks
from doorward._core import Charge, Limiter
from doorward.errors import Limited
from doorward.methods import GOVERNED_BY_METHOD
from doorward.patterns import Pattern
from doorward.settings.budgets import MODES, ON_ERROR, Budget, budgets, budgets_of, concurrency
from doorward.uris import is_always_disguised

__all__ = ["MAX_NAME_BYTES", "MAX_URI_BYTES", "MethodRule", "PromptRule", "ResourceRule", "Rule", "ToolRule"]

MAX_NAME_BYTES: Final = 256
"""The longest name of a tool or prompt that a message may carry: the envelope's own bound."""

MAX_URI_BYTES: Final = 8192
"""The longest URI that a message may carry: the envelope's own bound."""


@dataclass(frozen=True)
class Rule:
    """What one call may cost and needs; the first rule whose ``match`` fits governs."""

    match: str
    """Case-sensitive; ``*`` stands for any characters, and nothing else is special."""
    scopes: Sequence[str]
    """Every one of them is needed; always written out, ``[]`` means none."""
    limit: Sequence[Budget | str] = ()
    """Per client."""
    total_limit: Sequence[Budget | str] = ()
    """Everyone together."""
    cost: int = 1
    concurrency: int | None = None
    """Calls of one client in flight at once, in each process."""
    on_error: str | None = None
    """While the store is away: ``local``, ``deny`` or ``allow``; else what `Limits` says."""
    confirm: bool = False
    mode: str = "enforce"

    _longest: ClassVar[int] = MAX_NAME_BYTES

    def __post_init__(self) -> None:
        checks.text("match", self.match)
        if len(self.match.replace("*", "").encode()) > self._longest:
            raise ValueError(f"match can never match: nothing that is called has more than {self._longest} bytes")
        object.__setattr__(self, "scopes", checks.scopes("scopes", self.scopes))
        object.__setattr__(self, "limit", budgets("limit", self.limit))
        object.__setattr__(self, "total_limit", budgets("total_limit", self.total_limit))
        checks.whole("cost", self.cost, at_least=0)
        _check_cost(self.cost, budgets_of(self.limit) + budgets_of(self.total_limit))
        concurrency("concurrency", self.concurrency)
        if self.on_error is not None:
            checks.one_of("on_error", self.on_error, ON_ERROR)
        checks.flag("confirm", self.confirm)
        checks.one_of("mode", self.mode, MODES)


class ToolRule(Rule):
    """Governs ``tools/call`` by the tool's name."""


class ResourceRule(Rule):
    """Governs ``resources/read`` and subscriptions by the resource's URI."""

    _longest = MAX_URI_BYTES

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_always_disguised(self.match):
            raise ValueError(
                "match can never match: dot segments, empty segments, needless encodings and other spellings of a host "
                "are always refused"
            )


class PromptRule(Rule):
    """Governs ``prompts/get`` by the prompt's name."""


class MethodRule(Rule):
    """Adds scopes and limits to a method that needs no other rule, such as ``tools/list``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(map(Pattern(self.match).fits, GOVERNED_BY_METHOD)):
            raise ValueError(f"match can never match: the methods are {', '.join(sorted(GOVERNED_BY_METHOD))}")
        if self.confirm:
            raise ValueError(
                "confirm is for tools, resources and prompts: no message under a method's rule can be confirmed"
            )


def _check_cost(cost: int, spent: Sequence[Budget]) -> None:
    try:
        Charge("", "1/second", cost=cost)
    except ValueError as error:
        raise ValueError(f"cost is out of bounds: {error}") from None
    for budget in spent if cost > 1 else ():  # a limit of 0 is meant: it admits nothing
        _check_fits(cost, budget)


def _check_fits(cost: int, budget: Budget) -> None:
    try:
        Limiter(max_keys=1).admit(domain="", charges=(Charge("", budget.limit, cost=cost),), tick=0)
    except Limited:
        raise ValueError(f"cost is {cost}: more than {budget.limit} ever holds") from None
