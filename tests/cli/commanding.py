"""The command: as a person runs it, in a process of its own; and within this one, where only what it says matters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from doorward.cli.app import app

HERE = Path(__file__).parent
SHOPS = ("shop.py", "shop_app.py", "fastmcp_shop.py")


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def in_a_process(*arguments: str, at: Path, **environment: str) -> Done:
    """Run ``doorward`` as a person does."""
    done = subprocess.run(
        [sys.executable, "-m", "doorward", *arguments],
        cwd=at,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def here(*arguments: str, at: Path, **environment: str) -> Done:
    """The same in this process, which forgets the modules that the command has imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(at)
        patch.setattr(sys, "path", sys.path[:])
        for module in {path.stem for path in at.glob("*.py")}:
            patch.delitem(sys.modules, module, raising=False)
        before = set(sys.modules)
        done = CliRunner().invoke(app, arguments, env=environment)
        for module in {path.stem for path in at.glob("*.py")} & (set(sys.modules) - before):
            del sys.modules[module]
    return Done(done.exit_code, done.stdout, done.stderr)
