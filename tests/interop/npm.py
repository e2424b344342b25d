"""What comes from npm, of exact versions, installed beside this file: Node itself and the programs that nobody here
wrote."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from programs import impossible, program

__all__ = ["HERE", "MODULES", "NODE", "install"]

HERE: Final = Path(__file__).parent
MODULES: Final = HERE / "node_modules"
NODE: Final = MODULES / "node" / "bin" / "node"

INSTALL_SECONDS: Final = 240
"""Of which twenty are usual: Node itself is 120 MB."""


def install() -> None:
    """Install the packages unless they are there. Skips the test where that cannot be; fails it in CI."""
    if _is_installed():
        return
    npm = program("npm")
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            # No lock file: it would name the registry of whoever ran this. The versions are exact without.
            [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"],
            cwd=HERE,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | str = process.wait(INSTALL_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the installers that npm has started
            code = f"no code within {INSTALL_SECONDS} s, {process.wait()}"
        if not _is_installed():
            output.seek(0)
            impossible(f"npm install in tests/interop ended with {code}:\n{output.read()[-2000:]}")


def _is_installed() -> bool:
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    return NODE.is_file() and all(_version(name) == version for name, version in wanted.items())


def _version(package: str) -> str | None:
    description = MODULES / package / "package.json"
    return json.loads(description.read_text())["version"] if description.is_file() else None
