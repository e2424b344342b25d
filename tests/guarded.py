"""A gate with a trail of its own and a time that stands still: what most tests of the gate begin with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import doorward
from doorward.testing import Issuer

RESOURCE = "https://mcp.example.com/mcp"
NOW = 1_800_000_000.0

RULES = (
    doorward.ToolRule("delete_*", scopes=["write"], limit=["2/minute"]),
    doorward.ToolRule("wipe", scopes=["write"], confirm=True),
    doorward.ToolRule("read_*", scopes=["read"], limit=["5/minute"], total_limit=["8/minute"]),
)


class Guarded:
    """A gate, its audit trail, and the time it lives in."""

    def __init__(self, trail: Path, issuer: Issuer, **settings: Any) -> None:
        self.now = NOW
        self.tick = 0
        self.issuer = issuer
        self.trail = trail
        defaults: dict[str, Any] = {
            "resource": RESOURCE,
            "issuers": [doorward.Issuer(issuer.url, ["ES256"], issuer.jwks())],
            "tools": RULES,
            "scopes": {"write": ["read"]},
            "audit": doorward.Audit(path=str(trail)),
        }
        self.gate = doorward.Gate(**(defaults | settings), clock=lambda: self.now, tick=lambda: self.tick)

    def token(self, *scopes: str, **claims: Any) -> str:
        """A good token of the issuer, unless the claims say otherwise."""
        given: dict[str, Any] = {"audience": self.gate.resource, "now": self.now} | claims
        return self.issuer.token(scopes=scopes, **given)

    async def call(self, tool: str, *scopes: str, **claims: Any) -> doorward.Decision:
        """Ask the gate about one call."""
        return await self.gate.decide(authorization=f"Bearer {self.token(*scopes, **claims)}", body=message(tool))

    def records(self) -> list[dict[str, Any]]:
        """The records of calls in the audit trail, once all of them are written."""
        return [line for line in self.lines() if line["event"] == "call"]

    def lines(self) -> list[dict[str, Any]]:
        """Every line of the audit trail, once all of them are written."""
        self.gate._steps.trail.flush()
        # Up to the last newline: of a line that another thread writes just now, one page may be there and not the next.
        whole = self.trail.read_bytes().rpartition(b"\n")[0]
        return [json.loads(line) for line in whole.splitlines()]


def message(tool: str = "read_order", *, id: object = 1, **arguments: Any) -> bytes:  # noqa: A002
    """The body of a tool call."""
    params = {"name": tool, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).encode()
