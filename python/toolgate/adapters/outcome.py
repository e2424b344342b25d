"""How a call ended, read from the frames of an unknown ASGI server as they pass."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

__all__ = ["OutcomeReader"]

_MAX_READ: Final = 65_536
"""Bytes of one answer that are looked at: enough for any error, and a bound on what is kept beside a stream."""


class OutcomeReader:
    """Watches one response; what it keeps is bounded, and nothing is held back."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.disconnected = False
        self._error: BaseException | None = None
        self._is_stream = False
        self._kept = bytearray()

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """The response has begun."""
        self.status = status
        self._is_stream = any(
            name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers
        )

    def body(self, chunk: bytes) -> None:
        """A frame passes."""
        self._kept += chunk
        if self._is_stream:
            # Only the last event can be the response: what stands before the last complete one is done with.
            boundary = self._kept.rstrip().rfind(b"\n\n")
            crlf = self._kept.rstrip().rfind(b"\r\n\r\n")
            del self._kept[: max(0, boundary, crlf)]
        if len(self._kept) > _MAX_READ:
            del self._kept[_MAX_READ:]

    def failed(self, error: BaseException) -> None:
        """The server raised, or was cancelled."""
        self._error = error

    def result(self) -> tuple[str]:
        """The result for the record."""
        if self._error is not None:
            return ("error",) if isinstance(self._error, Exception) else ("cancelled",)
        if self.disconnected:
            return ("cancelled",)
        if self.status is None or self.status >= 400:
            return ("error",)
        return (self._of_message(),)

    def _of_message(self) -> str:
        text = bytes(self._kept)
        if self._is_stream:
            text = b"".join(line[5:].strip() for line in text.splitlines() if line.startswith(b"data:"))
        if b'"error"' not in text and b'"isError"' not in text:
            return "success"
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return "success"
        if not isinstance(message, dict):
            return "success"
        if "error" in message:
            return "error"
        result = message.get("result")
        return "tool_error" if isinstance(result, dict) and result.get("isError") is True else "success"
