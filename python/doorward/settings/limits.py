"""The budgets of every caller, and where all budgets are kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from doorward import checks
from doorward._core import Limiter
from doorward.settings.budgets import ON_ERROR, Budget, budgets, concurrency
from doorward.settings.secrets import Secret

__all__ = ["MEMORY", "Limits"]

MEMORY: Final = "memory"
"""The store that is this process."""

_MODES: Final = ("exact", "leased")

_STREAMS: Final = 64
"""One for each session of the older protocol: what serves many people under one name has many. Each is a connection and
its tasks, held for as long as a token lasts."""

_SESSIONS: Final = 1_000
"""A tenth of the sessions that the official SDK keeps open in one process, unless its `max_sessions` says otherwise."""

_CONCURRENCY: Final = 32
"""Below the 40 threads in which anyio runs the functions of synchronous tools, so that one client cannot hold them
all."""

_MAX_INSTANCES: Final = 10_000
"""As many as may share a limit: the core's own bound."""

_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
"""Every key in Redis carries it; a brace in it would decide on the key's slot."""


@dataclass(frozen=True)
class Limits:
    """The budgets of every caller, whatever it calls."""

    client: Sequence[Budget | str] = ("600/minute",)
    """Per client, for calls of tools, resources and prompts; empty for no budget."""
    organization: Sequence[Budget | str] = ()
    failed_auth: Budget | str = "20/minute"
    """Per peer address, spent by failed attempts alone."""
    handshake: Budget | str = "120/minute"
    """Per client, for requests that open a session, a connection or a stream (`doorward.methods.HANDSHAKES`)."""
    concurrency: int | None = _CONCURRENCY
    """Calls of one client in flight at once, in each process; None for any number."""
    streams: int = _STREAMS
    """Streams that carry no call, of one client at once, in each process."""
    sessions: int = _SESSIONS
    """Sessions of the older protocol that one client has open at once, in each process."""
    max_keys: int = 100_000
    """Buckets held at most."""
    store: str | Secret = MEMORY
    """Where budgets are kept: ``memory``, or the URL of a Redis that several instances share."""
    mode: str = "exact"
    """With Redis: ``exact`` asks it for each call, ``leased`` takes tokens of busy budgets in advance."""
    on_error: str = "local"
    """While Redis is away: ``local`` spends this instance's share, ``deny`` refuses, ``allow`` lets through."""
    instances: int | None = None
    """How many processes share the budgets: each takes its share while it cannot ask the others, or never can. None:
    one, unless the process seems to be one of several workers, which the log says. A number is the operator's word."""
    prefix: str = "doorward"
    """Of every key in Redis."""
    snapshot: str | None = None
    """A file that keeps what was spent across a restart."""
    _passwords: tuple[Secret, ...] = field(default=(), init=False, repr=False, compare=False)
    """Those in the URL of the store, held so that no log shows them without the URL."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "client", budgets("client", self.client))
        object.__setattr__(self, "organization", budgets("organization", self.organization))
        object.__setattr__(self, "failed_auth", budgets("failed_auth", [self.failed_auth])[0])
        object.__setattr__(self, "handshake", budgets("handshake", [self.handshake])[0])
        concurrency("concurrency", self.concurrency)
        for name in ("streams", "sessions"):
            checks.whole(name, getattr(self, name), at_least=1)
            concurrency(name, getattr(self, name))
        checks.whole("max_keys", self.max_keys, at_least=1)
        try:
            Limiter(max_keys=self.max_keys)
        except ValueError as error:
            raise ValueError(f"max_keys is out of bounds: {error}") from None
        object.__setattr__(self, "_passwords", self._check_store())

    @property
    def shares(self) -> int:
        """Into how many parts a budget is divided where processes cannot share it."""
        return 1 if self.instances is None else self.instances

    @property
    def url(self) -> str | None:
        """That of the Redis, which may hold a password; None where budgets are kept in this process."""
        if isinstance(self.store, Secret):
            return self.store.value.decode()
        return None if self.store == MEMORY else self.store

    def _check_store(self) -> tuple[Secret, ...]:
        checks.one_of("mode", self.mode, _MODES)
        checks.one_of("on_error", self.on_error, ON_ERROR)
        if self.instances is not None:
            checks.whole("instances", self.instances, at_least=1)
            if self.instances > _MAX_INSTANCES:
                raise ValueError(f"instances must be at most {_MAX_INSTANCES}")
        if not _PREFIX.fullmatch(checks.text("prefix", self.prefix)):
            raise ValueError("prefix must be 1 to 64 letters, digits and any of _.:-")
        passwords = _check_url(self.store)
        if self.url is None and self.mode != "exact":
            raise ValueError('mode must stand beside a store: store = "redis://..."')
        if self.snapshot is not None:
            object.__setattr__(self, "snapshot", checks.path("snapshot", self.snapshot))
            if self.url is not None:
                raise ValueError("snapshot must not stand beside a store: Redis keeps what was spent")
        return passwords


def _check_url(store: object) -> tuple[Secret, ...]:
    """The passwords in the URL. Errors repeat nothing of the URL."""
    if store == MEMORY:
        return ()
    # Most configurations name no Redis.
    from doorward._redis.address import parse_url

    try:
        url = store.value.decode() if isinstance(store, Secret) else checks.text("store", store)
        address = parse_url(url)
    except UnicodeDecodeError:
        raise ValueError("store is not a URL") from None
    except ValueError as error:
        raise ValueError(f'store must be "memory" or the URL of a Redis: {error}') from None
    if not isinstance(store, Secret) and (address.password is not None or "password=" in url):
        raise ValueError('store must not hold a password: write { env = "REDIS_URL" } or { file = "path" }')
    return tuple(Secret(password.encode("utf-8", "surrogateescape")) for password in address.passwords)
