"""What every lane of the trail is: one sink, its chain, and the records that wait for it.

Lanes share nothing, so that one sink that hangs stops no other. A lane appends on the spot (`direct`) or in a thread of
its own (`threaded`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from doorward.audit.checkpoints import Checkpoints
from doorward.audit.sinks import FileSink, Sink

__all__ = ["LINK_BYTES", "RETRY_SECONDS", "Lane", "Notes", "Record"]

RETRY_SECONDS: Final = 0.1
"""Between two tries of a sink that fails: calls are let in again within so much."""

UNDELIVERED_SECONDS: Final = 60.0
"""Between two log lines about records that were not delivered."""

LINK_BYTES: Final = 256
"""Of a line beside its record: instance, number, hash."""

Record = str | Callable[[], str]
"""A record, or what makes it: where another thread writes, another thread makes it."""

_log = logging.getLogger("doorward.audit")


class Notes:
    """What a lane says of itself: in its chain, in the log, and by the gate's alarms."""

    def __init__(
        self,
        *,
        start: Callable[[str, str | None, int], str],
        clock: Callable[[], float],
        alarm: Callable[[str], None],
        place: str,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """``start`` makes a ``start`` record from its reason, the file it follows, and how many records were lost.
        ``place``: what an operator calls the sink."""
        self.start = start
        self.clock = clock
        self.alarm = alarm
        self.place = place
        self.checkpoints = checkpoints


class Lane:
    """What both kinds of lane share: sealing, and saying once that something fails."""

    def __init__(self, sink: Sink, notes: Notes, *, denies: bool) -> None:
        self.sink = sink
        self.denies = denies
        """Whether no call is let in while it fails."""
        self.lost = 0
        """Records that never reached the sink."""
        self._notes = notes
        self._chain = sink.chain
        self._failing = False
        self._told_lost = 0
        self._told_undelivered = 0
        self._tells_undelivered_at = 0.0

    @property
    def dropped(self) -> int:
        """Records that never arrived, as far as is known."""
        return self.lost + self.sink.undelivered

    def is_written_to(self, place: str) -> None:
        """Its sink has become another."""
        self._notes.place = place

    def _sealed(self, record: Record) -> bytes:
        """The record's line, and a checkpoint behind it where one is due."""
        line = self._chain.seal(record if isinstance(record, str) else record())
        checkpoints = self._notes.checkpoints
        if checkpoints is not None:
            checkpoint = checkpoints.after(self._chain, at=self._notes.clock())
            if checkpoint is not None:
                return line + checkpoint
        return line

    def _closing(self, length: int) -> bytes:
        """The last line of a file that is rotated before so many bytes of records: its checkpoint, to be written by
        itself. Whoever cuts the file's end cuts a signature."""
        checkpoints = self._notes.checkpoints
        if checkpoints is None or not isinstance(self.sink, FileSink):
            return b""
        try:
            ends = self.sink.ends_before(length + LINK_BYTES + 2 * checkpoints.length)
        except OSError:  # it is moved and cannot be made anew: the write will say so
            return b""
        line = self._last_checkpoint() if ends else b""
        if line:
            self.sink.end()
        return line

    def _checkpoint_in_time(self) -> bytes:
        """A checkpoint behind records that wait for one for too long."""
        checkpoints = self._notes.checkpoints
        if checkpoints is None or not checkpoints.due(self._notes.clock()):
            return b""
        return self._signature()

    def _signature(self) -> bytes:
        """A checkpoint by itself, behind all records so far and in their file."""
        return self._closing(0) or self._last_checkpoint()

    def _last_checkpoint(self) -> bytes:
        checkpoints = self._notes.checkpoints
        return (checkpoints and checkpoints.now(self._chain, at=self._notes.clock())) or b""

    def _start(self, reason: str) -> str:
        """A ``start`` record, which tells what was lost since the last."""
        lost, self._told_lost = self.lost - self._told_lost, self.lost
        return self._notes.start(reason, self.sink.follows if reason == "opened" else None, lost)

    def _lose(self, count: int = 1) -> None:
        if self.lost == self._told_lost:
            self._notes.alarm("audit_records_lost")
        self.lost += count

    def _note_undelivered(self) -> None:
        """Report what a sink without acknowledgement is known to have lost, at most once a minute."""
        count, now = self.sink.undelivered, time.monotonic()
        if count == self._told_undelivered or now < self._tells_undelivered_at:
            return
        self._told_undelivered, self._tells_undelivered_at = count, now + UNDELIVERED_SECONDS
        self._notes.alarm("audit_records_lost")
        words = (
            "%d audit records to %s were not delivered so far: check that its collector listens and takes their size"
        )
        _log.warning(words, count, self._notes.place)

    def _fails(self, why: str | None) -> None:
        # Once, not for every record: a flood of refusals must not become a flood of the log.
        if not self._failing:
            self._failing = True
            self._notes.alarm("audit_failing")
            then = "no new call is let in" if self.denies else "calls go on"
            _log.error("the audit trail cannot be written to %s: %s; records wait, %s", self._notes.place, why, then)

    def _works(self) -> None:
        if self._failing:
            self._failing = False
            words = "the audit trail is written to %s again; %d records were lost so far"
            _log.warning(words, self._notes.place, self.lost)
