"""Processes that end no later than the tests, however these end."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path


class Process:
    """A program that can be stopped in all the ways in which machines stop one."""

    def __init__(self, words: Sequence[str], *, executable: str, log: Path) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                words,
                executable=executable,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupted test run interrupts nobody here: the tests do the ending
            )
        # Its input ends when pytest does, killed or not. A parent-death signal would be tied to the thread that started
        # the program, and to Linux.
        self._watch = subprocess.Popen(
            ["sh", "-c", f"read nothing; kill -9 {self._process.pid} 2>/dev/null"],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def id(self) -> int:
        """The process's."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended, stopped or not."""
        return self._process.poll() is None

    @property
    def complaint(self) -> str:
        """The end of what it printed."""
        return self._log.read_text(errors="replace")[-2_000:]

    def pause(self) -> None:
        """SIGSTOP: connections stay open, the system goes on accepting new ones, nobody answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: whatever was sent in the meantime is read and done."""
        self._process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM, and SIGKILL for one that has not ended after ten seconds."""
        self._end(self._process.terminate)

    def kill(self) -> None:
        """SIGKILL, of a paused one too."""
        self._end(self._process.kill)

    def _end(self, ask: Callable[[], None]) -> None:
        if self._watch.stdin is not None:
            ask()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._watch.kill()
            self._watch.stdin.close()
            self._watch.stdin = None
            self._watch.wait()
