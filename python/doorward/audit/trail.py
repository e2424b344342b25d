"""The trail of one gate: every record into every lane, and whether a call may be let in at all.

======== ======================================= ===========================================================
mode     a call's record                         promise
======== ======================================= ===========================================================
buffered goes into a queue                       a kill takes along a tenth of a second, at most
written  is appended before the answer goes out  nothing answered is lost when the process dies
durable  an intent is on disk before the tool    no tool runs unrecorded, whatever dies; an intent without
         runs, the record before the answer      its call means that nobody knows how it ended
======== ======================================= ===========================================================

The chain is one for each lane. Sinks that are not files take copies: a thread of their own hands them over.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from doorward.audit import hangups
from doorward.audit.checkpoints import Checkpoints
from doorward.audit.direct import DirectLane
from doorward.audit.lanes import Notes, Record
from doorward.audit.names import instances_beside
from doorward.audit.record import start_record
from doorward.audit.sinks import FileSink, Sink, StdoutSink, UnsaidSink, open_sink
from doorward.audit.threaded import CHECKPOINT_SECONDS, INTERVAL_SECONDS, ThreadedLane
from doorward.audit.tickets import Ticket, Tickets
from doorward.checks import unwritable
from doorward.errors import Unavailable
from doorward.settings import Audit, AuditSink
from doorward.version import version

__all__ = ["DISK_SECONDS", "Trail"]

DISK_SECONDS: Final = 0.9
"""How long a call waits for the disk in ``durable`` mode: a caller learns within a second that it may try again."""

_INSTANCE_BYTES: Final = 8
"""Of an instance's random name. Verification tells chains apart by it, so that no two may share one: 64 bits are enough
for a collector that gathers the chains of many servers."""

_NOT_THERE: Final = (
    "audit goes to stdout, which is for the messages of a server that talks over stdin and stdout, and for nothing "
    'else: write [audit] path = "stderr", or a file'
)

_log = logging.getLogger("doorward.audit")


class Trail:
    """Takes the records of one gate."""

    def __init__(
        self,
        settings: Audit,
        *,
        alarm: Callable[[str], None] = lambda slug: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``alarm`` is told, by a slug, what an operator should know. Raises `OSError` when the trail cannot be opened:
        a gate that cannot record does not start; and `ValueError` for what cannot sign or is not installed."""
        self._settings = settings
        self._alarm = _weakly(alarm)
        self._clock = clock
        self._forks = threading.Lock()
        try:
            self._open()
        except OSError as error:
            if error.filename is None:
                raise
            raise unwritable("audit.sinks" if settings.sinks else "audit.path", error.filename, error) from None
        if any(place.is_file for place in settings.places):
            hangups.listen()

    @property
    def dropped(self) -> int:
        """Records lost: to a sink that failed for too long, or after the trail was closed."""
        return sum(lane.dropped for lane in self._lanes)

    @property
    def waiting(self) -> int:
        """Records that a sink has not taken yet."""
        return sum(lane.waiting for lane in self._lanes)

    @property
    def is_durable(self) -> bool:
        """Whether a call has to wait for the disk."""
        return bool(self._syncing)

    def ensure_writable(self) -> None:
        """Raises `Unavailable` while a sink fails and the configuration denies then."""
        if self._forked:
            self._begin_anew()
        for lane in self._lanes:
            if lane.denies and lane.is_failing():
                raise Unavailable("audit_unavailable")

    def write(self, record: Record) -> Ticket | None:
        """Hand the record to every lane; what to wait for until it is on disk, where that was promised."""
        if self._forked:
            self._begin_anew()
        if self._single is not None:
            self._single(record)
            return None
        return self._write_to_all(record)

    async def intend(self, record: Record) -> None:
        """Before the tool runs: its intent, on disk. Raises `Unavailable` where that fails and the configuration
        denies then."""
        ticket = self.write(record)
        if ticket is not None and not await self.kept(ticket):
            self.ensure_writable()
            if any(lane.denies for lane in self._syncing):
                raise Unavailable("audit_unavailable")

    async def kept(self, ticket: Ticket) -> bool:
        """Wait until the record is on disk; not for long where the disk fails. Whether it is."""
        if ticket.done:
            return True
        if any(lane.is_failing() for lane in self._awaited):
            return False
        if await self._tickets.wait(ticket, seconds=DISK_SECONDS):
            return True
        self._alarm("audit_not_on_disk")
        return False

    def leave(self, record: str) -> None:
        """`write`, for a finalizer: it may run in the middle of another write, of another thread or of its own."""
        if self._forked:
            self._begin_anew()
        for lane in self._lanes:
            lane.leave(record)

    def flush(self) -> None:
        """Hand over what waits, as far as it is taken now."""
        for lane in self._lanes:
            lane.flush()

    def rest(self) -> None:
        """`flush`, and sign what is not signed yet: whoever ends may be killed before `close`."""
        for lane in self._lanes:
            lane.rest()

    def leave_stdout(self) -> None:
        """The standard output is a server's own from now on: what went there because nobody had said where, goes to the
        standard error. Raises `ValueError` where somebody has said it."""
        if not self._settings.is_unsaid:
            if any(place.path == "stdout" for place in self._settings.places):
                raise ValueError(_NOT_THERE)
            return
        for lane in self._lanes:
            if isinstance(lane.sink, UnsaidSink):
                lane.sink.leave_stdout()
                lane.is_written_to("stderr")
        self._settings = replace(self._settings, path="stderr")

    def close(self) -> None:
        """Hand over what waits and close every sink. What is not taken now is lost, and counted."""
        _close(self._lanes)
        if self.dropped:
            _log.error("the audit trail is closed; %d records were lost", self.dropped)

    def _open(self) -> None:
        self._forked = False
        self._tickets = Tickets()
        # Each sink has a chain, and so a name, of its own: two may lie in one directory, or end in one collector.
        instances = [secrets.token_hex(_INSTANCE_BYTES) for _ in self._settings.places]
        sinks: list[Sink] = []
        try:
            for place, instance in zip(self._settings.places, instances, strict=True):
                # One by one: those before the one that fails are closed.
                sinks.append(UnsaidSink(instance) if self._settings.is_unsaid else open_sink(place, instance))
        except BaseException:
            for sink in sinks:
                sink.close()
            raise
        opened = zip(self._settings.places, sinks, instances, strict=True)
        self._lanes = [self._lane(place, sink, instance) for place, sink, instance in opened]
        self._syncing = [lane for lane in self._lanes if isinstance(lane, ThreadedLane) and lane.syncs]
        # Whoever only takes a copy, and whose failing stops nobody, is waited for by nobody.
        self._awaited = [lane for lane in self._syncing if lane.denies] or self._syncing
        alone = len(self._lanes) == 1 and not self._syncing
        self._single: Callable[[Record], None] | None = self._lanes[0].put if alone else None
        hangups.files.update(sink for sink in sinks if isinstance(sink, FileSink))
        if self._settings.checkpoint is not None:
            ticking = [lane for lane in self._lanes if isinstance(lane, DirectLane)]
            threading.Thread(
                target=_tick, args=(weakref.ref(self), ticking), name="doorward-audit-checkpoints", daemon=True
            ).start()
        self._finalizer = weakref.finalize(self, _close, self._lanes)
        self._finalizer.atexit = False
        _open_trails.add(self)

    def _lane(self, place: AuditSink, sink: Sink, instance: str) -> DirectLane | ThreadedLane:
        mode, clock = self._settings.durability, self._clock

        def start(reason: str, follows: str | None, lost: int) -> str:
            return start_record(reason, at=clock(), mode=mode, version=version(), follows=follows, lost=lost)

        notes = Notes(
            start=start,
            clock=clock,
            alarm=self._alarm,
            place=place.named,
            checkpoints=self._checkpoints(place, instance),
        )
        denies = (place.on_failure or self._settings.on_failure) == "deny"
        if mode == "written" and isinstance(sink, FileSink | StdoutSink):
            return DirectLane(sink, notes, denies=denies)
        return ThreadedLane(
            sink,
            notes,
            denies=denies,
            tickets=self._tickets,
            syncs=mode == "durable" and place.is_file,
            linger=INTERVAL_SECONDS if mode == "buffered" else 0.0,
        )

    def _checkpoints(self, place: AuditSink, instance: str) -> Checkpoints | None:
        if self._settings.checkpoint is None:
            return None
        if place.path is None or not place.is_file:
            return Checkpoints(self._settings.checkpoint)
        path = Path(place.path)
        return Checkpoints(
            self._settings.checkpoint,
            beside=lambda since: instances_beside(path, instance=instance, since=since),
        )

    def _write_to_all(self, record: Record) -> Ticket | None:
        if not isinstance(record, str):
            record = record()
        ticket = Ticket(len(self._awaited)) if self._awaited else None
        for lane in self._lanes:
            if lane in self._awaited:
                lane.put(record, ticket)
            else:
                lane.put(record)
        return ticket

    def _begin_anew(self) -> None:
        """After a fork: files, chains, threads, locks and what waits are the parent's. The child writes files of its
        own."""
        with self._forks:
            if not self._forked:
                return
            self._finalizer.detach()
            for lane in self._lanes:
                lane.abandon()
            try:
                self._open()
            except OSError as error:
                self._forked = False
                self._alarm("audit_failing")
                words = "the audit trail cannot be written to %s: %s; records wait"
                _log.error(words, error.filename or "its sinks", error.strerror)


_open_trails: weakref.WeakSet[Trail] = weakref.WeakSet()


def _tick(trail: weakref.ref[Trail], lanes: Sequence[DirectLane]) -> None:
    while trail() is not None and not all(lane.is_closed for lane in lanes):
        time.sleep(CHECKPOINT_SECONDS)
        for lane in lanes:
            lane.tick()


def _close(lanes: Sequence[DirectLane | ThreadedLane]) -> None:
    for lane in lanes:
        lane.close()


def _fork() -> None:
    for trail in list(_open_trails):
        trail._forked = True


if hasattr(os, "register_at_fork"):
    # Asking for the process's id at every record would cost as much as a quarter of the append.
    os.register_at_fork(after_in_child=_fork)


@atexit.register
def _end() -> None:
    for trail in list(_open_trails):
        if not trail._forked:
            for lane in trail._lanes:
                lane.end()


def _weakly(alarm: Callable[[str], None]) -> Callable[[str], None]:
    """The gate's alarm, without keeping the gate: threads outlive what nobody closed."""
    if not hasattr(alarm, "__self__"):
        return alarm
    method = weakref.WeakMethod(alarm)

    def tell(slug: str) -> None:
        living = method()
        if living is not None:
            living(slug)

    return tell
