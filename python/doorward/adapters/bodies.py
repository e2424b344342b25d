"""Reading a body: bounded in size and in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from types import MethodType, coroutine
from typing import Any, Final, TypeGuard

import anyio

from doorward.adapters.wire import Message, Receive
from doorward.errors import refusal

__all__ = ["Body", "Disconnected", "read_body", "run_unless_gone"]

_READ_SECONDS: Final = 60.0
"""For a whole body to arrive: 70 kB a second at the size limit. Without it, a connection outlives its token."""


class Disconnected(Exception):
    """The client went before its request was complete."""


class Body:
    """The body of one request as far as it was read."""

    __slots__ = ("_chunks", "_max_bytes", "_size", "has_begun", "is_complete")

    def __init__(self, max_bytes: int) -> None:
        self._chunks: list[bytes] = []
        self._max_bytes = max_bytes
        self._size = 0
        self.has_begun = False
        """Whether a part of it has come."""
        self.is_complete = False
        """Whether the last part has come: waiting for more would wait for the client to disconnect."""

    def takes(self, message: Message) -> bool:
        """Whether this was the last part. Raises `Disconnected`, and `Malformed` for a body over the limit."""
        if message["type"] == "http.disconnect":
            raise Disconnected
        self.has_begun = True
        self.is_complete = not message.get("more_body", False)
        chunk = message.get("body", b"")
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise refusal("body_too_large")
        self._chunks.append(chunk)
        return self.is_complete

    def whole(self) -> bytes:
        """All parts together."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)


def read_body(receive: Receive, body: Body) -> bytes | Awaitable[bytes]:
    """The whole body, or an awaitable of it. Raises `Malformed` as soon as it is longer than allowed or takes too long,
    and `Disconnected`; ``body`` then says what was read."""
    if not _enters_no_scope(receive):
        return _in_time(body, receive(), receive)
    # A body has mostly come with its headers, and then is here without a wait: a scope and its timer would cost as much
    # as all that is decided about it.
    first = receive()
    try:
        waits_for = first.send(None)
    except StopIteration as ended:
        message: Message = ended.value
    else:
        return _in_time(body, _resumed(first, waits_for), receive)
    if body.takes(message):
        return body.whole()
    return _in_time(body, receive(), receive)


async def run_unless_gone(receive: Receive, run: Callable[[], Awaitable[None]]) -> None:
    """Run what may take long, behind a body that was read; it is cancelled when the client goes. Raises `Disconnected`
    then."""
    is_gone = False
    failure: Exception | None = None
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            nonlocal is_gone
            while (await receive())["type"] != "http.disconnect":
                pass
            is_gone = True
            group.cancel_scope.cancel()

        group.start_soon(watch)
        try:
            await run()
        except Exception as error:
            # Told as it is: out of the group it would come in a group of its own.
            failure = error
        else:
            is_gone = False
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if is_gone:
        raise Disconnected


async def _in_time(body: Body, awaited: Awaitable[Message], receive: Receive) -> bytes:
    with anyio.move_on_after(_READ_SECONDS):
        while not body.takes(await awaited):
            awaited = receive()
        return body.whole()
    raise refusal("body_too_slow")


def _enters_no_scope(receive: Receive) -> TypeGuard[Callable[[], Coroutine[Any, Any, Message]]]:
    """Whether it can take its first step outside of our scope: what began last has to end first, and a scope that it
    had open by then would end later than ours. uvicorn's own waits for an event and for nothing else; what some
    middleware puts in its place may do anything (Starlette's `BaseHTTPMiddleware` waits in a task group)."""
    return type(receive) is MethodType and type(receive.__self__).__module__.startswith("uvicorn.protocols.http.")


@coroutine
def _resumed(begun: Coroutine[Any, Any, Message], waits_for: Any) -> Generator[Any, Any, Message]:
    """The rest of a coroutine that took its first step by hand, and waits (PEP 380: what ``yield from`` does)."""
    while True:
        try:
            answer = yield waits_for
        except GeneratorExit:
            begun.close()
            raise
        except BaseException as error:
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, answer)
        try:
            waits_for = step()
        except StopIteration as ended:
            message: Message = ended.value
            return message
