"""Limiters on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import PROVING
from remote.fleet import Fleets
from remote.patience import PLACES, SECONDS


@pytest.fixture
def anyio_backend() -> str:
    """Where a test does not ask for both."""
    return "asyncio"


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleets]:
    """Instances that share their limits."""
    fleets = Fleets(patient=not PROVING)
    yield fleets
    fleets.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for Redis as long as it takes: what is tested is no matter of time."""
    for module, name in PLACES:
        monkeypatch.setattr(module, name, SECONDS)
