"""All charges of a call, checked once. The twin of ``rust/limiter/charges.rs``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, final, overload

from doorward._pure.charge import Charge

__all__ = ["Charges"]

MAX_CHARGES: Final = 64
"""More than any policy charges one call for."""


@final
class Charges(Sequence[Charge]):
    """All charges of a call, kept together."""

    __slots__ = ("_all",)

    def __init__(self, charges: Sequence[Charge], /) -> None:
        self._all = tuple(charges)
        _check(self._all)

    @classmethod
    def of(cls, charges: Sequence[Charge]) -> Charges:
        """These charges, checked."""
        return charges if isinstance(charges, cls) else cls(charges)

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, index: int) -> Charge: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Charge, ...]: ...
    def __getitem__(self, index: int | slice) -> Charge | tuple[Charge, ...]:
        return self._all[index]

    def __iter__(self) -> Iterator[Charge]:
        return iter(self._all)


def _check(charges: tuple[Charge, ...]) -> None:
    """Refuse what cannot be decided."""
    if not all(isinstance(charge, Charge) for charge in charges):
        raise TypeError("charges is a sequence of Charge")
    if len(charges) > MAX_CHARGES:
        raise ValueError(f"one call has at most {MAX_CHARGES} charges")
    limits: dict[bytes, Charge] = {}
    for charge in charges:
        other = limits.setdefault(charge._name, charge)
        if other is not charge and other._rate != charge._rate:
            raise ValueError(f"one bucket cannot have two limits in one call: {other._limit} and {charge._limit}")
