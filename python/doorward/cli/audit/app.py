"""The commands of ``doorward audit``."""

from __future__ import annotations

import typer

from doorward.cli.audit import keys, report, tail, verify

__all__ = ["app"]

app = typer.Typer(
    help="The audit trail: whether somebody changed it, and what it says. PATH is the trail's file (all that belong to "
    "it are read: rotated ones and those of further processes) or a directory.",
    no_args_is_help=True,
)
app.command("verify")(verify.verify)
app.command("report")(report.report)
app.command("tail")(tail.tail)
app.command("keygen")(keys.keygen)
app.command("fingerprint")(keys.fingerprint)
