"""Who is told when an admission is undone."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from doorward._core import Grant, Limiter
from doorward.limits.lease_held import Lease
from doorward.limits.redis_script import Answer

__all__ = ["Leased", "Locally", "Source"]


class Locally(NamedTuple):
    """An admission by a limiter in this process."""

    limiter: Limiter
    grant: Grant


Leased: TypeAlias = "tuple[Lease | None, ...]"
Source: TypeAlias = "Answer | Leased | Locally"
