"""Several instances at once, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Final

import pytest

JOB_SECONDS: Final = 1_800
"""After which an instance is taken to hang: the largest proofs need a tenth."""


@dataclass(frozen=True)
class Spent:
    """What came of a job."""

    admitted: tuple[int, ...]
    """For each key."""
    refused: int
    errors: Counter[str]
    times: tuple[tuple[float, float], ...]
    """When each admitted call was made and answered, by the monotonic clock that processes of a machine share."""
    first: float
    """When the first call had been admitted, by that clock."""
    last: float
    """When all was done."""

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            tuple(one + more for one, more in zip(self.admitted, other.admitted, strict=True)),
            self.refused + other.refused,
            self.errors + other.errors,
            self.times + other.times,
            min(self.first, other.first),
            max(self.last, other.last),
        )


class Instance:
    """One process with one limiter."""

    def __init__(self, url: str, **settings: Any) -> None:
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "instance.py"), json.dumps({"url": url, **settings})],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
        )

    def wait_until_ready(self) -> None:
        """Its limiter is made; nothing has been asked of Redis yet."""
        assert self._line() == "ready"

    def begin(self, job: dict[str, Any]) -> None:
        """Start a job; `result` waits for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

    def result(self) -> Spent:
        """Of the job begun last."""
        told = json.loads(self._line())
        times = tuple((start, end) for start, end in told["times"])
        errors = Counter(told["errors"])
        return Spent(tuple(told["admitted"]), told["refused"], errors, times, told["first"], told["last"])

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._complaints):
            if stream is not None:
                stream.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        impatient = threading.Timer(JOB_SECONDS, self._process.kill)
        impatient.start()
        line = self._process.stdout.readline().strip()
        impatient.cancel()
        if not line:
            self._complaints.seek(0)
            pytest.fail(f"the instance ended:\n{self._complaints.read()[-3_000:]}", pytrace=False)
        return line


class Fleet:
    """Instances that work at the same time."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self.instances = instances

    def spend(
        self,
        *,
        limits: Sequence[str],
        calls: int | None = None,
        seconds: float | None = None,
        keys: int = 1,
        tasks: int = 10,
        domain: str = "domain",
        timed: bool = False,
        dry: bool = False,
    ) -> Spent:
        """Each instance makes so many calls, or as many as it can in so many seconds; ``dry`` repeats each until it is
        refused. The sum of what came of it."""
        job = {"limits": limits, "calls": calls, "seconds": seconds, "keys": keys, "tasks": tasks}
        job |= {"domain": domain, "timed": timed, "dry": dry}
        for instance in self.instances:
            instance.begin(job)
        return reduce(add, [instance.result() for instance in self.instances])


@contextmanager
def fleet(size: int, url: str, **settings: Any) -> Iterator[Fleet]:
    """So many instances with the same settings of `RedisLimiter`, and ``clock_off_by`` seconds."""
    with ExitStack() as stack:
        instances = []
        for _ in range(size):
            instances.append(Instance(url, **settings))
            stack.callback(instances[-1].kill)
        for instance in instances:
            instance.wait_until_ready()
        yield Fleet(instances)
