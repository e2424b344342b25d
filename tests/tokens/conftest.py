"""What tests that ask an endpoint begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from minting import jwks
from tokens.asking import good
from tokens.endpoint import Endpoint, endpoint, reply
from tokens.fetched import A, Subject
from tokens.misbehaving import Misbehaving, listening


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


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    """An issuer that publishes A."""
    with listening() as server:
        server.jwks = jwks(A)
        yield server


@pytest.fixture
def subject(server: Misbehaving) -> Subject:
    """With the usual settings."""
    return Subject(server)
