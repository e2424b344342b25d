"""A process that answers calls until it is killed, and says on its standard output what ran and what was answered.

``python victim.py <trail> <durability>``: lines are ``ran <id>`` and ``answered <id> <seconds>``, each one write, so
that what was printed is what a client saw.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import count
from pathlib import Path

import anyio
import anyio.lowlevel
from guarded import Guarded, message

import doorward
from doorward.testing import Issuer

IN_FLIGHT = 8


def say(*words: object) -> None:
    """Tell the client."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def serve(path: Path, durability: str) -> None:
    """Answer calls, eight at a time, without end."""
    rules = [doorward.ToolRule("read_*", scopes=["read"])]
    it = Guarded(
        path,
        Issuer("https://as.example.com"),
        tools=rules,
        limits=doorward.Limits(client=[]),
        audit=doorward.Audit(str(path), durability=durability),
    )
    authorization = f"Bearer {it.token('read')}"
    numbers = count()

    async def answer() -> None:
        while True:
            rpc_id = next(numbers)
            decision = await it.gate.decide(authorization=authorization, body=message(id=rpc_id))
            if decision.refusal is not None:
                say("refused", rpc_id)
                continue
            say("ran", rpc_id)
            await anyio.lowlevel.checkpoint()
            await decision.aclose()
            say("answered", rpc_id, time.monotonic())

    async with anyio.create_task_group() as tasks:
        for _ in range(IN_FLIGHT):
            tasks.start_soon(answer)


if __name__ == "__main__":
    anyio.run(serve, Path(sys.argv[1]), sys.argv[2])
