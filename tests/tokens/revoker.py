"""One instance of a server, as far as revocation goes: a process with a gate that does as each line of its input says,
and answers with a line. It ends with its input."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import anyio
import anyio.to_thread

import doorward

BODY = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'


class Instance:
    """The gate, and what it may be told to do."""

    def __init__(self, *, url: str, **issuer: Any) -> None:
        self.gate = doorward.Gate(
            resource="https://mcp.example.com/mcp",
            issuers=[doorward.Issuer(issuer["issuer"], ["ES256"], issuer["jwks"])],
            audit=doorward.Audit(os.devnull),
            limits=doorward.Limits(store=url),
        )

    async def decide(self, token: str) -> str:
        """``allowed``, or why not."""
        decision = await self.gate.decide(authorization=f"Bearer {token}", body=BODY)
        decision.close()
        return "allowed" if decision.refusal is None else decision.refusal.code

    async def revoke(self, **what: Any) -> float:
        """When it was revoked, by a clock that all processes read alike."""
        self.gate.revoke(**what)
        return time.monotonic()

    async def refused(self, token: str) -> float:
        """Wait until the token is; when that was."""
        while await self.decide(token) == "allowed":
            await anyio.sleep(0.005)
        return time.monotonic()

    async def alarms(self) -> dict[str, int]:
        """Those raised so far."""
        return dict(self.gate.alarms)


async def main() -> None:
    """Do as told."""
    instance = Instance(**json.loads(sys.stdin.readline()))
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        order = json.loads(line)
        print(json.dumps(await getattr(instance, order.pop("do"))(**order)), flush=True)


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
