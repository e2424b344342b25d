"""The ways to send commands: redis-py's clients, without their retries and with our deadlines.

A link belongs to the one task that owns it. redis-py's asyncio client needs asyncio; under trio the synchronous one
does the same in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from anyio import CancelScope, CapacityLimiter, to_thread

from doorward._redis.address import Address
from doorward._redis.clients import asyncio_client, asyncio_cluster, sync_client, sync_cluster
from doorward._redis.command import Command, Words
from doorward._redis.deadline import Patience
from doorward._redis.wire import Wire

__all__ = ["Link", "link_to"]

_Send = Callable[[Any, Sequence[Command], Patience], list[Any]]

_OWN_PART: Final = 0.9
"""Of the time for all: one node that hangs must not take the answers of the others with it."""


class Link(Protocol):
    """Sends commands in order; replies in that order, errors among them."""

    @property
    def is_one(self) -> bool:
        """Whether what goes wrong with one answer is wrong with all: one server, one connection."""

    @property
    def wire(self) -> Wire | None:
        """The connection itself, while there is one that may be written to from anywhere in the loop."""

    async def send(self, batch: Sequence[Command]) -> list[Any]:
        """The replies, an exception where one is an error. Raises what redis-py raises, or `OSError`, when there are
        none."""

    async def drop(self) -> None:
        """Close the connections; the next `send` makes new ones."""


def link_to(address: Address, patience: Patience, *, threads: bool) -> Link:
    """The link for an address; connects to nothing yet. Raises `ImportError` without redis-py."""
    if address.kind == "cluster":
        if threads:
            return _ThreadLink(lambda: sync_cluster(address, patience), _send_one_by_one, patience, is_one=False)
        return _ClusterLink(address, patience)
    if threads:
        return _ThreadLink(lambda: sync_client(address, patience), _send_pipelined, patience, is_one=True)
    return _AsyncioLink(address, patience)


class _AsyncioLink:
    """One connection that redis.asyncio makes; commands that wait go out together."""

    is_one = True

    def __init__(self, address: Address, patience: Patience) -> None:
        self._client = asyncio_client(address, patience)
        self._connection: Any = None
        self._wire: Wire | None = None

    @property
    def wire(self) -> Wire | None:
        return None if self._wire is None or self._wire.is_closed else self._wire

    async def send(self, batch: Sequence[Command]) -> list[Any]:
        wire = self.wire or await self._connect()
        replies: asyncio.Future[list[Any]] = wire.loop.create_future()
        # It may have been given up a moment before.
        wire.send(batch, lambda told: None if replies.done() else replies.set_result(told))
        try:
            return await replies
        except BaseException:
            wire.abort()
            raise

    async def drop(self) -> None:
        pool = self._client.connection_pool
        with suppress(Exception):
            await self._release()
        with suppress(Exception):
            await pool.disconnect()
        if hasattr(pool, "sentinel_manager"):
            with suppress(Exception):
                await pool.sentinel_manager.aclose()

    async def _connect(self) -> Wire:
        await self._release()
        self._connection = await self._client.connection_pool.get_connection()
        self._wire = Wire(self._connection)
        return self._wire

    async def _release(self) -> None:
        """Give the connection back to redis-py, closed."""
        connection, self._connection = self._connection, None
        if self._wire is not None:
            self._wire.abort()
        if connection is not None:
            with CancelScope(shield=True):
                await connection.disconnect(nowait=True)
                await self._client.connection_pool.release(connection)


class _ClusterLink:
    """redis.asyncio.cluster, which has no pipeline for scripts: they go out side by side."""

    is_one = False
    wire = None

    def __init__(self, address: Address, patience: Patience) -> None:
        self._address = address
        self._patience = patience
        self._client: Any = None

    async def send(self, batch: Sequence[Command]) -> list[Any]:
        if self._client is None:
            client = asyncio_cluster(self._address, self._patience)
            try:
                await client.initialize()
            except BaseException:
                with CancelScope(shield=True), suppress(Exception):
                    await client.aclose()
                raise
            self._client = client
        return await asyncio.gather(*(self._ask(command.words) for command in batch))

    async def drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                await client.aclose()

    async def _ask(self, words: Words) -> Any:
        try:
            return await asyncio.wait_for(self._client.execute_command(*words), self._patience.answer * _OWN_PART)
        except Exception as error:
            return error


class _ThreadLink:
    """A synchronous client in a thread, for loops that are not asyncio's."""

    wire = None

    def __init__(self, connect: Callable[[], Any], send: _Send, patience: Patience, *, is_one: bool) -> None:
        self.is_one = is_one
        self._patience = patience
        self._connect = connect
        self._send = send
        self._client: Any = None
        # Of its own: tools may hold all of anyio's threads. One, since a client is used by one batch at a time.
        self._threads = CapacityLimiter(1)

    async def send(self, batch: Sequence[Command]) -> list[Any]:
        return await to_thread.run_sync(self._run, batch, limiter=self._threads)

    async def drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await to_thread.run_sync(_close, client, limiter=self._threads)

    def _run(self, batch: Sequence[Command]) -> list[Any]:
        if self._client is None:
            self._client = self._connect()
        return self._send(self._client, batch, self._patience)


def _send_pipelined(client: Any, batch: Sequence[Command], patience: Patience) -> list[Any]:
    from redis.exceptions import ResponseError

    connection = client.connection_pool.get_connection()
    replies: list[Any] = []
    try:
        connection.send_packed_command(connection.pack_commands([command.words for command in batch]))
        late = time.monotonic() + patience.answer
        for command in batch:
            try:
                replies.append(client.parse_response(connection, command.words[0]))
            except ResponseError as error:
                replies.append(error)
            if time.monotonic() > late and len(replies) < len(batch):
                # A server that answers in drops holds nobody longer than one that is silent.
                raise TimeoutError
    except BaseException:
        # What was not read would be the answer to the next question.
        connection.disconnect()
        raise
    finally:
        client.connection_pool.release(connection)
    return replies


def _send_one_by_one(client: Any, batch: Sequence[Command], patience: Patience) -> list[Any]:
    replies: list[Any] = []
    for command in batch:
        try:
            replies.append(client.execute_command(*command.words))
        except Exception as error:
            replies.append(error)
    return replies


def _close(client: Any) -> None:
    with suppress(Exception):
        client.close()
    with suppress(Exception):
        client.connection_pool.sentinel_manager.close()
