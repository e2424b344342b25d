"""A directory with what a ``doorward.toml`` names, and its smallest contents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from doorward.config import load
from doorward.testing import Issuer

JWKS = Issuer("https://as.example.com").jwks()
KEY = "a secret of thirty-two bytes, or more"

HEAD = """\
resource = "https://mcp.example.com/mcp"
[[issuer]]
url = "https://as.example.com"
algorithms = ["ES256"]
jwks_file = "jwks.json"
"""


def asked(**changes: str | None) -> str:
    """The smallest contents and an introspection that is right, with changes to it in TOML; None leaves a key out."""
    given = {"url": "'https://as.example.com/ask'", "client_id": "'mcp'", "secret": "{ file = 'short' }"} | changes
    table = ", ".join(f"{key} = {value}" for key, value in given.items() if value is not None)
    return f"{HEAD}introspection = {{ {table} }}"


class Configured:
    """Where the file lies, next to a key set and two secrets, of which one is short."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "doorward.toml"
        (directory / "jwks.json").write_text(json.dumps(JWKS))
        (directory / "key").write_text(f"{KEY}\n")
        (directory / "short").write_text("hunter2\n")

    def load(self, text: str) -> dict[str, Any]:
        """What the gate gets."""
        self.path.write_text(text)
        return load(self.path)

    def problem(self, text: str | bytes) -> str:
        """The error about the file, without its directory."""
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ValueError, match=r"^.*doorward\.toml") as failed:
            load(self.path)
        assert failed.value.__suppress_context__ or failed.value.__context__ is None
        return str(failed.value).removeprefix(f"{self.directory}/")
