"""Budgets: what a limit is, and those of every caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from toolgate import checks
from toolgate._core import Charge, Limiter

__all__ = ["MODES", "Budget", "Limits", "budgets", "budgets_of"]

MODES: Final = ("enforce", "observe")


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


@dataclass(frozen=True)
class Limits:
    """The budgets of every caller, whatever it calls."""

    client: Sequence[Budget | str] = ()
    organization: Sequence[Budget | str] = ()
    failed_auth: Budget | str = "20/minute"
    """Per peer address, spent by failed attempts alone."""
    max_keys: int = 100_000
    """Buckets held at most."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "client", budgets("client", self.client))
        object.__setattr__(self, "organization", budgets("organization", self.organization))
        object.__setattr__(self, "failed_auth", budgets("failed_auth", [self.failed_auth])[0])
        checks.whole("max_keys", self.max_keys, at_least=1)
        try:
            Limiter(max_keys=self.max_keys)
        except ValueError as error:
            raise ValueError(f"max_keys is out of bounds: {error}") from None


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
