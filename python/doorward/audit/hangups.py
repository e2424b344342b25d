"""SIGHUP: the audit files are looked for again, beside whatever the host does with the signal."""

from __future__ import annotations

import os
import signal
import threading
import weakref
from contextlib import suppress
from typing import Any, Final

from doorward.audit.sinks import FileSink

__all__ = ["files", "listen"]

files: Final[weakref.WeakSet[FileSink]] = weakref.WeakSet()
"""Every audit file of this process."""


def listen() -> None:
    """After a hang-up every file is looked at before the next line. A handler of the host's is called as well, and one
    that it sets later stands in place of ours: then a file that was moved is found within a quarter of a second.

    Where nobody handles the signal it ends the process, and that stays so as long as there is a terminal that can hang
    up; without one somebody sent it on purpose."""
    if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGHUP)
    if before is None or before is signal.SIG_IGN or getattr(before, "doorward", False):
        return
    if before is signal.SIG_DFL and _has_terminal():
        return

    def hang_up(number: int, frame: Any) -> None:
        for sink in list(files):
            sink.look_again()
        if callable(before):
            before(number, frame)

    hang_up.doorward = True  # type: ignore[attr-defined]  # a mark of ours on a function
    with suppress(ValueError):  # a sub-interpreter
        signal.signal(signal.SIGHUP, hang_up)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
