"""``doorward audit tail``: the last records, and those that come."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from doorward.audit.reading.follow import Entry, Follower, last_entries
from doorward.cli.audit.saying import unreadable
from doorward.cli.saying import fail, output, printable
from doorward.patterns import Pattern

__all__ = ["tail"]

_POLL_SECONDS: Final = 0.25
"""As long as a reader does not notice."""

_MAX_LINES: Final = 100_000
"""Shown at first: more is a matter for ``report``, or for reading the file."""

_STYLES: Final = {
    "success": "green",
    "tool_error": "yellow",
    "tool_failure": "red",
    "error": "red",
    "cancelled": "yellow",
    "asked": "cyan",
}


def tail(
    path: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Trails: files or directories.")],
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many records to show at first.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that come.")] = False,
    client: Annotated[str | None, typer.Option(help="Only of this client id or subject; * fits all.")] = None,
    tool: Annotated[str | None, typer.Option(help="Only of this tool; * stands for anything.")] = None,
    result: Annotated[str | None, typer.Option(help="Only with this result: success, denied_*.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The lines as they stand in the file.")] = False,
) -> None:
    """Show the last records, one a line."""
    if not 0 <= lines <= _MAX_LINES:
        fail(f"--lines must be from 0 to {_MAX_LINES}")
    fits = _filter(client, tool, result)
    show = _show_raw if as_json else _shower()
    try:
        entries, files = last_entries(path, lines, fits)
        with output():
            for entry in entries:
                show(entry)
            sys.stdout.flush()
            if follow:
                _follow(Follower(path, files, fits), show)
    except KeyboardInterrupt:
        pass
    except (OSError, ValueError) as error:
        unreadable(error)


def _follow(follower: Follower, show: Callable[[Entry], None]) -> None:
    while True:
        for entry in follower.poll():
            show(entry)
        sys.stdout.flush()
        time.sleep(_POLL_SECONDS)


def _filter(client: str | None, tool: str | None, result: str | None) -> Callable[[dict[str, Any]], bool]:
    wanted = [
        (Pattern(given), members)
        for given, members in (
            (client, ("client_id", "subject")),
            (tool, ("tool_name",)),
            (result, ("result",)),
        )
        if given is not None
    ]

    def fits(record: dict[str, Any]) -> bool:
        return all(
            any(isinstance(record.get(member), str) and pattern.fits(record[member]) for member in members)
            for pattern, members in wanted
        )

    return fits


def _show_raw(entry: Entry) -> None:
    sys.stdout.write(entry.raw.decode("utf-8", "backslashreplace") + "\n")


def _shower() -> Callable[[Entry], None]:
    """Coloured on a terminal, plain into a pipe."""
    if not sys.stdout.isatty():
        return lambda entry: print("  ".join(text for text, _ in _cells(entry.members)).rstrip())
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    return lambda entry: console.print(Text("  ").join(Text(text, style) for text, style in _cells(entry.members)))


def _cells(members: dict[str, Any]) -> list[tuple[str, str]]:
    record: dict[str, Any] = defaultdict(lambda: None, members)  # earlier releases wrote fewer members
    event, result = record["event"], record["result"]
    said = result if event == "call" else event
    who = record["client_id"] or record["subject"] or "-"
    what = record["tool_name"] or record["method"] or record["http_method"] or "-"
    latency = f"{record['latency_ms']:.1f} ms" if isinstance(record["latency_ms"], int | float) else "-"
    wait = record["retry_after_ms"]
    notes = [record["reason"], record["detail"], f"retry after {wait / 1000:g} s" if isinstance(wait, int) else None]
    notes += [record["budget_scope"], record["limits_fallback"] and f"limits: {record['limits_fallback']}"]
    notes += [f"from {record['peer']}"] if record["peer"] and result == "denied_auth" else []
    notes += ["client gone"] if record["disconnected"] else []
    notes += [f"would deny: {', '.join(map(str, record['would_deny']))}"] if record["would_deny"] else []
    return [
        (printable(record["timestamp"]), "dim"),
        (printable(said).ljust(13), _STYLES.get(str(said), "red" if event == "call" else "dim")),
        (printable(who).ljust(20), "bold" if record["verified"] else "dim"),
        (printable(what).ljust(24), ""),
        (latency.rjust(10), "dim"),
        (printable(", ".join(map(str, filter(None, notes)))), "yellow"),
        (printable(record["request_id"] or ""), "dim"),
    ]
