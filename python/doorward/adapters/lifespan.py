"""Starts and ends an ASGI app as a server program would (ASGI lifespan protocol)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from doorward.adapters.wire import ASGIApp, Message

__all__ = ["running"]


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[None]:
    """The app has started, and ends with the block. Raises `RuntimeError` where it does not start."""
    lifespan = _Lifespan()
    async with anyio.create_task_group() as group:
        group.start_soon(lifespan.run, app)
        await lifespan.started.wait()
        if lifespan.failure is None:
            yield
        lifespan.ending.set()
    if lifespan.failure is not None:
        raise RuntimeError(f"the app did not start: {lifespan.failure}")


class _Lifespan:
    """One app's life."""

    def __init__(self) -> None:
        self.started = anyio.Event()
        self.ending = anyio.Event()
        self.failure: str | None = None
        self._is_told = False

    async def run(self, app: ASGIApp) -> None:
        scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        try:
            await app(scope, self._receive, self._send)
        finally:
            self.started.set()

    async def _receive(self) -> Message:
        if not self._is_told:
            self._is_told = True
            return {"type": "lifespan.startup"}
        await self.ending.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            self.failure = message.get("message") or "it gave no reason"
        if message["type"].startswith("lifespan.startup"):
            self.started.set()
