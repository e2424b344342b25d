"""What a trail says about its callers: who called what, who was refused, who did not wait, who runs in circles.

DuckDB reads the lines: of a gigabyte, four times as fast as a loop over `json`, exactly, and within a bounded memory,
since it sorts and groups on disk what does not fit (docs/performance.md).
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from doorward.audit.reading.files import MAX_LINE_BYTES, TrailFile, trail_files
from doorward.audit.reading.queries import ANSWERS, CALLERS, COLUMNS, LINES, LOOPS, SERIES, TABLES, TOTALS, UNREADABLE

if TYPE_CHECKING:
    import duckdb

__all__ = ["Caller", "Loop", "Report", "Slice", "report_of"]

MAX_CALLERS: Final = 10_000
"""Pairs of client and tool that are told: callers invent names, and a report is read by people."""

MAX_LOOPS: Final = 20
"""Repeated arguments that are told, the most frequent ones."""

LOOP_CALLS: Final = 10
"""Calls with the same arguments that are worth telling."""

_MEMORY: Final = "256MB"
"""For the engine; the rest goes to a temporary directory. What it takes beside that stays below as much again."""

_ASK_SECONDS: Final = 0.1
"""Between two looks at how far it is."""

Progress = Callable[[int, int], None]

_SLICES: Final = 180
"""Of time, at most: as many as a plot can show."""

_STEPS: Final = (1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400, 28 * 86_400)
"""Seconds that a slice may have: lengths that people count in."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One client's calls of one tool. Times are ISO 8601, latencies milliseconds."""

    issuer: str | None
    client: str
    tool: str
    calls: int
    denials: int
    denial_runs: int
    """Times that it was refused at least three times in a row."""
    longest_denial_run: int
    told_to_wait: int
    """Refusals that said when to come back."""
    came_back_early: int
    """Calls before that."""
    repeated: int
    """Calls with its most frequent arguments, where there are some."""
    p50_ms: float | None
    p99_ms: float | None
    """Of the calls that ran."""
    first_seen: str
    last_seen: str


@dataclass(frozen=True, slots=True)
class Loop:
    """The same arguments again and again."""

    client: str
    tool: str
    arguments_hash: str
    calls: int
    first_seen: str
    last_seen: str


@dataclass(frozen=True, slots=True)
class Slice:
    """A piece of time."""

    start: int
    """Seconds since the epoch."""
    calls: int
    denials: int
    denied_auth: int
    denied_scope: int
    denied_policy: int
    denied_rate: int
    failures: int
    """Calls that nobody refused and that ended with an error."""
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    files: int
    size: int
    """Bytes."""
    calls: int
    denials: int
    clients: int
    tools: int
    unreadable: int
    """Lines that are no records: torn ones, and what verification is for."""
    unknown_outcomes: int
    """Intents without their call."""
    first_seen: str | None
    last_seen: str | None
    p50_ms: float | None
    p99_ms: float | None
    results: dict[str, int] = field(default_factory=dict)
    callers: list[Caller] = field(default_factory=list)
    further_callers: int = 0
    loops: list[Loop] = field(default_factory=list)
    slice_seconds: int = 60
    slices: list[Slice] = field(default_factory=list)


def report_of(
    paths: Sequence[Path], *, since: str | None = None, until: str | None = None, progress: Progress | None = None
) -> Report:
    """What the trails at ``paths`` say about the time from ``since`` until ``until`` (ISO 8601, UTC).

    ``progress``: told the bytes read, of all, from a thread of its own; what comes then takes about as long as reading.
    Raises `OSError` and `ValueError` for what cannot be read, and `ModuleNotFoundError` without the extra ``report``.
    """
    import duckdb

    with trail_files(paths) as found:
        files = [file for file in found if file.size]
        if not files:
            raise ValueError(f"{paths[0]} is empty: nothing has been recorded yet")
        try:
            return _read(files, since, until, progress)
        except duckdb.Error as error:
            # Its words may hold what a caller chose.
            raise ValueError(f"{paths[0]} cannot be summed up: DuckDB says {type(error).__name__}") from None


