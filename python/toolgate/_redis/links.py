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

from anyio import CancelScope, to_thread

from toolgate._redis.address import Address

__all__ = ["CONNECT", "DEADLINE", "Link", "connect_seconds", "link_to"]

CONNECT: Final = 0.1
"""Seconds for a connection. Whoever waits is told sooner; the next find it made."""

DEADLINE: Final = 0.05
"""Seconds for an answer: a limiter that is slower than what it protects is none."""

_CONNECTIONS: Final = 16
"""Of a cluster's node, or while an old connection is being replaced."""

Words = tuple[Any, ...]
"""A command: text, bytes and numbers."""


class Link(Protocol):
    """Sends commands in order; replies in that order, errors among them."""

    @property
    def is_one(self) -> bool:
        """Whether what goes wrong with one answer is wrong with all: one server, one connection."""

    async def send(self, batch: Sequence[Words]) -> list[Any]:
        """The replies, an exception where one is an error. Raises what redis-py raises, or `OSError`, when there are
        none."""

    async def drop(self) -> None:
        """Close the connections; the next `send` makes new ones."""


def connect_seconds(address: Address) -> float:
    """How long a first answer may take: sentinels and first nodes are asked one after the other."""
    return CONNECT * max(len(address.nodes), 1) + DEADLINE


def link_to(address: Address, *, threads: bool) -> Link:
    """The link for an address; connects to nothing yet. Raises `ImportError` without redis-py."""
    if address.kind == "cluster":
        if threads:
            return _ThreadLink(lambda: _sync_cluster(address), _send_one_by_one, is_one=False)
        return _ClusterLink(address)
    if threads:
        return _ThreadLink(lambda: _sync_client(address), _send_pipelined, is_one=True)
    return _AsyncioLink(address)


class _AsyncioLink:
    """One connection of redis.asyncio; commands that wait go out together."""

    is_one = True

    def __init__(self, address: Address) -> None:
        self._client = _asyncio_client(address)

    async def send(self, batch: Sequence[Words]) -> list[Any]:
        from redis.exceptions import ResponseError

        pool = self._client.connection_pool
        connection = await pool.get_connection()
        replies: list[Any] = []
        try:
            await connection.send_packed_command(connection.pack_commands(batch))
            for words in batch:
                try:
                    replies.append(await self._client.parse_response(connection, words[0]))
                except ResponseError as error:
                    replies.append(error)
        finally:
            with CancelScope(shield=True):
                if len(replies) < len(batch):
                    # What was not read would be the answer to the next question.
                    await connection.disconnect(nowait=True)
                await pool.release(connection)
        return replies

    async def drop(self) -> None:
        pool = self._client.connection_pool
        with suppress(Exception):
            await pool.disconnect()
        if hasattr(pool, "sentinel_manager"):
            with suppress(Exception):
                await pool.sentinel_manager.aclose()


class _ClusterLink:
    """redis.asyncio.cluster, which has no pipeline for scripts: they go out side by side."""

    is_one = False

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client: Any = None

    async def send(self, batch: Sequence[Words]) -> list[Any]:
        if self._client is None:
            self._client = _asyncio_cluster(self._address)
            await self._client.initialize()
        return await asyncio.gather(*(self._ask(words) for words in batch))

    async def drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                await client.aclose()

    async def _ask(self, words: Words) -> Any:
        try:
            # One node that hangs must not take the answers of the others with it.
            return await asyncio.wait_for(self._client.execute_command(*words), DEADLINE * 0.9)
        except Exception as error:
            return error


class _ThreadLink:
    """A synchronous client in a thread, for loops that are not asyncio's."""

    def __init__(
        self, connect: Callable[[], Any], send: Callable[[Any, Sequence[Words]], list[Any]], *, is_one: bool
    ) -> None:
        self.is_one = is_one
        self._connect = connect
        self._send = send
        self._client: Any = None

    async def send(self, batch: Sequence[Words]) -> list[Any]:
        return await to_thread.run_sync(self._run, batch)

    async def drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await to_thread.run_sync(_close, client)

    def _run(self, batch: Sequence[Words]) -> list[Any]:
        if self._client is None:
            self._client = self._connect()
        return self._send(self._client, batch)


def _send_pipelined(client: Any, batch: Sequence[Words]) -> list[Any]:
    from redis.exceptions import ResponseError

    connection = client.connection_pool.get_connection()
    replies: list[Any] = []
    try:
        connection.send_packed_command(connection.pack_commands(batch))
        late = time.monotonic() + DEADLINE
        for words in batch:
            try:
                replies.append(client.parse_response(connection, words[0]))
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


def _send_one_by_one(client: Any, batch: Sequence[Words]) -> list[Any]:
    replies: list[Any] = []
    for words in batch:
        try:
            replies.append(client.execute_command(*words))
        except Exception as error:
            replies.append(error)
    return replies


def _close(client: Any) -> None:
    with suppress(Exception):
        client.close()
    with suppress(Exception):
        client.connection_pool.sentinel_manager.close()


def _settings(address: Address, *, asynchronous: bool) -> dict[str, Any]:
    """What every connection gets."""
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    own = {name: value for name, value in address.options if not name.startswith("sentinel_")}
    if address.tls:
        own["ssl"] = True  # type: ignore[assignment]  # the one option that is no text
    return {
        # A script is not idempotent, and waiting is the caller's to decide.
        "retry": (AsyncRetry if asynchronous else Retry)(NoBackoff(), 0),
        "socket_connect_timeout": CONNECT,
        # In a thread nobody can stop a read but the socket itself.
        "socket_timeout": None if asynchronous else DEADLINE,
        # No HELLO, and none of the notifications that RESP3 would bring: a connection is quicker there.
        "protocol": 2,
        "driver_info": None,
        **own,
        **address.credentials,
    }


def _asyncio_client(address: Address) -> Any:
    from redis.asyncio import Redis
    from redis.asyncio.sentinel import Sentinel

    return _client(address, Redis, Sentinel, _settings(address, asynchronous=True))


def _sync_client(address: Address) -> Any:
    from redis import Redis
    from redis.sentinel import Sentinel

    return _client(address, Redis, Sentinel, _settings(address, asynchronous=False))


def _client(address: Address, redis: Any, sentinel: Any, settings: dict[str, Any]) -> Any:
    if address.path:
        del settings["socket_connect_timeout"]
        return redis(unix_socket_path=address.path, db=address.db, **settings)
    if address.kind == "server":
        ((host, port),) = address.nodes
        return redis(host=host, port=port, db=address.db, max_connections=_CONNECTIONS, **settings)
    options = dict(address.options)
    asked = {
        **settings,
        "username": options.get("sentinel_username"),
        "password": options.get("sentinel_password"),
    }
    return sentinel(address.nodes, sentinel_kwargs=asked, db=address.db, **settings).master_for(address.service)


def _asyncio_cluster(address: Address) -> Any:
    from redis.asyncio.cluster import ClusterNode, RedisCluster

    nodes = [ClusterNode(host, port) for host, port in address.nodes]
    settings = _settings(address, asynchronous=True)
    settings["socket_timeout"] = DEADLINE
    return RedisCluster(startup_nodes=nodes, max_connections=_CONNECTIONS, **settings)


def _sync_cluster(address: Address) -> Any:
    from redis.cluster import ClusterNode, RedisCluster

    nodes: list[Any] = [ClusterNode(host, port) for host, port in address.nodes]  # type: ignore[no-untyped-call]  # redis-py's
    return RedisCluster(startup_nodes=nodes, **_settings(address, asynchronous=False))
