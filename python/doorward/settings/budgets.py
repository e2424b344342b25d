"""Budgets: what a limit is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from doorward import checks
from doorward._core import Charge

__all__ = ["MODES", "ON_ERROR", "Budget", "budgets", "budgets_of", "concurrency"]

MODES: Final = ("enforce", "observe")

ON_ERROR: Final = ("local", "deny", "allow")
"""What becomes of a call while the store of its budgets is away."""

_MAX_CONCURRENCY: Final = 1_000_000
"""More calls in flight than one process ever holds."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A rate: ``"600/minute"`` or ``"600/minute burst 50"``; ``strict`` is never exceeded in any window, and mode
    ``observe`` counts without refusing."""

    rate: str
    strict: bool = False
    mode: str = "enforce"
    unit: str = field(init=False, repr=False, default="")
    """``second``, ``minute``, ``hour`` or ``day``."""

    def __post_init__(self) -> None:
        checks.text("rate", self.rate)
        if self.rate.endswith(" strict"):
            raise ValueError("rate must not say strict: give strict = true beside it")
        checks.flag("strict", self.strict)
        checks.one_of("mode", self.mode, MODES)
        try:
            Charge("", self.limit)
        except ValueError as error:
            raise ValueError(f"rate is wrong: {error}") from None
        object.__setattr__(self, "unit", self.rate.partition("/")[2].split()[0])

    @property
    def limit(self) -> str:
        """The rate in the core's words."""
        return f"{self.rate} strict" if self.strict else self.rate


def concurrency(name: str, value: object) -> None:
    """Calls in flight at most; None for any number. `ValueError` names the field."""
    if value is None:
        return
    checks.whole(name, value, at_least=1)
    if isinstance(value, int) and value > _MAX_CONCURRENCY:
        raise ValueError(f"{name} must be at most {_MAX_CONCURRENCY}")


def budgets_of(given: Sequence[Budget | str]) -> tuple[Budget, ...]:
    """The budgets in a field of what stands here: every text has become one."""
    return tuple(budget for budget in given if isinstance(budget, Budget))


def budgets(name: str, given: Sequence[Budget | str]) -> tuple[Budget, ...]:
    """The budgets of a setting, those written as a rate alone included; `ValueError` names the field."""
    if not isinstance(given, list | tuple):
        raise ValueError(f'{name} must be a list, like ["600/minute"]')
    try:
        made = [each if isinstance(each, Budget) else Budget(each) for each in given]
    except ValueError as error:
        raise ValueError(f"{name} has a wrong budget: {error}") from None
    units = [budget.unit for budget in made]
    if len(set(units)) < len(units):
        raise ValueError(f"{name} has two budgets for the same unit")
    return tuple(made)
