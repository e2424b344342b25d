"""The lane of ``written`` mode: one append on the spot, which takes as long as the file system does, and is watched."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

from doorward.audit.lanes import RETRY_SECONDS, Lane, Notes, Record
from doorward.audit.sinks import Sink

__all__ = ["MAX_WAITING_BYTES", "DirectLane"]

MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Of records that wait for a failing sink: those in flight when it failed, and refusals since; some 20,000."""

MAX_LEFT: Final = 16_384
"""Records left by finalizers, or while an append hangs, which are not sealed yet."""

SLOW_SECONDS: Final = 0.25
"""An append that takes longer stops the event loop for everybody: the sink counts as failing, and from then on a
thread tries it."""

_SLOW_NS: Final = int(SLOW_SECONDS * 1e9)


class DirectLane(Lane):
    """Nothing answered is lost when the process dies: the record is the kernel's before the answer goes out."""

    def __init__(self, sink: Sink, notes: Notes, *, denies: bool) -> None:
        super().__init__(sink, notes, denies=denies)
        self._closed = False
        self._hangs = False
        self._began: int | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._left: deque[str] = deque()
        self._lock = threading.Lock()
        self._mending: threading.Thread | None = None
        self.put(self._start("opened"))

    @property
    def waiting(self) -> int:
        """Records that the sink has not taken yet."""
        return len(self._waiting) + len(self._left)

    @property
    def is_closed(self) -> bool:
        """Whether it takes nothing any more."""
        return self._closed

    def is_failing(self) -> bool:
        """Whether a record would have to wait now; tries once more what failed, unless that might take long."""
        if self._hangs or (self._began is not None and self._append_hangs()):
            return True
        if self._waiting:
            self._flush()
        return self._failing or self._closed

    def put(self, record: Record) -> None:
        """Append the record, or keep it until the sink takes it."""
        # First without a deadline: hardly ever is anybody else there, and asking with one takes twice as long.
        if self._hangs or not (self._lock.acquire(False) or self._lock.acquire(True, SLOW_SECONDS)):
            self._keep(record if isinstance(record, str) else record())
            return
        try:
            if self._left or self._waiting or self._failing or self._closed or self.lost != self._told_lost:
                self._seal_left()
                self._seal(record)
                self._drain()
            else:
                self._write(record)
        finally:
            self._lock.release()
        if self._left:
            self._collect()

    def leave(self, record: str) -> None:
        """`put`, for a finalizer: it may run in the middle of another, of another thread or of its own."""
        self._keep(record)
        if not self._hangs:
            self._collect()

    def flush(self) -> None:
        """Hand over what waits, unless that hangs."""
        if not self._hangs:
            self._flush()

    def tick(self) -> None:
        """Sign the last records, when none comes behind them for too long."""
        if self._hangs or self._closed or not self._lock.acquire(blocking=False):
            return
        try:
            self._append(self._checkpoint_in_time())
            self._drain()
        finally:
            self._lock.release()
        self._collect()

    def rest(self) -> None:
        """Hand over what waits and sign it, unless that hangs: nothing may come for long, or ever."""
        self.flush()
        if self._hangs or self._closed or not self._lock.acquire(timeout=SLOW_SECONDS):
            return
        try:
            if not self._waiting:
                self._append(self._signature())
                self._drain()
        finally:
            self._lock.release()
        self._collect()

    def end(self) -> None:
        """The interpreter ends; what is dropped on the way out still finds the sink open."""
        self.rest()

    def close(self) -> None:
        """Hand over what waits and close the sink. What it does not take now is lost, and counted."""
        self.flush()
        if not self._lock.acquire(timeout=SLOW_SECONDS):
            self._closed = True  # it hangs: the thread that hangs in it is left behind
            return
        try:
            if not self._closed and not self._waiting:
                self._append(self._signature())
                self._drain()
            self._closed = True
            self.sink.close()
            if self.waiting:
                self._lose(self.waiting)
            self._waiting.clear()
            self._left.clear()
            self._waiting_bytes = 0
        finally:
            self._lock.release()

    def abandon(self) -> None:
        """Let go of it after a fork: what waits is the parent's."""
        self._closed = True
        self.sink.close()

    def _write(self, record: Record) -> None:
        """The way of nearly every record: nothing waits, and the sink takes it whole and at once."""
        if self._notes.checkpoints is None:
            line = self._chain.seal(record if isinstance(record, str) else record())
        else:
            record = record if isinstance(record, str) else record()
            closing = self._closing(len(record))
            if closing:
                self._append(closing)
                self._append(self._sealed(record))
                self._drain()
                return
            line = self._sealed(record)
        self._began = began = time.perf_counter_ns()
        taken = 0
        try:
            taken = self.sink.write(line)
        except Exception as error:  # of a sink of the operator's own, anything
            self._append(line)
            self._stops(getattr(error, "strerror", None) or type(error).__name__)
        except BaseException:  # an interruption: the line is sealed, and none may follow without it
            self._append(line)
            raise
        else:
            if taken != len(line):
                self._append(line[taken:])
                self._drain()
            elif time.perf_counter_ns() - began > _SLOW_NS:
                self._is_slow()
        finally:
            self._began = None

    def _append_hangs(self) -> bool:
        began = self._began
        return began is not None and time.perf_counter_ns() - began > _SLOW_NS

    def _keep(self, record: str) -> None:
        if len(self._left) >= MAX_LEFT:
            self._lose()
        else:
            self._left.append(record)

    def _flush(self) -> None:
        if self._lock.acquire(timeout=SLOW_SECONDS):
            try:
                self._seal_left()
                self._drain()
            finally:
                self._lock.release()
            self._collect()

    def _collect(self) -> None:
        # Whoever holds the lock looks here again after letting go, so that nothing left waits for the next record.
        while self._left and not self._hangs and self._lock.acquire(blocking=False):
            try:
                self._seal_left()
                self._drain()
            finally:
                self._lock.release()

    def _seal_left(self) -> None:
        while self._left:
            self._seal(self._left.popleft())

    def _seal(self, record: Record) -> None:
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._drain()
        if self._closed or self._waiting_bytes > MAX_WAITING_BYTES:
            self._lose()
            self._chain.skip()
            return
        self._append(self._sealed(record))

    def _append(self, line: bytes) -> None:
        if line:
            self._waiting.append(line)
            self._waiting_bytes += len(line)

    def _drain(self) -> bool:
        """Whether the sink took everything, and was quick."""
        waiting = self._waiting
        while waiting:
            line = waiting[0]
            self._began = began = time.perf_counter_ns()
            try:
                taken = self.sink.write(line)
            except Exception as error:  # of a sink of the operator's own, anything
                self._began = None
                return self._stops(getattr(error, "strerror", None) or type(error).__name__)
            self._began = None
            self._waiting_bytes -= taken
            if taken == len(line):
                waiting.popleft()
            else:
                waiting[0] = line[taken:]
                if taken == 0:
                    return self._stops("nothing is taken")
            if time.perf_counter_ns() - began > _SLOW_NS:
                return self._is_slow()
        return self._resume() if self._failing or self.lost != self._told_lost else True

    def _resume(self) -> bool:
        if self.lost != self._told_lost and not self._closed:
            self._append(self._sealed(self._start("lost")))
            return self._drain()
        self._works()
        return True

    def _is_slow(self) -> bool:
        self._hangs = True
        return self._stops(f"one append took over {SLOW_SECONDS} s")

    def _stops(self, why: str) -> bool:
        if self._mending is None and not self._closed:
            self._mending = threading.Thread(target=self._mend, name="doorward-audit", daemon=True)
            self._mending.start()
        self._fails(why)
        return False

    def _mend(self) -> None:
        """Try again until it works, without anybody who waits: the next call finds it done."""
        while not self._closed:
            time.sleep(RETRY_SECONDS)
            with self._lock:
                self._seal_left()
                if self._hangs and not self._waiting:
                    # Only an append shows that appends are quick again.
                    self._append(self._sealed(self._start("resumed")))
                if self._drain():
                    self._hangs, self._mending = False, None
                    break
        self._collect()
