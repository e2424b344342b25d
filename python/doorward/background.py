"""Tasks that nobody waits for: of the event loop that runs, and over when it is.

There is no way to start one through anyio without a task group, and a gate has no place to keep a group open in: an app
may ask it from several loops, or from one that lives for a single call.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncio

__all__ = ["is_asyncio", "running_loop", "start"]

_log = logging.getLogger("doorward")

# Each framework is looked up where it runs: importing either takes longer than everything else here.

_running: Final[set[asyncio.Task[None]]] = set()
"""asyncio itself holds its tasks only weakly."""


def start(work: Callable[[], Awaitable[object]]) -> None:
    """Run ``work`` as a task of the running event loop, asyncio's or trio's. The loop does not wait for it: when its
    main task ends, this one is cancelled. What it raises is logged and goes no further."""
    # Not in the context of the request that happened to come first: what belongs to its caller stays with it.
    loop = _asyncio_loop()
    if loop is None:
        sys.modules["trio"].lowlevel.spawn_system_task(_guarded, work)
        return
    task = Context().run(loop.create_task, _guarded(work))
    _running.add(task)
    task.add_done_callback(_running.discard)


def running_loop() -> object:
    """The event loop this runs on, or what stands for it. Raises `RuntimeError` where there is none."""
    loop = _asyncio_loop()
    if loop is not None:
        return loop
    if "trio" not in sys.modules:
        raise RuntimeError("no event loop runs here")
    return sys.modules["trio"].lowlevel.current_trio_token()


def is_asyncio(loop: object) -> bool:
    """Whether a running loop is asyncio's, or one that takes its place."""
    return "asyncio" in sys.modules and isinstance(loop, sys.modules["asyncio"].AbstractEventLoop)


def _asyncio_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return sys.modules["asyncio"].get_running_loop()  # type: ignore[no-any-return]  # a module by its name
    except (KeyError, RuntimeError):
        return None


async def _guarded(work: Callable[[], Awaitable[Any]]) -> None:
    try:
        await work()
    except Exception:
        _log.exception("a task in the background failed")
