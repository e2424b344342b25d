"""Every test below tests/core runs over both implementations of the core."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import toolgate
from toolgate.testing import Issuer

RESOURCE = "https://mcp.example.com/mcp"
NOW = 1_800_000_000.0

RULES = (
    toolgate.ToolRule("delete_*", scopes=["write"], limit=["2/minute"]),
    toolgate.ToolRule("wipe", scopes=["write"], confirm=True),
    toolgate.ToolRule("read_*", scopes=["read"], limit=["5/minute"], total_limit=["8/minute"]),
)


class Guarded:
    """A gate, its audit trail, and the time it lives in."""

    def __init__(self, audit: Path, issuer: Issuer, **settings: Any) -> None:
        self.now = NOW
        self.tick = 0
        self.issuer = issuer
        self.audit = audit
        defaults: dict[str, Any] = {
            "resource": RESOURCE,
            "issuers": [toolgate.Issuer(issuer.url, ["ES256"], issuer.jwks())],
            "tools": RULES,
            "scopes": {"write": ["read"]},
            "audit": toolgate.Audit(path=str(audit)),
        }
        self.gate = toolgate.Gate(**(defaults | settings), clock=lambda: self.now, tick=lambda: self.tick)

    def token(self, *scopes: str, **claims: Any) -> str:
        """A good token of the issuer, unless the claims say otherwise."""
        given = {"audience": self.gate.resource, "now": self.now} | claims
        return self.issuer.token(scopes=scopes, **given)

    async def call(self, tool: str, *scopes: str, **claims: Any) -> toolgate.Decision:
        """Ask the gate about one call."""
        return await self.gate.decide(authorization=f"Bearer {self.token(*scopes, **claims)}", body=message(tool))

    def records(self) -> list[dict[str, Any]]:
        """What stands in the audit trail."""
        return [json.loads(line) for line in self.audit.read_text().splitlines()]


def message(tool: str = "read_order", *, id: object = 1, **arguments: Any) -> bytes:  # noqa: A002
    """The body of a tool call."""
    params = {"name": tool, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).encode()


@pytest.fixture(params=["rust", "python"], scope="session")
def core(request: pytest.FixtureRequest) -> ModuleType:
    """One implementation of the contract in ``_rust.pyi``."""
    if request.param == "rust" and find_spec("toolgate._rust") is None:
        pytest.skip("the native core is not built: run `maturin develop --release`")
    return importlib.import_module("toolgate._rust" if request.param == "rust" else "toolgate._pure")


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """The authorization server of every gate in these tests."""
    return Issuer("https://as.example.com")


@pytest.fixture
def guarded(tmp_path: Path, issuer: Issuer) -> Callable[..., Guarded]:
    """Makes gates with an audit trail of their own and a clock and tick that stand still until a test moves them."""
    return partial(Guarded, tmp_path / "audit.jsonl", issuer)
