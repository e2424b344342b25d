"""The report as one HTML page for a colleague: everything is in it, nothing is fetched, nothing in it runs.

Names are callers' own inventions: every text is escaped, and the page's policy (CSP) lets no script run even if not.
"""

from __future__ import annotations

from html import escape
from typing import Final

from doorward.audit.reading.plots import Series, plot
from doorward.audit.reading.report import Caller, Report
from doorward.audit.reading.style import STYLE

__all__ = ["page"]

_ROWS: Final = 200
"""Of callers on the page: whoever wants more takes the JSON."""

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(report: Report, *, title: str) -> str:
    """The whole page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Audit report: {_text(title)}</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>Audit report</h1><p>{_text(title)} &middot; {_period(report)}</p></header>"
        f"{_figures(report)}{_plots(report)}{_results(report)}{_callers(report)}{_loops(report)}{_footer(report)}"
        "</main></body></html>\n"
    )


def _period(report: Report) -> str:
    if report.first_seen is None or report.last_seen is None:
        return "no calls"
    return f"{_moment(report.first_seen)} until {_moment(report.last_seen)} UTC"


def _figures(report: Report) -> str:
    share = f"{report.denials / report.calls:.1%} of all" if report.calls else ""
    early = sum(caller.came_back_early for caller in report.callers)
    figures = (
        ("Calls", f"{report.calls:,}", ""),
        ("Denied", f"{report.denials:,}", share),
        ("Clients", f"{report.clients:,}", f"{report.tools:,} tools"),
        ("Latency, median", _milliseconds(report.p50_ms), ""),
        ("Latency, p99", _milliseconds(report.p99_ms), ""),
        ("Too early", f"{early:,}", "before Retry-After"),
    )
    cards = "".join(
        f'<div class="card"><div class="name">{name}</div><div class="value">{value}</div>'
        f'<div class="note">{note}</div></div>'
        for name, value, note in figures
    )
    return f'<section class="cards">{cards}</section>'


def _plots(report: Report) -> str:
    if not report.slices:
        return ""
    slices, step = report.slices, report.slice_seconds
    starts = [each.start for each in slices]
    allowed = [float(each.calls - each.denials - each.failures) for each in slices]
    failed = [float(each.failures) for each in slices]
    denied = [float(each.denials) for each in slices]
    every = f"per {_duration(step)}"
    plots = (
        plot(
            f"Calls {every}",
            starts,
            step,
            (Series("went well", "good", allowed), Series("failed", "failed", failed), Series("denied", "bad", denied)),
            written=_count,
        ),
        plot(
            f"Denials {every}",
            starts,
            step,
            (
                Series("no valid token", "auth", [float(each.denied_auth) for each in slices]),
                Series("missing scope", "scope", [float(each.denied_scope) for each in slices]),
                Series("never allowed", "policy", [float(each.denied_policy) for each in slices]),
                Series("over a limit", "rate", [float(each.denied_rate) for each in slices]),
            ),
            written=_count,
        ),
        plot(
            "Latency of the calls that ran",
            starts,
            step,
            (
                Series("p99", "high", [each.p99_ms for each in slices], as_line=True),
                Series("median", "middle", [each.p50_ms for each in slices], as_line=True),
            ),
            written=_milliseconds,
        ),
    )
    return f"<section>{''.join(plots)}</section>"


def _results(report: Report) -> str:
    most = max(report.results.values(), default=1)
    rows = "".join(
        f'<tr><td><span class="chip {_style(result)}">{_text(result)}</span></td><td class="number">{count:,}</td>'
        f'<td class="share">{_bar(count / most, _style(result))}</td></tr>'
        for result, count in report.results.items()
    )
    return f'<section><h2>Results</h2><div class="scroll"><table class="results">{rows}</table></div></section>'


def _callers(report: Report) -> str:
    several = len({caller.issuer for caller in report.callers if caller.issuer is not None}) > 1
    rows = "".join(_caller(caller, several) for caller in report.callers[:_ROWS])
    left = report.further_callers + max(0, len(report.callers) - _ROWS)
    more = f"<p>and {left:,} more pairs of client and tool: <code>--json</code> has them.</p>" if left else ""
    head = _head(
        *(["Issuer"] if several else []),
        *("Client", "Tool", "#Calls", "#Denied", "#Runs of denials", "#Longest run", "#Too early", "#Same arguments"),
        *("#Median", "#p99", "First seen", "Last seen"),
    )
    return f"<section><h2>Clients and tools</h2>{_table(head, rows)}{more}</section>"


def _caller(caller: Caller, several: bool) -> str:
    share = caller.denials / caller.calls if caller.calls else 0.0
    cells = [
        *([_cell(caller.issuer or "-")] if several else []),
        _cell(caller.client),
        _cell(caller.tool),
        _number(caller.calls),
        f'<td class="number">{caller.denials:,}{_bar(share, "bad", "track small")}</td>',
        _number(caller.denial_runs, alarming=True),
        _number(caller.longest_denial_run),
        _number(caller.came_back_early, alarming=True),
        _number(caller.repeated),
        f'<td class="number">{_milliseconds(caller.p50_ms)}</td>',
        f'<td class="number">{_milliseconds(caller.p99_ms)}</td>',
        f"<td>{_moment(caller.first_seen)}</td>",
        f"<td>{_moment(caller.last_seen)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _loops(report: Report) -> str:
    if not report.loops:
        return ""
    rows = "".join(
        f"<tr>{_cell(loop.client)}{_cell(loop.tool)}{_number(loop.calls)}<td>{_moment(loop.first_seen)}</td>"
        f'<td>{_moment(loop.last_seen)}</td><td class="hash">{_text(loop.arguments_hash)}</td></tr>'
        for loop in report.loops
    )
    head = _head("Client", "Tool", "#Calls", "First seen", "Last seen", "Fingerprint of the arguments")
    return (
        "<section><h2>The same arguments again and again</h2><p>An agent that runs in circles looks like this, and so "
        f"does a tool without arguments.</p>{_table(head, rows)}</section>"
    )


def _footer(report: Report) -> str:
    notes = [f"{report.files:,} files, {report.size / 1e6:,.1f} MB."]
    if report.unreadable:
        notes.append(f"{report.unreadable:,} lines could not be read: <code>doorward audit verify</code> says why.")
    if report.unknown_outcomes:
        notes.append(f"{report.unknown_outcomes:,} intents have no call: what became of those is unknown.")
    return f"<footer>{' '.join(notes)} Made by <code>doorward audit report</code>.</footer>"


def _head(*names: str) -> str:
    cells = (f'<th class="number">{name[1:]}</th>' if name[0] == "#" else f"<th>{name}</th>" for name in names)
    return f"<tr>{''.join(cells)}</tr>"


def _table(head: str, rows: str) -> str:
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _cell(text: str) -> str:
    return f'<td class="name"><bdi>{_text(text)}</bdi></td>'


def _bar(share: float, style: str, track: str = "track") -> str:
    return f'<div class="{track}"><div class="fill {style}" style="width:{share:.1%}"></div></div>'


def _number(value: int, *, alarming: bool = False) -> str:
    return f'<td class="number{" alarm" if alarming and value else ""}">{value:,}</td>'


def _text(text: str) -> str:
    """Escaped; and what does not print, or turns the direction of writing, by its number."""
    shown = (each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode() for each in text)
    return escape("".join(shown))


def _style(result: str) -> str:
    if result in ("success", "asked"):
        return "good"
    return "failed" if result in ("tool_error", "tool_failure", "error", "cancelled") else "bad"


def _count(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 100_000 else f"{value:,g}" if value % 1 else f"{value:,.0f}"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1000:.3g} s" if value >= 1000 else f"{value:.3g} ms"


def _duration(seconds: int) -> str:
    for length, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            count = seconds // length
            return name if count == 1 else f"{count} {name}s"
    return "second" if seconds == 1 else f"{seconds} seconds"


def _moment(timestamp: str) -> str:
    return _text(timestamp[:19].replace("T", " "))
