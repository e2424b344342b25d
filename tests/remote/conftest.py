"""Limiters on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import PROVING
from remote.fleet import Fleets


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
