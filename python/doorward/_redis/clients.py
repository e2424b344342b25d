"""redis-py's clients, without their retries and with our deadlines; each import waits until it is wanted."""

from __future__ import annotations

from typing import Any, Final

from doorward._redis.address import Address
from doorward._redis.deadline import Patience

__all__ = ["asyncio_client", "asyncio_cluster", "sync_client", "sync_cluster"]

_CONNECTIONS: Final = 16
"""To one server: one is in use, and a few may be on their way out."""


def asyncio_client(address: Address, patience: Patience) -> Any:
    from redis.asyncio import Redis
    from redis.asyncio.sentinel import Sentinel

    return _client(address, Redis, Sentinel, _settings(address, patience, asynchronous=True))


def sync_client(address: Address, patience: Patience) -> Any:
    from redis import Redis
    from redis.sentinel import Sentinel

    return _client(address, Redis, Sentinel, _settings(address, patience, asynchronous=False))


def asyncio_cluster(address: Address, patience: Patience) -> Any:
    from redis.asyncio.cluster import ClusterNode, RedisCluster

    nodes = [ClusterNode(host, port) for host, port in address.nodes]
    settings = _settings(address, patience, asynchronous=True)
    settings["socket_timeout"] = patience.answer
    return RedisCluster(startup_nodes=nodes, max_connections=_CONNECTIONS, **settings)


def sync_cluster(address: Address, patience: Patience) -> Any:
    from redis.cluster import ClusterNode, RedisCluster

    nodes: list[Any] = [ClusterNode(host, port) for host, port in address.nodes]  # type: ignore[no-untyped-call]  # redis-py's
    return RedisCluster(startup_nodes=nodes, **_settings(address, patience, asynchronous=False))


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


def _settings(address: Address, patience: Patience, *, asynchronous: bool) -> dict[str, Any]:
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
        "socket_connect_timeout": patience.connect,
        # In a thread nobody can stop a read but the socket itself.
        "socket_timeout": None if asynchronous else patience.answer,
        # No HELLO, and none of the notifications that RESP3 would bring: a connection is quicker there.
        "protocol": 2,
        "driver_info": None,
        **own,
        **address.credentials,
    }
