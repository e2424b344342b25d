"""How a call ended, read from the frames of an unknown ASGI server as they pass."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

__all__ = ["OutcomeReader"]

_MAX_READ: Final = 65_536
"""Bytes of one answer that are looked at: enough for any error, and a bound on what is kept beside a stream."""


class OutcomeReader:
    """Watches one response; what it keeps is bounded, and nothing is held back."""

    # Of most answers the message tier names the outcome, and nothing of this is ever set.
    status: int | None = None
    disconnected = False
    complete = False
    _error: BaseException | None = None
    _headers: Sequence[tuple[bytes, bytes]] | None = None
    """Those that nobody has looked at yet."""
    _cut = False
    _is_stream = False
    _kept = b""

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """The response has begun. A stream begins before its message tier has named the outcome, and mostly no body is
        looked at then: so its headers wait until one is."""
        self.status = status
        self._headers = tuple(headers)  # as they are: what stands outside may change its list, and compress

    def body(self, chunk: bytes, *, last: bool) -> None:
        """A frame passes."""
        if self._headers is not None:
            self._look(self._headers)
        self.complete = last
        self._kept = self._kept + chunk if self._kept else chunk
        if self._is_stream:
            self._keep_last_event()
        if len(self._kept) > _MAX_READ:
            self._kept = self._kept[:_MAX_READ]
            self._cut = True

    def failed(self, error: BaseException) -> None:
        """The server raised, or was cancelled."""
        self._error = error

    def result(self) -> tuple[str, str | None]:
        """The result for the record, and the reason where it is not the server's own word."""
        if self._error is not None:
            return ("error", "exception") if isinstance(self._error, Exception) else ("cancelled", None)
        if self.disconnected:
            return "cancelled", None
        if self.status is None or not self.complete:
            return "error", "unanswered"
        if self.status >= 400:
            return "error", f"http{self.status}"
        return self._of_message()

    def _look(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._headers = None
        self._is_stream = any(
            name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers
        )
        self._cut = any(name.lower() == b"content-encoding" and value != b"identity" for name, value in headers)

    def _keep_last_event(self) -> None:
        """Only the last event with data can be the response: comments and what came before are done with."""
        text = self._kept.replace(b"\r\n", b"\n")
        complete, _, begun = text.rpartition(b"\n\n")
        with_data = [event for event in complete.split(b"\n\n") if b"data:" in event]
        if len(with_data) > 1 or (with_data and len(complete) > len(with_data[-1])):
            self._kept = with_data[-1] + b"\n\n" + begun

    def _of_message(self) -> tuple[str, str | None]:
        text = self._kept
        if self._is_stream:
            text = b"".join(line[5:].strip() for line in text.splitlines() if line.startswith(b"data:"))
        if b'"error"' not in text and b'"isError"' not in text:
            return "success", "unread" if self._cut else None
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return "error", "unread"
        if not isinstance(message, dict):
            return "success", None
        if "error" in message:
            return "error", None
        result = message.get("result")
        return ("tool_error" if isinstance(result, dict) and result.get("isError") is True else "success"), None
