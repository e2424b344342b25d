"""The store: what features ask of Redis, and nothing of how it is reached."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

from doorward import background
from doorward._redis.address import parse_url
from doorward._redis.command import Command, Script
from doorward._redis.deadline import Patience
from doorward._redis.links import link_to
from doorward._redis.owner import Owner
from doorward._redis.refusals import REPEAT_SECONDS
from doorward._redis.request import Request
from doorward.extras import install

__all__ = ["Store"]

_log = logging.getLogger("doorward")

_MAX_WORD: Final = 32
"""Characters of an error's first word that reach the log."""

_REMEDIES: Final = {
    "OOM": "it is full, give it more memory",
    "NOPERM": "the ACL of its user forbids a command or key, which `ACL LOG` names",
    "NOTHING": "what answers there is not Redis, or a proxy changes its replies",
}
"""What to do about an error, by its first word."""

_INHERITED: Final[list[Any]] = []
"""What a fork brought along: sockets of the parent's, never to be closed or written to from here."""


class Store:
    """One Redis. Starts by itself on the loop that asks first; another loop, or a forked process, gets a connection of
    its own.

    ``alarm`` is called with `redis_unreachable` when the server does not answer, `redis_refuses` when it answers with
    errors, and `redis_evicts` when it may evict keys. Raises `ValueError` for a URL that cannot be read and
    `ImportError` without redis-py or hiredis.
    """

    def __init__(self, url: str, *, alarm: Callable[[str], None] | None = None) -> None:
        self._address = parse_url(url)
        _require_redis()
        self._alarm = alarm
        self.patience = Patience()
        self._process = os.getpid()
        self._owners: dict[object, Owner] = {}
        self._ahead: list[Callable[[], Sequence[Request]]] = []
        self._misunderstood_at = -REPEAT_SECONDS

    def __repr__(self) -> str:
        return f"Store({self._address.shown!r})"

    @property
    def is_cluster(self) -> bool:
        """Whether keys have to lie in one slot to be asked for together."""
        return self._address.kind == "cluster"

    async def script(
        self, script: Script, *, keys: Sequence[str], args: Sequence[Any] = (), timeout: float | None = None
    ) -> Any:
        """What the script returns. Raises `StoreError`, within 50 ms (150 while the first connection is being made) or
        ``timeout`` seconds."""
        return await self.ask(Command.of_script(script, keys, args), timeout=timeout)

    async def command(self, *words: Any, timeout: float | None = None) -> Any:
        """The reply to a command, as redis-py gives it: bytes, numbers, None. A command of two words is one text, like
        ``CONFIG GET``. Raises `StoreError`, within the time of `script`."""
        return await self.ask(Command(*words), timeout=timeout)

    def ask(self, command: Command, *, timeout: float | None = None) -> Coroutine[Any, Any, Any]:
        """The reply to a command made beforehand, which is on its way now."""
        owner, request = self._owner(), Request(command)
        owner.submit(request)
        return request.wait(owner.seconds if timeout is None else timeout, owner.bells)

    def post(self, request: Request) -> None:
        """Send a request that tells by its callback. Raises `StoreAway` when it would not be sent in time."""
        self._owner().submit(request)

    @property
    def seconds(self) -> float:
        """How long a request waits now."""
        return self._owner().seconds

    def go_ahead(self, requests: Callable[[], Sequence[Request]]) -> None:
        """Ask ``requests`` before anything else is sent, for what has to be done first."""
        self._ahead.append(requests)

    def nudge(self) -> None:
        """There is something to be done first: do not wait for the next request."""
        self._owner().nudge()

    def wake_at(self, instant: float) -> None:
        """There will be something to be done first at this instant of `time.monotonic`."""
        self._owner().wake_at(instant)

    def tell(self, slug: str, message: str) -> None:
        """Warn, and raise the alarm of this slug."""
        _log.warning("%s", message)
        self._raise_alarm(slug)

    async def aclose(self) -> None:
        """Close the connection of this loop; a later request opens it again."""
        owner = self._current().pop(background.running_loop(), None)
        if owner is not None:
            await owner.aclose()

    # --- what the owner tells and asks ------------------------------------------------------------------------------

    def opened(self, error: str) -> None:
        """Nobody answers."""
        _log.warning("redis: %s does not answer (%s); trying again every second", self._address.shown, error)
        self._raise_alarm("redis_unreachable")

    def closed(self) -> None:
        """There are answers again."""
        _log.warning("redis: %s answers again", self._address.shown)

    def refused(self, name: str, word: str) -> None:
        """The server answers with an error."""
        remedy = _REMEDIES.get(word, "see its log")
        _log.error("redis: %s answers %s with the error %s: %s", self._address.shown, name, word[:_MAX_WORD], remedy)
        self._raise_alarm("redis_refuses")

    def misunderstood(self, name: str, word: str) -> None:
        """A reply cannot be the command's: reported as an error is, at most once in `REPEAT_SECONDS`, since every call
        may meet one."""
        now = time.monotonic()
        if now - self._misunderstood_at >= REPEAT_SECONDS:
            self._misunderstood_at = now
            self.refused(name, word)

    def answered(self, name: str) -> None:
        """It answers again."""
        _log.warning("redis: %s answers %s again", self._address.shown, name)

    def connected(self) -> Sequence[Request]:
        """Ask once whether the server may forget what it was told."""
        asked = Command("CONFIG GET", "maxmemory-policy")
        return [Request(asked, on_answer=self._check_eviction, may_be_refused=True)]

    def ahead(self) -> Sequence[Request]:
        """What has to be done first."""
        return [request for requests in self._ahead for request in requests()]

    def _check_eviction(self, request: Request) -> None:
        # Hosted servers refuse CONFIG; then there is nothing to say.
        policy = "" if request.error is not None else _policy(request.reply)
        if policy not in ("", "noeviction"):
            _log.warning(
                "redis: %s has maxmemory-policy %s and may evict keys, and so fill buckets: set noeviction",
                self._address.shown,
                policy,
            )
            self._raise_alarm("redis_evicts")

    def _raise_alarm(self, slug: str) -> None:
        if self._alarm is not None:
            try:
                self._alarm(slug)
            except Exception:
                # Somebody else's mistake must not end the task that all requests wait for.
                _log.exception("redis: the alarm %s could not be given", slug)

    # --- one owner a loop -------------------------------------------------------------------------------------------

    def _current(self) -> dict[object, Owner]:
        if self._process != os.getpid():
            _INHERITED.append(self._owners)
            self._owners, self._process = {}, os.getpid()
        return self._owners

    def _owner(self) -> Owner:
        loop = background.running_loop()
        owner = self._current().get(loop)
        if owner is None:
            link = link_to(self._address, self.patience, threads=not background.is_asyncio(loop))
            # Sentinels and first nodes are asked one after the other.
            attempts = max(len(self._address.nodes), 1)
            owner = self._owners[loop] = Owner(link, self, patience=self.patience, attempts=attempts)
            background.start(partial(self._run, loop, owner))
        return owner

    async def _run(self, loop: object, owner: Owner) -> None:
        try:
            await owner.run()
        except Exception:
            # A mistake of ours: the next request gets a new owner, and nobody's loop ends for it.
            _log.exception("redis: the connection to %s was given up", self._address.shown)
        finally:
            if self._owners.get(loop) is owner:
                del self._owners[loop]


def _require_redis() -> None:
    try:
        import hiredis  # noqa: F401 - here, where it can be said what to install
        import redis.asyncio  # noqa: F401 - now, since importing it takes longer than any deadline
    except ImportError:
        raise ImportError(f"limits in Redis need redis-py and hiredis: {install('redis')}") from None


def _policy(reply: Any) -> str:
    """The policy in what CONFIG GET replied."""
    words = [*reply.values()] if isinstance(reply, dict) else list(reply or ())[1:]
    policy = words[0] if words else ""
    return policy.decode(errors="replace") if isinstance(policy, bytes) else str(policy)
