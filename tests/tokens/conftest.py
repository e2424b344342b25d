"""What tests that ask an endpoint begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tokens.asking import good
from tokens.endpoint import Endpoint, endpoint, reply


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops, where both are installed."""
    pytest.importorskip(request.param)
    return str(request.param)


@pytest.fixture
def served() -> Iterator[Endpoint]:
    """An endpoint to which every token is good."""
    with endpoint(reply(good())) as running:
        yield running
