"""An introspection endpoint that hangs, and callers who have nothing to do with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import anyio
import pytest
from conftest import Tell
from minting import AUDIENCE, ISSUER, NOW, jwks, mint
from tokens.endpoint import Endpoint, endpoint, later, reply

from doorward.errors import Unavailable
from doorward.settings import Introspection, Issuer, Secret
from doorward.tokens.introspection import MAX_IN_FLIGHT, Introspector
from doorward.tokens.jwt import AccessTokens
from doorward.tokens.keys import GivenKeys

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def release() -> threading.Event:
    """Set: the endpoint wakes up."""
    return threading.Event()


@pytest.fixture
def served(release: threading.Event) -> Iterator[Endpoint]:
    """An endpoint that hangs, and knows no token."""
    with endpoint(later(reply({"active": False}), release)) as running:
        yield running


async def test_those_who_wait_for_an_issuer_hold_nobody_else_up(
    served: Endpoint, release: threading.Event, tell: Tell
) -> None:
    asked = Introspection(served.url, "mcp", secret=Secret(b"hunter2"))
    issuer = Issuer(ISSUER, ["ES256"], jwks(), introspection=asked)
    access_tokens = AccessTokens({ISSUER: GivenKeys(issuer, [AUDIENCE])}, organization_claim=None)
    introspector = Introspector(issuer, [AUDIENCE], organization_claim=None, alarm=lambda slug: None)
    verdicts: list[str] = []

    async def ask(number: int) -> None:
        try:
            await introspector.verify(f"opaque-{number}", now=NOW, certificate_sha256=None)
        except Unavailable:
            verdicts.append("unavailable")
        except Exception as refused:
            verdicts.append(type(refused).__name__)

    async def latencies() -> list[float]:
        token = mint()
        found = []
        for _ in range(1000):
            began = time.perf_counter()
            await anyio.lowlevel.checkpoint()  # where whatever holds up the loop shows
            await access_tokens.verify(token, ISSUER, now=NOW, certificate_sha256=None)
            found.append((time.perf_counter() - began) * 1e3)
        return sorted(found)

    alone = await latencies()
    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(ask, number)
        beginning = await latencies()
        waiting = await latencies()
        assert verdicts == ["unavailable"] * (200 - MAX_IN_FLIGHT)
        release.set()
    assert verdicts.count("Unauthenticated") == MAX_IN_FLIGHT
    for when, found in (("alone", alone), ("as 200 begin to wait", beginning), ("while 64 wait", waiting)):
        tell(f"a JWT, {when}: p50 {found[500]:.2f} ms, p99 {found[990]:.2f} ms, longest {found[-1]:.1f} ms")
