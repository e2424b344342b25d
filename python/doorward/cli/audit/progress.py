"""How far a command is, for whoever waits and looks: on the standard error, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(*, then: str = "") -> Iterator[Callable[[int, int], None]]:
    """A bar, to be told of bytes that are read, of all. ``then``: what goes on when they are."""
    if not sys.stderr.isatty():
        yield lambda done, size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    words = TextColumn("{task.description}")
    with Progress(words, *columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(done: int, size: int) -> None:
            bar.update(task, completed=done, total=size, description=then if done >= size else "")

        yield tell
