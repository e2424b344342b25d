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
from contextlib import contextmanager
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
    """One process with one limiter at a time."""

    def __init__(self, *, patient: bool, clock_off_by: float = 0.0) -> None:
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "instance.py"), str(clock_off_by), "patient" * patient],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
        )

    @property
    def alive(self) -> bool:
        """Whether it has not been killed."""
        return self._process.poll() is None

    def use(self, **settings: Any) -> None:
        """Have a new limiter; `ready` waits for it."""
        self._send({"limiter": settings})

    def ready(self) -> None:
        """Its limiter is made; nothing has been asked of Redis yet."""
        self._line()

    def begin(self, job: dict[str, Any]) -> None:
        """Start a job; `result` waits for its end."""
        self._send(job)

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

    def _send(self, job: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

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


class Fleets:
    """Lends processes to one test after another: to start one takes longer than most of what it is asked to do."""

    def __init__(self, *, patient: bool) -> None:
        self._patient = patient
        self._idle: list[Instance] = []

    @contextmanager
    def __call__(self, size: int, url: str, *, clock_off_by: float = 0.0, **settings: Any) -> Iterator[Fleet]:
        """So many instances, each with a new `RedisLimiter` of these settings."""
        lendable = [] if clock_off_by else self._idle
        instances = [lendable.pop() if lendable else self._start(clock_off_by) for _ in range(size)]
        try:
            for instance in instances:
                instance.use(url=url, **settings)
            for instance in instances:
                instance.ready()
            yield Fleet(instances)
        except BaseException:
            # Nobody knows what they are doing.
            for instance in instances:
                instance.kill()
            raise
        for instance in instances:
            if clock_off_by or not instance.alive:
                instance.kill()
            else:
                self._idle.append(instance)

    def close(self) -> None:
        """End those that nobody has."""
        while self._idle:
            self._idle.pop().kill()

    def _start(self, clock_off_by: float) -> Instance:
        return Instance(patient=self._patient, clock_off_by=clock_off_by)
