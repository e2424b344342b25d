"""`make fuzz`: both cores at once are fed damaged tokens, key sets and claims, for a given time.

A finding is an exception that is no refusal, a disagreement of the cores, or an input that costs either one too much.
Each is printed with its target, what it was derived from and the input in base64; ``--seed`` repeats a run.
"""

from __future__ import annotations

import argparse
import base64
import gc
import random
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from fuzz.targets import TARGETS, Case

from doorward import Refused, _pure

MAX_SECONDS = 0.25
MAX_FINDINGS = 20
"""A broken core breaks on everything: the first few say enough."""


class Finding(NamedTuple):
    """What must not be."""

    target: str
    origin: str
    what: str
    data: bytes

    def __str__(self) -> str:
        return f"FINDING {self.target} ({self.origin}): {self.what}\n  {base64.b64encode(self.data).decode()}"


def fuzz(target: str, *, seed: int, seconds: float) -> tuple[int, list[Finding]]:
    """How many inputs were tried in this time, and what was found."""
    from doorward import _rust

    chance = random.Random(f"{seed} {target}")
    draw = TARGETS[target]()
    findings: list[Finding] = []
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end and len(findings) < MAX_FINDINGS:
        count += 1
        case = draw(chance)
        what = judge(case, _rust, _pure)
        if what is not None:
            findings.append(Finding(target, case.origin, what, case.data))
    return count, findings


def judge(case: Case, *cores: Any) -> str | None:
    """What is wrong with how the cores take an input."""
    outcomes = [_outcome(case.run, core) for core in cores]
    slow = max(taken for _, taken in outcomes)
    strange = [told for told, _ in outcomes if isinstance(told, Exception)]
    if strange:
        return f"raised {strange[0]!r}"
    if len({repr(told) for told, _ in outcomes}) > 1:
        return "the cores disagree: " + " / ".join(repr(told)[:300] for told, _ in outcomes)
    return f"took {slow:.3f} s" if slow > MAX_SECONDS else None


def _outcome(run: Callable[[Any], object], core: Any) -> tuple[object, float]:
    # The collector waits: a full collection walks what a whole test run left in memory, 0.12 s for a million objects,
    # and is billed to whichever input comes next.
    collecting = gc.isenabled()
    gc.disable()
    # Time on the processor: a machine that is shared is slow at times.
    start = time.thread_time()
    try:
        told = run(core)
    except Refused as refused:
        told = refused.code
    except BaseException as error:  # a panic of Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        told = error if isinstance(error, Exception) else RuntimeError(repr(error))
    finally:
        taken = time.thread_time() - start
        if collecting:
            gc.enable()
    return told, taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help=f"of {', '.join(TARGETS)}; all of them")
    parser.add_argument("--seconds", type=float, default=600, help="for all targets together")
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = secrets.randbits(32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    found = 0
    for target in given.targets:
        count, findings = fuzz(target, seed=seed, seconds=given.seconds / len(given.targets))
        print(f"{target}: {count:,} inputs, {len(findings)} findings", *findings, sep="\n", flush=True)
        found += len(findings)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
