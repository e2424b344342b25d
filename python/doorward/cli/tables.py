"""Tables for people: drawn on a terminal; into a pipe plain, never wrapped, cut or coloured."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from doorward.cli.saying import output

__all__ = ["print_table"]

_FOLDED = 10
"""Characters of text that stay together: a day."""

_NUMBER = re.compile(r"[0-9.,/-]{1,20}")


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header, as `output` prints."""
    with output():
        _print(title, header, rows)


def _print(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if sys.stdout.isatty():
        _draw(title, header, rows)
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}")
    for row in (header, ["-" * width for width in widths], *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console, JustifyMethod
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    columns = list(zip(header, *rows, strict=True))
    numbers = [all(_NUMBER.fullmatch(cell) for cell in cells) for _, *cells in columns]
    widest = [max(map(len, (*cells, *name.split()))) for name, *cells in columns]
    together = [width if number else min(width, _FOLDED) for width, number in zip(widest, numbers, strict=True)]
    fits = sum(together) + 2 * len(together) <= console.width
    for name, number, width in zip(header, numbers, together, strict=True):
        # Folded where it is narrow, and never cut: what was cut cannot be searched for.
        justify: JustifyMethod = "right" if number else "left"
        table.add_column(name, justify=justify, overflow="fold", min_width=width if fits else None)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(Text(f"\n{title}", "bold"))
    console.print(table)
