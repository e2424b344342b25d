"""Each server as its operator runs it: a process of uvicorn with a directory of its own, and the gate within it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from adapters.serving import wait_for
from interop.npm import HERE, NODE, install
from programs import impossible
from servers.standalone import free_port

from doorward.testing import Issuer

__all__ = ["KINDS", "Place", "serving"]

KINDS: Final = {
    "mcp 1": "older_sdk",
    "fastapi": "on_fastapi",
    "typescript v1": "proxy",
    "typescript v2": "proxy",
}
"""The module that has the app."""

_ROOT: Final = HERE.parents[1]
_OLDER: Final = _ROOT / ".venv" / ".mcp1"
_OLDER_PACKAGES: Final = ("mcp==1.30.0", "anyio>=4.11", "httpx2>=2.10")
"""That SDK, and what the gate itself needs; its cores lie in the source tree."""

_INSTALL_SECONDS: Final = 240
"""Of which fifteen are usual."""

_CONFIGURATION: Final = """
resource = "{resource}"

[[issuer]]
url = "{issuer}"
algorithms = ["ES256"]
jwks_file = "jwks.json"

[[tool]]
match = "read_*"
scopes = ["read"]

[[tool]]
match = "delete_*"
scopes = ["write"]

[[tool]]
match = "limited"
scopes = []
limit = ["1/hour"]

[audit]
path = "audit.jsonl"
"""


class Place:
    """One server, and what happened there."""

    def __init__(self, kind: str, folder: Path, resource: str, issuer: Issuer) -> None:
        self.kind = kind
        self.resource = resource
        self._folder = folder
        self._issuer = issuer

    def token(self, *scopes: str, **claims: Any) -> str:
        """A good token."""
        return self._issuer.token(audience=self.resource, scopes=scopes, **claims)

    def records(self, count: int = 0, **members: Any) -> list[dict[str, Any]]:
        """The records with these members, once there are that many."""
        deadline = time.monotonic() + 5
        while True:
            whole = (self._folder / "audit.jsonl").read_bytes().rpartition(b"\n")[0]
            lines = [json.loads(line) for line in whole.splitlines()]
            found = [line for line in lines if line["event"] == "call" and members.items() <= line.items()]
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.01)

    def hold(self) -> None:
        """The tool that waits has to go on waiting."""
        (self._folder / "may_end").unlink(missing_ok=True)

    def let_end(self) -> None:
        """It may end."""
        (self._folder / "may_end").touch()

    @property
    def ran(self) -> list[str]:
        """The tools that ran."""
        return _lines(self._folder / "ran")

    @property
    def seen(self) -> list[list[str]]:
        """The headers of each request that the server behind the gate saw."""
        return [json.loads(line) for line in _lines(self._folder / "headers.jsonl")]


@contextmanager
def serving(kind: str, folder: Path, issuer: Issuer) -> Iterator[Place]:
    """The server of one kind while the block runs. Skips the test where it cannot be had; fails it in CI."""
    python = _older_python() if kind == "mcp 1" else Path(sys.executable)
    port = free_port()
    resource = f"http://127.0.0.1:{port}/mcp"
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()))
    (folder / "doorward.toml").write_text(_CONFIGURATION.format(resource=resource, issuer=issuer.url))
    paths = {"PYTHONPATH": os.pathsep.join(str(_ROOT / name) for name in ("tests", "python"))}
    with ExitStack() as stack:
        if kind.startswith("typescript"):
            paths["UPSTREAM"] = stack.enter_context(_upstream(kind.split()[1], folder))
        command = [str(python), "-m", "uvicorn", f"interop.others.{KINDS[kind]}:app", "--port", str(port)]
        process = subprocess.Popen(
            [*command, "--no-proxy-headers", "--log-level", "critical"], cwd=folder, env=os.environ | paths
        )
        try:
            # What anybody may read: it leaves no record.
            wait_for(process, f"http://127.0.0.1:{port}/.well-known/oauth-protected-resource/mcp")
            yield Place(kind, folder, resource, issuer)
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def _upstream(flavour: str, folder: Path) -> Iterator[str]:
    install()
    arguments = [str(NODE), str(HERE / "others" / "upstream.mjs"), flavour]
    with subprocess.Popen(arguments, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, "the server did not start"
            yield url
        finally:
            process.kill()


def _older_python() -> Path:
    """A Python of an environment of its own: two versions of one package do not go into one."""
    python = _OLDER / "bin" / "python"
    made = _OLDER / ".made"
    wanted = "\n".join((sys.version, *_OLDER_PACKAGES))
    if not (made.exists() and made.read_text() == wanted):
        for step in (
            [sys.executable, "-m", "venv", "--clear", str(_OLDER)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_OLDER_PACKAGES],
        ):
            try:
                done = subprocess.run(step, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
            except subprocess.TimeoutExpired:
                impossible(f"mcp 1 was not installed within {_INSTALL_SECONDS} s")
            if done.returncode:
                impossible(f"mcp 1 could not be installed: {done.stderr[-1000:]}")
        made.write_text(wanted)
    return python


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
