"""A process that listens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from traced import Heard, listening_to_all


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What the process's providers export."""
    with listening_to_all() as it:
        yield it


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
