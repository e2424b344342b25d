"""What a server needs so that a dropped stream can be taken up again (`Last-Event-ID`), in memory."""

from __future__ import annotations

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import JSONRPCMessage

__all__ = ["Events"]


class Events(EventStore):
    """Every event of every stream; an event's id is its place."""

    def __init__(self) -> None:
        self._events: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep an event, and name it."""
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send what the same stream had afterwards."""
        last = int(last_event_id)
        if not 0 < last <= len(self._events):
            return None
        stream, _ = self._events[last - 1]
        for place, (of, message) in enumerate(self._events[last:], last + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(place)))
        return stream
