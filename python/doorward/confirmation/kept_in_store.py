"""Open questions in the store that all instances share."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from doorward._redis import Script, StoreError
from doorward.confirmation.kept import USED
from doorward.errors import refusal

if TYPE_CHECKING:
    from doorward._redis import Store

__all__ = ["KeptInStore"]

_ANSWER_SECONDS: Final = 0.5
"""For one question to the store. The connection has a shorter deadline of its own; this one is for its queue."""

_KEY_DIGITS: Final = 64
"""Of a question's key, in hexadecimal."""

_TAKE: Final = Script(
    """\
-- KEYS: a question. Returns 1 to the one who takes it.
local kept = redis.call('GET', KEYS[1])
if not kept or kept == '' then return 0 end
redis.call('SET', KEYS[1], '', 'KEEPTTL')
return 1
""",
    name="confirmations",
)


class KeptInStore:
    """See `Kept`. The store sees no nonce, only its hash: whoever reads there can answer nothing."""

    def __init__(self, store: Store, *, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    async def put(self, nonce: str, key: bytes, *, client: str, seconds: float, now: float) -> None:
        """Keep a new question for so long, by the store's clock. How many of one client are open is bounded by its
        budget of asking, and by nothing here: keys in the store end by themselves, and are no room of this process."""
        del client, now
        reply = await self._ask("SET", self._name(nonce), key.hex(), "EX", max(1, round(seconds)), "NX")
        if reply is None:
            raise refusal("store_unavailable", "the store has a question of this number already")

    async def key_of(self, nonce: str, *, now: float) -> bytes | None:
        """Its key; empty for one that was taken, None for one that is not known any more."""
        del now
        reply = await self._ask("GET", self._name(nonce))
        if reply is None:
            return None
        if isinstance(reply, bytes) and len(reply) in (len(USED), _KEY_DIGITS):
            with suppress(ValueError):
                return bytes.fromhex(reply.decode("ascii"))
        raise refusal("store_unavailable", "the store has something else where a question should be")

    async def take(self, nonce: str, *, now: float) -> bool:
        """Take it: true once, whoever asks, wherever."""
        del now
        try:
            taken = await self._store.script(_TAKE, keys=[self._name(nonce)], timeout=_ANSWER_SECONDS)
        except StoreError as error:
            raise refusal("store_unavailable", str(error)) from None
        return bool(taken == 1)

    async def _ask(self, *words: str | int) -> object:
        try:
            return await self._store.command(*words, timeout=_ANSWER_SECONDS)
        except StoreError as error:
            raise refusal("store_unavailable", str(error)) from None

    def _name(self, nonce: str) -> str:
        return f"{self._prefix}:confirmation:{hashlib.sha256(nonce.encode()).hexdigest()}"
