"""``doorward audit verify``. Its exit codes: 0 when the trail is intact; 2 when it cannot be read, is of another
release, or has nothing of the time that was asked about; 3 when it was changed; 4 when it is incomplete; 5 when the
file of ``--remember`` could not be written. 1 is Python's, for an error that nothing caught."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from doorward.audit.reading.findings import MISSING, OTHER_RELEASE, ChainFindings, Findings, Listed
from doorward.audit.reading.heads import read_heads, write_heads
from doorward.audit.reading.verify import heads_of, load_public_keys
from doorward.audit.reading.verify import verify as verified
from doorward.cli.audit.progress import progress_bar
from doorward.cli.audit.saying import instant, second, unreadable
from doorward.cli.saying import UNREADABLE, fail, output, printable
from doorward.cli.tables import print_table
from doorward.extras import install

__all__ = ["verify"]

CHANGED: Final = 3
INCOMPLETE: Final = 4
NOT_REMEMBERED: Final = 5


def verify(
    path: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Trails: files or directories.")],
    public_key: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="The public key of checkpoints, in PEM. Once for each key that was in use."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="What was written before may have been deleted: 2026-11-20, in UTC."),
    ] = None,
    remember: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the chains ended last time: they must still reach there. Kept on another machine, it shows a "
            "trail that was cut off at a checkpoint, or deleted as a whole.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything that was found, as JSON.")] = False,
) -> None:
    """Find out whether the trail was changed, up to the last checkpoint of each chain, and whether it is complete."""
    oldest = instant("--since", since)
    try:
        keys = load_public_keys(public_key) if public_key else None
        heads = read_heads(remember) if remember else []
        with progress_bar() as progress:
            findings = verified(path, public_keys=keys, since=oldest, heads=heads, progress=progress)
    except ModuleNotFoundError as missing:
        if missing.name != "cryptography":
            raise
        fail(f"verifying signatures needs cryptography: {install('cli', 'pure')}")
    except (OSError, ValueError) as error:
        unreadable(error)
    with output():
        if as_json:
            print(json.dumps(_as_json(findings), indent=1))
        else:
            _print(findings)
    if code := _exit_code(findings):
        raise typer.Exit(code)
    if remember:
        try:
            write_heads(remember, heads_of(findings))
        except OSError as error:
            fail(f"{remember}: {error.strerror}: what was verified is not remembered", code=NOT_REMEMBERED)


def _exit_code(findings: Findings) -> int:
    if findings.changed:
        return CHANGED
    if findings.incomplete:
        return INCOMPLETE
    return UNREADABLE if findings.problems or findings.nothing_to_check else 0


def _print(findings: Findings) -> None:
    for problem in findings.problems:
        label = {**dict.fromkeys(MISSING, "MISSING "), OTHER_RELEASE: "REFUSED "}.get(problem.kind, "TAMPERED")
        print(f"{label}  {printable(problem)}")
    if findings.further_problems:
        print(f"          and {findings.further_problems:,} more")
    for chain in findings.chains:
        if chain.last_checkpoint and chain.behind_last_checkpoint:
            behind = f"{chain.behind_last_checkpoint:,} lines behind it are not signed yet"
            print(f"note      {printable(chain.last_checkpoint)}: the last checkpoint, {chain.signed_until}; {behind}")
        _print_places(chain.torn, "a crash tore this line")
        _print_places(chain.gaps, "records before this line were lost when the trail could not be written")
        _print_places(chain.unknown_outcomes, "an intent without its call: outcome unknown")
    print_table(
        f"{findings.files} files, {findings.lines:,} lines, {findings.size:,} bytes",
        ("chain", "instance", "files", "lines", "from", "until", "checkpoints", "behind", "lost", "torn", "unknown"),
        [_row(chain) for chain in findings.chains],
    )
    print()
    print("\n".join(_verdict(findings)))


def _print_places(listed: Listed, words: str) -> None:
    for place in listed.places:
        print(f"note      {printable(place)}: {words}")
    if listed.count > len(listed.places):
        print(f"note      and {listed.count - len(listed.places):,} more of these")


def _row(chain: ChainFindings) -> tuple[str, ...]:
    return (
        printable(chain.files[-1].name),
        printable(chain.instances[-1]) if chain.instances else "-",
        f"{len(chain.files):,}",
        f"{chain.lines:,}",
        second(chain.began),
        second(chain.ended),
        f"{chain.checkpoints:,}",
        f"{chain.behind_last_checkpoint:,}",
        f"{chain.lost:,}",
        f"{chain.torn.count:,}",
        f"{chain.unknown_outcomes.count:,}",
    )


def _verdict(findings: Findings) -> Iterator[str]:
    if findings.changed:
        yield f"NOT INTACT: look first at {printable(findings.problems[0].place)}"
        return
    if findings.incomplete:
        place = printable(findings.problems[0].place)
        yield f"INCOMPLETE: something that was written is not here: look first at {place}"
        return
    if findings.problems:
        yield "NOT VERIFIED: another release wrote this, see above"
        return
    if findings.ended is None:
        yield "nothing was checked: the files have no record, and a server writes one when it opens its trail. Was the"
        yield "trail deleted, or is this another directory?"
        return
    if findings.nothing_to_check:
        yield f"nothing was checked: the last record is of {second(findings.ended)}, and --since is later. It names the"
        yield "first day that is still there."
        return
    if not findings.with_key:
        yield "intact, as far as the hash chain shows: accidents and amateurs. Whoever can write the files can compute"
        yield "it anew: signed checkpoints and --public-key show that too."
        return
    behind = sum(chain.behind_last_checkpoint for chain in findings.chains)
    yield "intact: nobody without the key changed anything up to the last checkpoints."
    if behind:
        yield f"{behind:,} lines stand behind them; no signature covers those yet."


def _as_json(findings: Findings) -> dict[str, Any]:
    nothing = findings.nothing_to_check
    made = asdict(findings) | {
        "intact": findings.intact and not nothing,
        "nothing_to_check": nothing,
        "kinds": sorted(findings.kinds),
    }
    return dict(json.loads(json.dumps(made, default=str)))
