"""Lists of a server without a message tier: read in the answer as it passes.

The one answer that is held: a list in JSON whole, one in a stream event by event, both bounded. A list is a courtesy,
and each call is judged, so that whatever cannot be read here passes as the server sent it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from doorward.adapters.lists import filtered
from doorward.adapters.wire import Message, Scope, Send, without
from doorward.decision import Decision
from doorward.gate import Gate

__all__ = ["Answer", "filtering"]

_MAX_HELD: Final = 4_194_304
"""Bytes of a list, or of one event: as much as a request may have by default."""

_LENGTH: Final = frozenset({b"content-length"})

_BEGUN: Final = 3
"""Bytes of a blank line whose last is still to come."""

_BLANK_LINE: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
"""What ends an event (HTML, server-sent events); whoever writes one ends all its lines alike."""


def filtering(gate: Gate, decision: Decision, method: str, scope: Scope, send: Send) -> Answer | None:
    """What an app behind the gate sends its answer to a list with, so that it shows what its caller may call; None
    where it shows all."""
    if not gate.configuration.filter_lists:
        return None
    # Compressed it could not be read.
    scope["headers"] = [*without(scope["headers"], {b"accept-encoding"}), (b"accept-encoding", b"identity")]
    return Answer(lambda result: filtered(gate, decision, method, result), send)


class Answer:
    """The answer to one list."""

    def __init__(self, shown: Callable[[Any], Any], send: Send) -> None:
        self._shown = shown
        self._send = send
        self._type: str | None = None
        """Of the body, while it can be read."""
        self._start: Message | None = None
        """Waits until it is known how long the body is."""
        self._held = bytearray()
        self._searched = 0

    @property
    def is_held(self) -> bool:
        """Whether the answer has begun, and nothing of it has been sent."""
        return self._start is not None

    async def __call__(self, message: Message) -> None:
        """A frame passes, or waits for the rest of what it begins."""
        if message["type"] == "http.response.body" and self._type is not None:
            self._held += message.get("body", b"")
            await self._pass_on(last=not message.get("more_body", False))
            return
        if message["type"] == "http.response.start":
            headers = message.get("headers", ())
            self._type = _readable_type(headers)
            if self._type is not None:
                message = {**message, "headers": without(headers, _LENGTH)}
            if self._type == "application/json":
                self._start = message
                return
        await self._begin([])
        await self._send(message)

    async def _begin(self, more: list[tuple[bytes, bytes]]) -> None:
        start, self._start = self._start, None
        if start is not None:
            await self._send({**start, "headers": [*start["headers"], *more]})

    async def _pass_on(self, *, last: bool) -> None:
        is_stream = self._type == "text/event-stream"
        body = self._whole_events() if is_stream else b""
        if last or len(self._held) > _MAX_HELD:
            rest = bytes(self._held)
            body += rest if is_stream else self._message(rest)
            self._type, self._held = None, bytearray()  # what else comes passes
        if body or last:
            await self._begin([(b"content-length", b"%d" % len(body))] if last else [])
            await self._send({"type": "http.response.body", "body": body, "more_body": not last})

    def _whole_events(self) -> bytes:
        """The events that have ended; the rest of what is held is the beginning of the next."""
        events, end = [], 0
        for blank in _BLANK_LINE.finditer(self._held, self._searched):
            events.append(self._event(bytes(self._held[end : blank.start()]), bytes(blank[0])))
            end = blank.end()
        del self._held[:end]
        self._searched = max(0, len(self._held) - _BEGUN)
        return b"".join(events)

    def _event(self, event: bytes, blank: bytes) -> bytes:
        newline = blank[: len(blank) // 2]
        lines = event.split(newline)
        data = b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
        shown = self._message(data)
        if shown is not data:
            event = newline.join([*(line for line in lines if not line.startswith(b"data:")), b"data: " + shown])
        return event + blank

    def _message(self, text: bytes) -> bytes:
        """The same text, where there is nothing to leave out or it cannot be read."""
        if len(text) > _MAX_HELD:
            return text
        try:
            message = json.loads(text)
            result = message.get("result") if isinstance(message, dict) else None
            shown = self._shown(result)
            return text if shown == result else json.dumps({**message, "result": shown}, allow_nan=False).encode()
        except (ValueError, RecursionError):
            return text


def _readable_type(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    found = {name.lower(): value.decode("latin-1").lower() for name, value in headers}
    kind = found.get(b"content-type", "").partition(";")[0].strip()
    is_plain = found.get(b"content-encoding", "identity") == "identity"
    return kind if is_plain and kind in ("application/json", "text/event-stream") else None
