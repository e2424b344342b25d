"""Tasks that nobody waits for, on both event loops."""

from __future__ import annotations

import logging
from contextvars import ContextVar

import anyio
import pytest

from doorward import background

_CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


@pytest.fixture(params=["asyncio", "trio"])
def loop(request: pytest.FixtureRequest) -> str:
    """What runs it."""
    pytest.importorskip(request.param)
    return str(request.param)


def test_it_runs_beside_whoever_started_it(loop: str) -> None:
    async def main() -> None:
        done = anyio.Event()

        async def work() -> None:
            done.set()

        background.start(work)
        assert not done.is_set()
        await done.wait()

    anyio.run(main, backend=loop)


def test_it_knows_nothing_of_its_caller(loop: str) -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append(_CALLER.get())

    async def main() -> None:
        _CALLER.set("somebody")
        background.start(work)
        await anyio.sleep(0.05)

    anyio.run(main, backend=loop)
    assert seen == ["nobody"]


def test_it_ends_with_its_loop(loop: str) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("work")

    async def main() -> None:
        background.start(work)
        await anyio.sleep(0.01)

    anyio.run(main, backend=loop)
    assert ended == ["work"]


def test_what_it_raises_goes_no_further(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise RuntimeError("work")

    async def main() -> None:
        background.start(work)
        await anyio.sleep(0.01)

    with caplog.at_level(logging.ERROR):
        anyio.run(main, backend=loop)
    assert [record.message for record in caplog.records] == ["a task in the background failed"]
