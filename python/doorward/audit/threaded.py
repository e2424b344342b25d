"""The lane with a thread: ``buffered``, ``durable``, and every sink that is not a file. A call only puts its record
into a queue."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Final

from doorward.audit.lanes import LINK_BYTES, RETRY_SECONDS, Lane, Notes, Record
from doorward.audit.sinks import Sink
from doorward.audit.tickets import Ticket, Tickets

__all__ = ["CHECKPOINT_SECONDS", "INTERVAL_SECONDS", "MAX_QUEUED", "ThreadedLane"]

INTERVAL_SECONDS: Final = 0.1
"""Of ``buffered`` mode: what a kill takes along, at most."""

MAX_QUEUED: Final = 16_384
"""Records that wait for the thread, some 20 MiB: a second and a half of 10,000 calls a second."""

STALLED_SECONDS: Final = 0.7
"""A sink that is busy with one batch for longer counts as failing, so that a call is refused within a second."""

_MAX_BATCH: Final = 1024
"""Records of one append, a MiB."""

_CLOSE_SECONDS: Final = 5.0
"""For a sink to take what waits, when the process ends."""

_LAST_SECONDS: Final = 1.0
"""For a sink that fails then: what it does not take by then is lost."""

CHECKPOINT_SECONDS: Final = 1.0
"""Between two looks whether the last records wait for a signature for too long."""

_log = logging.getLogger("doorward.audit")

_Queued = tuple[Record, Ticket | None]


class ThreadedLane(Lane):
    """A queue, and a thread that empties it. The queue is the one kind that a finalizer may put something into at any
    moment (`queue.SimpleQueue`)."""

    def __init__(
        self, sink: Sink, notes: Notes, *, denies: bool, tickets: Tickets, syncs: bool = False, linger: float = 0.0
    ) -> None:
        """``syncs``: every batch is put on disk before its tickets are done. ``linger``: seconds in which a batch
        gathers."""
        super().__init__(sink, notes, denies=denies)
        self.syncs = syncs
        self._tickets = tickets
        self._linger = linger
        self._queue: SimpleQueue[_Queued | None] = SimpleQueue()
        self._began: float | None = None
        self._closed = False
        self._signs = False
        self._hurry = threading.Event()
        self._pending = 0
        self._losing = threading.RLock()  # a finalizer may lose a record in the middle of losing one
        self.put(self._start("opened"))
        self._thread = threading.Thread(target=self._run, name="doorward-audit", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Records that the sink has not taken yet."""
        return self._queue.qsize() + self._pending

    def is_failing(self) -> bool:
        """Whether a record would have to wait now, for longer than it should."""
        began = self._began
        return self._failing or self._closed or (began is not None and time.monotonic() - began > STALLED_SECONDS)

    def put(self, record: Record, ticket: Ticket | None = None) -> None:
        """Queue the record; lost, and counted, where the queue is full."""
        waiting = self._queue.qsize()
        if self._closed or waiting >= MAX_QUEUED:
            with self._losing:
                self._lose()
            return
        self._queue.put((record, ticket))
        if waiting >= _MAX_BATCH and not self._failing:
            # An event loop that never rests keeps the thread from its turn: a moment for it, and it catches up.
            time.sleep(0)

    leave = put

    def flush(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Wait until everything so far is written, at most so long."""
        if not self._closed:
            ticket = Ticket(1)
            self._queue.put(("", ticket))
            self._hurry.set()
            deadline = time.monotonic() + seconds
            while not ticket.done and self._thread.is_alive() and time.monotonic() < deadline:
                time.sleep(0.001)

    def rest(self) -> None:
        """`flush`, and sign it: nothing may come for long, or ever."""
        self.flush()
        self._signs = True
        self.flush()

    def end(self) -> None:
        """The interpreter ends, and the thread with it."""
        self.close()

    def close(self) -> None:
        """Hand over what waits and close the sink. What it does not take within seconds is lost, and counted."""
        if self._closed:
            return
        self._closed = True
        self._hurry.set()
        self._queue.put(None)
        self._thread.join(_CLOSE_SECONDS)
        if self._thread.is_alive():
            with self._losing:
                self._lose(self._pending + max(0, self._queue.qsize() - 1))

    def abandon(self) -> None:
        """Let go of it after a fork: the thread and what waits are the parent's."""
        self._closed = True
        self.sink.close()

    def _run(self) -> None:
        ends = False
        while not ends:
            batch, ends = self._take()
            signs, self._signs = self._signs, False
            self._deliver(batch, ends=ends or signs)
        self.sink.close()

    def _take(self) -> tuple[list[_Queued], bool]:
        """The next batch, and whether it is the last."""
        try:
            seconds = None if self._notes.checkpoints is None else CHECKPOINT_SECONDS
            first = self._queue.get(timeout=seconds)
        except Empty:
            return [], False
        if self._linger and first is not None and self._queue.qsize() < _MAX_BATCH:
            self._hurry.wait(self._linger)
            self._hurry.clear()
        batch: list[_Queued] = []
        while first is not None:
            batch.append(first)
            self._pending = len(batch)
            if len(batch) >= _MAX_BATCH:
                return batch, False
            try:
                first = self._queue.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _deliver(self, batch: Sequence[_Queued], *, ends: bool) -> None:
        records = self._made(batch)
        while True:
            try:
                closing = self._closing(sum(map(len, records)) + LINK_BYTES * len(records)) if records else b""
                taken = self._append(closing) and self._append(self._lines(records, ends=ends))
                break
            except _NotOnDisk:
                # Nobody knows what became of these lines, and a second sync that succeeds says nothing about them:
                # the records are written once more, behind.
                continue
        if taken:
            self._tickets.finish(ticket for _, ticket in batch if ticket is not None)
        else:
            with self._losing:
                self._lose(len(records))
        self._pending = 0

    def _made(self, batch: Sequence[_Queued]) -> list[str]:
        """The records as texts. One that cannot be made is lost by itself, and not with all that come behind it."""
        made = []
        for record, _ in batch:
            try:
                if record:
                    made.append(record if isinstance(record, str) else record())
            except Exception as error:
                with self._losing:
                    self._lose()
                _log.error("a record could not be made (%s): it is lost", type(error).__name__)
        return made

    def _lines(self, records: Sequence[str], *, ends: bool) -> bytes:
        lines = [self._sealed(record) for record in records]
        if records and self.lost != self._told_lost:
            for _ in range(self.lost - self._told_lost):
                self._chain.skip()
            lines.append(self._sealed(self._start("lost")))
        if ends:
            lines.append(self._last_checkpoint() if records else self._signature())
        elif not records:
            lines.append(self._checkpoint_in_time())
        return b"".join(lines)

    def _append(self, data: bytes) -> bool:
        """Whether it was taken: it is tried until it is, or until the lane is closed. Raises `_NotOnDisk`."""
        left = data
        deadline: float | None = None
        while True:
            self._began = time.monotonic()
            try:
                left = self._write(left)
                self._note_undelivered()
                if self.syncs and data and not left:
                    self._sync()
            except Exception as error:  # of a sink of the operator's own, anything
                self._began = None
                self._fails(getattr(error, "strerror", None) or type(error).__name__)
                if self._closed:
                    deadline = deadline or time.monotonic() + _LAST_SECONDS
                    if time.monotonic() > deadline:
                        return False
                time.sleep(RETRY_SECONDS)
                if isinstance(error, _NotOnDisk):
                    raise
                continue
            self._began = None
            if not left:
                if data:
                    self._works()
                return True

    def _write(self, data: bytes) -> bytes:
        """What is left of it."""
        if data:
            taken = self.sink.write(data)
            if taken == 0:
                raise OSError(0, "nothing is taken")
            return data[taken:]
        return data

    def _sync(self) -> None:
        try:
            self.sink.sync()
        except OSError as error:
            raise _NotOnDisk(error.errno, error.strerror) from None


class _NotOnDisk(OSError):
    """A sync failed."""
