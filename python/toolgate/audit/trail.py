"""The trail in ``written`` mode: one append before the answer goes out.

Promise: nothing answered is lost when the process dies. When the sink fails, no new call is let in (``on_failure = "deny"``),
and the records of those in flight wait, in order, until it returns.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque

from toolgate.audit.sinks import open_sink
from toolgate.errors import Unavailable
from toolgate.settings import Audit

__all__ = ["Trail"]

_MAX_WAITING = 10_000
"""Records that wait for a failing sink: those in flight when it failed, and refusals since; beyond it they are counted."""

_log = logging.getLogger("toolgate.audit")


class Trail:
    """Takes the records of one gate and keeps their order."""

    def __init__(self, settings: Audit) -> None:
        """Raises `OSError` when the trail cannot be opened: a gate that cannot record does not start."""
        self.instance = secrets.token_hex(4)
        self.dropped = 0
        """Records lost to a sink that failed for too long."""
        self._denies = settings.on_failure == "deny"
        self._sink = open_sink(settings.path, self.instance)
        self._waiting: deque[bytes] = deque()
        self._left_behind: deque[str] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Records that the sink has not taken yet."""
        return len(self._waiting)

    def ensure_writable(self) -> None:
        """Raises `Unavailable` while the sink fails and the configuration denies then."""
        if self._waiting and self._denies:
            with self._lock:
                self._drain()
            if self._waiting:
                raise Unavailable("audit_unavailable")

    def write(self, record: str) -> None:
        """Append the record, or keep it until the sink takes it."""
        with self._lock:
            while self._left_behind:
                self._seal(self._left_behind.popleft())
            self._seal(record)
            self._drain()

    def leave(self, record: str) -> None:
        """`write`, for a finalizer: it may run in the middle of another write of the same thread."""
        self._left_behind.append(record)
        if self._lock.acquire(blocking=False):
            try:
                while self._left_behind:
                    self._seal(self._left_behind.popleft())
                self._drain()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Hand over what waits and close the sink."""
        with self._lock:
            self._drain()
            self._sink.close()

    def _seal(self, record: str) -> None:
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append(self._sink.chain.seal(record))
        else:
            self.dropped += 1

    def _drain(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            try:
                taken = self._sink.write(line)
            except OSError as error:
                _log.error("the audit trail cannot be written: %s; %d records wait", error.strerror, len(self._waiting))
                return
            if taken < len(line):
                self._waiting[0] = line[taken:]
            else:
                self._waiting.popleft()
