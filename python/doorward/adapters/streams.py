"""Streams that carry no call outlive the request that opened them: they end with what let them in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from doorward.decision import Decision
from doorward.errors import Refused, Unauthenticated, refusal
from doorward.gate import Gate

__all__ = ["run_while_held"]

_LOOK_SECONDS: Final = 5.0
"""Between two looks at whether the credential was withdrawn: a comparison or two for each open stream."""


async def run_while_held(gate: Gate, decision: Decision, run: Callable[[], Awaitable[None]]) -> Refused | None:
    """Run a stream until it ends by itself, or the credential behind it expires or is withdrawn; that, if so."""
    ended: Refused | None = None
    failure: Exception | None = None
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            nonlocal ended
            ended = await _withdrawn(gate, decision)
            group.cancel_scope.cancel()

        group.start_soon(watch)
        try:
            await run()
        except Exception as error:
            # Told as it is: out of the group it would come in a group of its own.
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return ended


async def _withdrawn(gate: Gate, decision: Decision) -> Refused:
    expiry = anyio.current_time() + max(0.0, decision.good_until - gate.now())
    while True:
        await anyio.sleep(min(_LOOK_SECONDS, max(0.0, expiry - anyio.current_time())))
        if anyio.current_time() >= expiry:
            return refusal("token_expired")
        try:
            gate.ensure_held(decision)
        except Unauthenticated as refused:
            return refused
