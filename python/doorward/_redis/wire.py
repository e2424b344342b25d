"""The bytes of one connection: commands out, replies in. redis-py makes the connection, and its streams are left out: a
reader that is woken for every reply takes longer than all the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from doorward._redis.command import Command

__all__ = ["Wire"]

_INCOMPLETE: Final = object()

Told = Callable[[list[Any]], None]


class Wire(asyncio.Protocol):
    """One batch of commands at a time, and its replies in their order, errors among them."""

    def __init__(self, connection: Any) -> None:
        """Takes over a connection of redis.asyncio whose handshake is done."""
        from hiredis import Reader

        # redis-py has no public names for these two.
        self._transport: asyncio.Transport = connection._writer.transport
        self._reader = Reader(replyError=connection._parser.parse_error, notEnoughData=_INCOMPLETE)
        self._expected = 0
        self._replies: list[Any] = []
        self._told: Told | None = None
        self.is_closed = False
        self.loop = asyncio.get_running_loop()
        self._before = self._transport.get_protocol()
        self._transport.set_protocol(self)

    def send(self, batch: Sequence[Command], told: Told) -> None:
        """``told`` gets the replies to all of them, or an error for each. Nothing may be under way."""
        self._expected, self._replies, self._told = len(batch), [], told
        self._transport.write(b"".join([command.pack() for command in batch]))

    def abort(self) -> None:
        """Nobody is to be told any more: what was not read would be the answer to the next question."""
        self._told, self.is_closed = None, True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Some replies, or parts of them."""
        reader, replies = self._reader, self._replies
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _INCOMPLETE:
                replies.append(reply)
        except Exception:
            # Whatever it was, it is no Redis.
            self._lose()
            return
        told = self._told
        if told is not None and len(replies) == self._expected:
            self._told, self._replies = None, []
            told(replies)
        elif told is None or len(replies) > self._expected:
            # What nobody asked for would be taken for the answer to the next question.
            self._lose()

    def connection_lost(self, error: Exception | None) -> None:
        """By either side."""
        self._before.connection_lost(error)
        self._lose()

    def _lose(self) -> None:
        told, count = self._told, self._expected
        self.abort()
        if told is not None:
            told([ConnectionResetError()] * count)
