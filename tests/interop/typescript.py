"""The official TypeScript clients, each a process that is told what to do: the old package, and the new one in both
protocol eras."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from interop.npm import HERE, NODE

__all__ = ["FLAVOURS", "TypeScript", "typescript"]

FLAVOURS: Final = ("v1", "v2", "v2-newer")
"""`@modelcontextprotocol/sdk`; `@modelcontextprotocol/client` by default, and with the protocol of 2026-07-28."""

_ANSWER_SECONDS: Final = 30
"""Of which one is usual."""


class TypeScript:
    """One client."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def does(self, command: str, **parameters: Any) -> dict[str, Any]:
        """What the agent sees: ``value`` or ``error``, and what was ``heard`` and ``asked`` meanwhile."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        impatient = threading.Timer(_ANSWER_SECONDS, self._process.kill)
        impatient.start()
        try:
            self._process.stdin.write(json.dumps({"command": command, **parameters}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            impatient.cancel()
        assert line, "the client did not answer"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def gets(self, command: str, **parameters: Any) -> Any:
        """The value, where nothing may go wrong."""
        answer = self.does(command, **parameters)
        assert "error" not in answer, answer
        return answer["value"]

    def fails(self, command: str, **parameters: Any) -> dict[str, Any]:
        """The error, where there must be one."""
        answer = self.does(command, **parameters)
        assert "error" in answer, answer
        return dict(answer["error"])


@contextmanager
def typescript(flavour: str, url: str, token: str | None = None) -> Iterator[TypeScript]:
    """A client that is not connected yet; without a token it logs in."""
    arguments = [str(NODE), str(HERE / "client.mjs"), flavour, url, *([token] if token else [])]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield TypeScript(process)
        finally:
            process.kill()
