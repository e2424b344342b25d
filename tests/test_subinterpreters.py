"""The native core in a second interpreter of the process: a clear error, whichever kind of interpreter it is."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

PROGRAM = """
try:
    import _interpreters as interpreters
    legacy = lambda: interpreters.create("legacy")
except ImportError:
    import _xxsubinterpreters as interpreters
    legacy = lambda: interpreters.create(isolated=False)
import doorward
code = '''
try:
    import doorward
except ImportError as error:
    print(error, flush=True)
else:
    print("imported", doorward.IMPLEMENTATION, flush=True)
'''
interpreters.run_string(legacy(), code)
"""


@pytest.mark.skipif(find_spec("doorward._rust") is None, reason="the native core is not built: run `make build`")
@pytest.mark.parametrize(
    ("core", "words"),
    [("rust", "the native core of doorward does not support subinterpreters"), ("python", "imported python")],
)
def test_an_interpreter_that_shares_the_lock(monkeypatch: pytest.MonkeyPatch, core: str, words: str) -> None:
    monkeypatch.setenv("DOORWARD_CORE", core)
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith(words), done.stderr