def _read(files: Sequence[TrailFile], since: str | None, until: str | None, progress: Progress | None) -> Report:
    import duckdb

    size = sum(file.size for file in files)

    with tempfile.TemporaryDirectory(prefix="doorward-report-") as spill, duckdb.connect() as connection:
        connection.execute(f"set memory_limit = '{_MEMORY}'")
        connection.execute("set temp_directory = $spill", {"spill": spill})
        # Nothing is fetched: the reader of JSON is a part of the engine.
        connection.execute("set autoinstall_known_extensions = false")
        connection.execute("set autoload_known_extensions = false")
        connection.execute("set preserve_insertion_order = false")
        connection.execute("set enable_progress_bar_print = false")
        connection.execute(f"set enable_progress_bar = {'false' if progress is None else 'true'}")
        given = {
            "files": [_named(file) for file in files],
            "columns": COLUMNS,
            "longest": 2 * MAX_LINE_BYTES,
            "since": since,
            "until": until,
        }
        with _telling(connection, size, progress):
            connection.execute(LINES, given)
        return _report(connection, files=len(files), size=size)


@contextmanager
def _telling(connection: duckdb.DuckDBPyConnection, size: int, progress: Progress | None) -> Iterator[None]:
    """While the engine reads, ask it how far it is."""
    if progress is None:
        yield
        return
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(_ASK_SECONDS):
            percent = connection.query_progress()
            progress(int(size * min(max(percent, 0.0), 99.9) / 100), size)

    asking = threading.Thread(target=ask, name="doorward-report", daemon=True)
    asking.start()
    try:
        yield
    finally:
        ended.set()
        asking.join()
    progress(size, size)


def _named(file: TrailFile) -> str:
    """A name that leads the engine to this very file, even if it is rotated now; and as it takes it for itself, since
    it reads ``*``, ``?`` and ``[`` as a pattern."""
    if file.descriptor is not None and Path("/dev/fd").is_dir():
        return f"/dev/fd/{file.descriptor}"
    return re.sub(r"([*?\[])", r"[\1]", str(file.path))


def _report(connection: duckdb.DuckDBPyConnection, *, files: int, size: int) -> Report:
    ((unreadable, unknown),) = connection.execute(UNREADABLE).fetchall()
    for statement in TABLES:
        connection.execute(statement)
    (totals,) = _rows(connection, TOTALS)
    first, last = totals.pop("first"), totals.pop("last")
    step = _step(0 if first is None else last - first)
    callers = _rows(connection, CALLERS, limit=MAX_CALLERS + 1)
    return Report(
        files=files,
        size=size,
        unreadable=unreadable,
        unknown_outcomes=unknown,
        **totals,
        results=dict(connection.execute(ANSWERS).fetchall()),
        callers=[Caller(**row) for row in callers[:MAX_CALLERS]],
        further_callers=len(callers[MAX_CALLERS:]),
        loops=[Loop(**row) for row in _rows(connection, LOOPS, limit=MAX_LOOPS, least=LOOP_CALLS)],
        slice_seconds=step,
        slices=_filled([Slice(**row) for row in _rows(connection, SERIES, step=step)], step),
    )


def _rows(connection: duckdb.DuckDBPyConnection, query: str, **given: int) -> list[dict[str, Any]]:
    done = connection.execute(query, given) if given else connection.execute(query)
    names = [column[0] for column in done.description or ()]
    return [dict(zip(names, row, strict=True)) for row in done.fetchall()]


def _step(seconds: float) -> int:
    return next((step for step in _STEPS if seconds / step <= _SLICES), _STEPS[-1])


def _filled(slices: list[Slice], step: int) -> list[Slice]:
    """With the slices in which nobody called, as far as a plot goes."""
    if not slices or (slices[-1].start - slices[0].start) // step > 4 * _SLICES:
        return slices
    by_start = {each.start: each for each in slices}
    starts = range(slices[0].start, slices[-1].start + 1, step)
    return [by_start.get(start) or Slice(start, 0, 0, 0, 0, 0, 0, 0, None, None) for start in starts]
