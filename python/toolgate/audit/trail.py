"""The trail in ``written`` mode: one append before the answer goes out.

Promise: nothing answered is lost when the process dies. When the sink fails, no new call is let in
(``on_failure = "deny"``), and the records of those in flight wait, in order, until it returns. What finds no room to
wait is counted, and leaves a gap in the chain's numbers.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections import deque

from toolgate.audit.sinks import Sink, open_sink
from toolgate.errors import Unavailable
from toolgate.settings import Audit

__all__ = ["Trail"]

MAX_WAITING_BYTES = 16 * 1024 * 1024
"""Of records that wait for a failing sink: those in flight when it failed, and refusals since; some 20,000."""

_log = logging.getLogger("toolgate.audit")


class Trail:
    """Takes the records of one gate and keeps their order."""

    def __init__(self, settings: Audit) -> None:
        """Raises `OSError` when the trail cannot be opened: a gate that cannot record does not start."""
        self.dropped = 0
        """Records lost: to a sink that failed for too long, or after the trail was closed."""
        self._path = settings.path
        self._denies = settings.on_failure == "deny"
        self._process = os.getpid()
        self._sink: Sink = open_sink(self._path, secrets.token_hex(4))
        self._failing = False
        self._closed = False
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._left: deque[str] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Records that the sink has not taken yet."""
        return len(self._waiting)

    def ensure_writable(self) -> None:
        """Raises `Unavailable` while the sink fails and the configuration denies then."""
        if self._process != os.getpid():
            self._begin_anew()
        if self._denies and (self._waiting or self._closed):
            self._flush()
            if self._failing or self._closed:
                raise Unavailable("audit_unavailable")

    def write(self, record: str) -> None:
        """Append the record, or keep it until the sink takes it."""
        if self._process != os.getpid():
            self._begin_anew()
        with self._lock:
            self._seal_left()
            self._seal(record)
            self._drain()
        self._collect()

    def leave(self, record: str) -> None:
        """`write`, for a finalizer: it may run in the middle of another write, of another thread or of its own."""
        if self._process != os.getpid():
            self._begin_anew()
        self._left.append(record)
        self._collect()

    def close(self) -> None:
        """Hand over what waits and close the sink. What it does not take now is lost, and counted."""
        self._flush()
        with self._lock:
            self._closed = True
            self._sink.close()
            self.dropped += len(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
        if self.dropped:
            _log.error("the audit trail is closed; %d records were lost", self.dropped)

    def _begin_anew(self) -> None:
        """After a fork: file, chain, lock and what waits are the parent's. The child writes a file of its own."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting.clear()
        self._waiting_bytes = 0
        self._left.clear()
        self._failing = False
        self._sink.close()
        try:
            self._sink = open_sink(self._path, secrets.token_hex(4))
        except OSError as error:
            self._fails(error.strerror)

    def _flush(self) -> None:
        with self._lock:
            self._seal_left()
            self._drain()
        self._collect()

    def _collect(self) -> None:
        # Whoever holds the lock looks here again after letting go, so that nothing left waits for the next record.
        while self._left and self._lock.acquire(blocking=False):
            try:
                self._seal_left()
                self._drain()
            finally:
                self._lock.release()

    def _seal_left(self) -> None:
        while self._left:
            self._seal(self._left.popleft())

    def _seal(self, record: str) -> None:
        # A record is ASCII, so that its characters are its bytes.
        if self._waiting_bytes + len(record) > MAX_WAITING_BYTES:
            self._drain()
        if self._closed or self._waiting_bytes + len(record) > MAX_WAITING_BYTES:
            self.dropped += 1
            self._sink.chain.skip()
            return
        line = self._sink.chain.seal(record)
        self._waiting.append(line)
        self._waiting_bytes += len(line)

    def _drain(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            try:
                taken = self._sink.write(line)
            except OSError as error:
                self._fails(error.strerror)
                return
            self._waiting_bytes -= taken
            if taken == len(line):
                self._waiting.popleft()
            else:
                self._waiting[0] = line[taken:]
                if taken == 0:
                    self._fails("nothing is taken")
                    return
        self._works()

    def _fails(self, why: str | None) -> None:
        # Once, not for every record: a flood of refusals must not become a flood of the log.
        if not self._failing:
            self._failing = True
            _log.error("the audit trail cannot be written: %s; records wait", why)

    def _works(self) -> None:
        if self._failing:
            self._failing = False
            _log.warning("the audit trail is written again; %d records were lost so far", self.dropped)
