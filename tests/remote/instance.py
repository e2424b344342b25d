"""One instance of a server, as far as its limits go: a process that makes the calls it is told to make.

Each line of its input is a job, each line of its output what came of it; it ends with its input.
"""

from __future__ import annotations

import json
import math
import sys
import time
from typing import Any

_monotonic = time.monotonic


def _wrong_clock(seconds: float) -> None:
    """Before anything else is imported, so that whoever asks Python for the time is told a wrong one: the monotonic
    clock is off by a constant, the wall clock jumps forth and back by twice as much every second."""
    wall = time.time
    time.monotonic = lambda: _monotonic() + seconds
    time.monotonic_ns = lambda: int(time.monotonic() * 1e9)
    time.time = lambda: wall() + (seconds if int(wall()) % 2 else -seconds)
    time.time_ns = lambda: int(time.time() * 1e9)


if __name__ == "__main__" and (wrong := float(sys.argv[1])):
    _wrong_clock(wrong)

# ruff: noqa: E402 - because of the clock
from collections import Counter

import anyio
import anyio.lowlevel
import anyio.to_thread
from servers.patience import be_patient

import doorward
from doorward.errors import Limited, Refused
from doorward.limits import RedisLimiter

A_MOMENT = 0.01
"""Seconds before somebody who could not be told anything calls again."""


class Spender:
    """Makes ``calls`` calls, or as many as fit into ``seconds``, in ``tasks`` tasks, over ``keys`` keys in turn; with
    ``dry``, each of them until it is refused."""

    def __init__(self, limiter: RedisLimiter, job: dict[str, Any]) -> None:
        self._limiter = limiter
        self._domain, self._tasks, self._keys, self._dry = job["domain"], job["tasks"], job["keys"], job["dry"]
        self._charges = [[doorward.Charge(f"key {key}", limit) for limit in job["limits"]] for key in range(self._keys)]
        self._numbers = iter(range(job["calls"] or sys.maxsize))
        self._until = _monotonic() + (job["seconds"] or sys.maxsize)
        self.admitted = [0] * self._keys
        self.refused = 0
        self.errors = Counter[str]()
        self.times: list[tuple[float, float]] = []
        self.first = math.inf
        self._timed = job["timed"]

    async def spend(self) -> None:
        """Return when all is done."""
        async with anyio.create_task_group() as group:
            for _ in range(self._tasks):
                group.start_soon(self._some)

    def result(self) -> dict[str, Any]:
        """What came of it, for `fleet.Spent`."""
        return {
            "admitted": self.admitted,
            "refused": self.refused,
            "errors": self.errors,
            "times": self.times,
            "first": self.first,
            "last": _monotonic(),
        }

    async def _some(self) -> None:
        for number in self._numbers:
            key = number % self._keys
            while await self._one(key) is not Limited and self._dry:
                pass
            if _monotonic() > self._until:
                return

    async def _one(self, key: int) -> type[Limited] | None:
        start = _monotonic()
        try:
            await self._limiter.admit(domain=f"{self._domain} {key}", charges=self._charges[key])
        except Limited:
            self.refused += 1
            # What is refused without asking anybody takes no time here, but a server's call goes through the loop.
            await anyio.lowlevel.checkpoint()
            return Limited
        except Refused as error:
            self.errors[error.code] += 1
            await anyio.sleep(A_MOMENT)
        except Exception as error:
            self.errors[repr(error)[:200]] += 1
        else:
            self.admitted[key] += 1
            end = _monotonic()
            self.first = min(self.first, end)
            if self._timed:
                self.times.append((start, end))
        return None


async def main() -> None:
    """Do every job, with the limiter that the last one asked for."""
    limiter: RedisLimiter | None = None
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        job = json.loads(line)
        if "limiter" in job:
            if limiter is not None:
                await limiter.aclose()
            limiter = RedisLimiter(**job["limiter"])
            print("{}", flush=True)
        elif limiter is not None:
            spender = Spender(limiter, job)
            await spender.spend()
            print(json.dumps(spender.result()), flush=True)
    if limiter is not None:
        await limiter.aclose()


if __name__ == "__main__":
    if "patient" in sys.argv:
        be_patient()
    anyio.run(main)
