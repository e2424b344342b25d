"""Revocations that every instance learns within a second, through Redis.

Each instance asks several times a second what came after what it knows, in a task of its own that no request waits
for; only the first requests of a process wait, for a moment, until it has asked once. What an instance knows it keeps:
with Redis away it goes by that and by its own, and a Redis that lost everything is told again by all of them.

Revocations travel and credentials do not: whoever can write into Redis can shut callers out, and let nobody in.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import anyio

from doorward import background
from doorward._redis import StoreError
from doorward.tokens.revocation import KINDS, MAX_REVOCATIONS, Key
from doorward.tokens.revocation_scripts import MAX_BYTES, PAGE, READ, WRITE, keys

if TYPE_CHECKING:
    from doorward._redis import Store

__all__ = ["INTERVAL", "SharedRevocations", "publish"]

INTERVAL: Final = 0.3
"""Seconds between two questions. One instance tells at its next, another hears at its next: 0.6 s and the network."""

FIRST_SECONDS: Final = 0.5
"""How long the first requests wait for what was revoked before this process was there."""

ANSWER_SECONDS: Final = 0.5
"""For one script. The connection has a shorter deadline of its own; this one is for waiting in its queue."""

COMPARE_SECONDS: Final = 60.0
"""Between two comparisons of everything: a replica that took over may lack what was written last."""

GRACE_SECONDS: Final = 3600
"""For how long Redis keeps what has ended: its clock may be wrong, and each instance goes by its own."""

_FOREVER: Final = 253_402_300_799.0
"""The last second of the year 9999 stands for no end."""

_log = logging.getLogger("doorward.tokens")

_Known = Mapping[Key, float]


class SharedRevocations:
    """What this process tells and hears of revocations."""

    def __init__(
        self,
        store: Store,
        *,
        known: Callable[[], _Known],
        learn: Callable[[Key, float], bool],
        alarm: Callable[[str], None] | None = None,
        prefix: str = "doorward",
    ) -> None:
        """``known`` are all that count now, by their end; ``learn`` takes one that was heard of, if there is
        room. ``alarm`` is told ``revocations_unreachable``, ``revocations_malformed`` or ``revocations_full``."""
        self._store = store
        self._known = known
        self._learn = learn
        self._alarm = alarm or (lambda slug: None)
        self._keys = keys(prefix)
        self._untold: dict[Key, float] = {}
        self._lock = Lock()
        """Held over no await: `publish` comes from any thread."""
        self._listeners: dict[object, _Listener] = {}

    def publish(self, key: Key, ends: float) -> None:
        """Tell the others, as soon as may be."""
        with self._lock:
            # What does not fit in here the next comparison finds, since it is known.
            if len(self._untold) < MAX_REVOCATIONS:
                self._untold[key] = max(ends, self._untold.get(key, ends))

    @property
    def is_live(self) -> bool:
        """Whether somebody listens on the running event loop, and has asked at least once."""
        listener = self._listeners.get(background.running_loop())
        return listener is not None and listener.has_asked.is_set()

    async def ready(self) -> None:
        """Listen from now on; return when that has begun, or has taken too long. Raises nothing."""
        loop = background.running_loop()
        listener = self._listeners.get(loop)
        if listener is None:
            listener = self._listeners[loop] = _Listener()
            background.start(partial(self._listen, loop, listener))
        with anyio.move_on_after(FIRST_SECONDS):
            await listener.has_asked.wait()
        listener.has_asked.set()  # whoever comes next does not wait for the same again

    async def _listen(self, loop: object, listener: _Listener) -> None:
        try:
            while True:
                await self._turn(listener)
                listener.has_asked.set()
                await anyio.sleep(INTERVAL)
        finally:
            del self._listeners[loop]

    async def _turn(self, listener: _Listener) -> None:
        try:
            await self._tell()
            await self._hear(listener)
        except (StoreError, ValueError) as error:  # what is no answer to our scripts is not from our scripts
            listener.epoch = ""  # who knows what it lost
            if not listener.has_failed:
                listener.has_failed = True
                _log.warning("revocations are not shared: %s; those known and those made here count", error)
                self._alarm("revocations_unreachable")
        else:
            if listener.has_failed:
                listener.has_failed = False
                _log.warning("revocations are shared again")

    async def _tell(self) -> None:
        with self._lock:
            untold, self._untold = self._untold, {}
        try:
            await self._write(untold)
        except BaseException:
            for key, ends in untold.items():
                self.publish(key, ends)
            raise

    async def _hear(self, listener: _Listener) -> None:
        compare = not listener.epoch or time.monotonic() - listener.compared_at >= COMPARE_SECONDS
        if compare:
            listener.epoch, listener.number = "", 0
        heard: dict[Key, float] = {}
        wrong: set[str] = set()
        while True:
            answer = await self._script(READ, [listener.epoch, listener.number, PAGE, MAX_BYTES])
            if not answer:
                compare = True  # nothing is there, or nothing any more
                break
            epoch, after, *found = (each.decode(errors="replace") for each in answer)
            if epoch != listener.epoch or int(after) != listener.number:
                compare = True
                heard.clear()
            listener.epoch, listener.number = epoch, int(found[-2]) if found else int(after)
            for key, ends in _read(found):
                if key is None:
                    wrong.add("revocations_malformed")
                    continue
                heard[key] = ends
                if not self._learn(key, ends):
                    wrong.add("revocations_full")
            if len(found) < 3 * PAGE:
                break
        for slug in wrong:  # once, however many there are: somebody else may have written them
            self._alarm(slug)
        if compare:
            listener.compared_at = time.monotonic()
            await self._write({key: ends for key, ends in self._known().items() if heard.get(key, 0.0) < ends})

    async def _write(self, revocations: _Known) -> None:
        left = iter(revocations.items())
        while page := dict(islice(left, PAGE)):
            if await self._script(WRITE, _told(page)):
                self._alarm("revocations_full")

    async def _script(self, script: Any, args: Sequence[Any]) -> Any:
        return await self._store.script(script, keys=self._keys, args=args, timeout=ANSWER_SECONDS)


async def publish(store: Store, revocations: _Known, *, prefix: str = "doorward") -> None:
    """Tell all instances once, for a process that is none. Raises `StoreError`, and `ValueError` where no room is
    left."""
    if await store.script(WRITE, keys=keys(prefix), args=_told(revocations), timeout=ANSWER_SECONDS):
        raise ValueError(f"more than {MAX_REVOCATIONS} revocations: revoke clients or subjects instead of tokens")


class _Listener:
    """What one event loop has heard so far."""

    __slots__ = ("compared_at", "epoch", "has_asked", "has_failed", "number")

    def __init__(self) -> None:
        self.has_asked = anyio.Event()
        self.has_failed = False
        self.epoch = ""
        self.number = 0
        self.compared_at = 0.0


def _told(revocations: _Known) -> list[Any]:
    members = [each for key, ends in revocations.items() for each in (json.dumps(key), min(ends, _FOREVER))]
    return [secrets.token_hex(16), MAX_REVOCATIONS, PAGE, GRACE_SECONDS, *members]


def _read(found: Sequence[str]) -> Iterator[tuple[Key | None, float]]:
    for member, ends in zip(found[::3], found[2::3], strict=True):
        yield _key_in(member), float("inf") if float(ends) >= _FOREVER else float(ends)


def _key_in(member: str) -> Key | None:
    """The revocation that a member of the log is, if it is one: others can write there too."""
    try:
        read = json.loads(member)
    except (ValueError, RecursionError):
        return None
    match read:
        case [str(kind), str() | None as issuer, str(value)] if kind in KINDS:
            return kind, issuer, value
    return None
