"""``doorward audit report``: as text, as JSON, and as one page for a colleague."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from doorward.audit.reading.page import page
from doorward.audit.reading.report import Caller, Loop, Report, report_of
from doorward.cli.audit.progress import progress_bar
from doorward.cli.audit.saying import instant, second, unreadable
from doorward.cli.saying import fail, output, printable
from doorward.cli.tables import print_table
from doorward.extras import install

__all__ = ["report"]


def report(
    path: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Trails: files or directories.")],
    since: Annotated[str | None, typer.Option(metavar="TIME", help="From then on, in UTC: 2026-11-20T21:30.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Until then, in UTC.")] = None,
    limit: Annotated[int, typer.Option(help="Rows that are printed, those with most calls.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one page with plots, which needs no network.")
    ] = None,
) -> None:
    """Sum up who called what, who was refused, who came back too early and who runs in circles."""
    begins, ends = instant("--since", since), instant("--until", until)
    try:
        with progress_bar(then="summing up") as progress:
            made = report_of(path, since=begins, until=ends, progress=progress)
    except ModuleNotFoundError as missing:
        if missing.name != "duckdb":
            raise
        fail(f"the report needs duckdb: {install('cli', 'report')}")
    except (OSError, ValueError) as error:
        unreadable(error)
    if html is not None:
        _write(html, page(made, title=", ".join(each.name for each in path)))
    with output():
        if as_json:
            print(json.dumps(asdict(made), indent=1))
        elif html is None:
            _print(made, limit)


def _write(path: Path, text: str) -> None:
    """For its owner's eyes at first, as the trail is."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        fail(f"{path}: {error.strerror}: check the path, and that this user may write there")
    print(f"{path} is written", file=sys.stderr)


def _print(report: Report, limit: int) -> None:
    print_table(
        f"{report.calls:,} calls from {report.first_seen or '-'} until {report.last_seen or '-'}",
        ("result", "calls"),
        [(printable(result), f"{count:,}") for result, count in report.results.items()],
    )
    print_table(
        f"{report.clients:,} clients, {report.tools:,} tools",
        (
            *("client", "tool", "calls", "denied", "runs / longest", "too early", "same args", "p50/p99 ms"),
            *("first seen", "last seen"),
        ),
        [_row(caller) for caller in report.callers[:limit]],
    )
    further = report.further_callers + max(0, len(report.callers) - limit)
    if further:
        print(f"and {further:,} more pairs of client and tool: --limit shows more, --json all")
    if report.loops:
        print_table(
            "The same arguments again and again",
            ("client", "tool", "calls", "first seen", "last seen", "fingerprint"),
            [tuple(map(printable, _loop(each))) for each in report.loops],
        )
    for count, words in (
        (report.unreadable, "lines could not be read: `doorward audit verify` says why"),
        (report.unknown_outcomes, "intents have no call: what became of those is unknown"),
    ):
        if count:
            print(f"{count:,} {words}", file=sys.stderr)


def _loop(loop: Loop) -> tuple[str, ...]:
    return (
        loop.client,
        loop.tool,
        f"{loop.calls:,}",
        second(loop.first_seen),
        second(loop.last_seen),
        loop.arguments_hash,
    )


def _row(caller: Caller) -> tuple[str, ...]:
    return (
        printable(caller.client),
        printable(caller.tool),
        f"{caller.calls:,}",
        f"{caller.denials:,}",
        f"{caller.denial_runs:,}/{caller.longest_denial_run:,}",
        f"{caller.came_back_early:,}",
        f"{caller.repeated:,}",
        f"{_milliseconds(caller.p50_ms)}/{_milliseconds(caller.p99_ms)}",
        second(caller.first_seen),
        second(caller.last_seen),
    )


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
