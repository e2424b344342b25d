"""Something recognisable in every token of every test, and a look at whatever came out.

Each access token that a test has made carries a claim of ours. Neither the claim nor a token, nor the part of it that
nobody could guess, may stand in a trail or in what the package logs.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from doorward.testing import Issuer

CLAIM: Final = "canary-of-every-token-91bc"

_MOST_BYTES: Final = 16 * 1024 * 1024
"""Of one trail: what a test of bulk writes says no more than its first lines."""


class Watch:
    """What came out, and what must not. Records are seen as they are made, before anything is redacted in them."""

    def __init__(self) -> None:
        self.secrets: set[str] = {CLAIM}
        self.heard: list[str] = []
        self.trails = 0

    def hear(self, record: logging.LogRecord) -> None:
        """Keep what a record of the package says."""
        if not isinstance(record.name, str) or record.name.partition(".")[0] != "doorward":
            return
        try:
            self.heard.append(f"{record.getMessage()} {record.exc_info}")
        except Exception:
            self.heard.append(str(record.msg))

    def leaks(self, directory: Path | None) -> list[str]:
        """Where something came out since the last look: in the log, or in a trail below the directory."""
        found = [f"log: {line[:200]}" for line in self.heard if self._tells(line)]
        self.heard.clear()
        for path in () if directory is None else directory.rglob("*.jsonl"):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    text = file.read(_MOST_BYTES).decode("utf-8", "replace")
                self.trails += '"event":"call"' in text
                found += [str(path)] if self._tells(text) else []
        self.secrets = {CLAIM}
        return found

    def _tells(self, text: str) -> bool:
        return any(secret in text for secret in self.secrets)

    def made(self, token: str) -> None:
        """A token that nothing may repeat."""
        # Two of its three parts are other tokens' as well, and its signature is nobody's.
        self.secrets |= {token, token.rpartition(".")[2]}


@contextmanager
def planted(watch: Watch) -> Iterator[None]:
    """Every issuer's tokens have the claim, and are known."""
    token = Issuer.token

    @functools.wraps(token)
    def planting(self: Issuer, **given: Any) -> str:
        made = token(self, **({"canary": CLAIM} | given))
        watch.made(made)
        return made

    factory = logging.getLogRecordFactory()

    def watched(*given: Any, **named: Any) -> logging.LogRecord:
        record = factory(*given, **named)
        watch.hear(record)
        return record

    logging.setLogRecordFactory(watched)
    setattr(Issuer, "token", planting)  # noqa: B010 - a method's place, which mypy would not give away
    try:
        yield
    finally:
        setattr(Issuer, "token", token)  # noqa: B010 - and back
        logging.setLogRecordFactory(factory)
