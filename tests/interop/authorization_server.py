"""Somebody else's authorization server: oidc-provider from npm, run as a process."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from interop.npm import HERE, NODE

START_SECONDS: Final = 30
"""Of which one is usual."""


@contextmanager
def running(algorithm: str, *, held: bool = False) -> Iterator[str]:
    """The issuer's URL while the server runs, which must be installed. ``held``: it fixes the scopes that a client may
    ever ask for when the client registers."""
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [NODE, HERE / "server.mjs", algorithm, *(["held"] if held else [])],
            stdin=subprocess.PIPE,  # its end is the server's: no server outlives the tests, however they end
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        with process:
            impatient = threading.Timer(START_SECONDS, process.kill)
            impatient.start()
            try:
                assert process.stdout is not None
                issuer = process.stdout.readline().strip()
                impatient.cancel()
                if not issuer:
                    complaints.seek(0)
                    pytest.fail(f"oidc-provider did not start:\n{complaints.read()}", pytrace=False)
                yield issuer
            finally:
                impatient.cancel()
                process.kill()
