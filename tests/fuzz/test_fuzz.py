"""The fuzzer of `make fuzz` runs, finds nothing in a few seconds, and would find what is there."""

from __future__ import annotations

import gc
import time
from importlib.util import find_spec

import pytest
from conftest import Tell
from fuzz.fuzz import MAX_SECONDS, fuzz, judge
from fuzz.targets import TARGETS, Case

from doorward.errors import refusal

SECONDS = 3


@pytest.mark.skipif(find_spec("doorward._rust") is None, reason="the native core is not built")
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_at_once(target: str, seed: int, tell: Tell) -> None:
    count, findings = fuzz(target, seed=seed, seconds=SECONDS)
    tell(f"{target}: {count:,} inputs in {SECONDS} s (ten minutes by `make fuzz`)")
    assert not findings, "\n".join(map(str, findings))
    assert count


def _raise(error: BaseException) -> object:
    raise error


@pytest.mark.parametrize(
    ("run", "finding"),
    [
        (lambda core: core, "the cores disagree: 1 / 2"),
        (lambda core: _raise(KeyError("x")), "raised KeyError('x')"),
        (lambda core: _raise(refusal("bad_signature" if core == 1 else "unknown_key")), "the cores disagree"),
        (lambda core: sum(range(50_000_000)), "took "),
        (lambda core: _raise(refusal("bad_signature")), None),
        (lambda core: "the same", None),
    ],
    ids=["different values", "an exception", "different refusals", "slow", "the same refusal", "the same value"],
)
def test_what_is_a_finding(run: object, finding: str | None) -> None:
    found = judge(Case("test", b"", run), 1, 2)  # type: ignore[arg-type]
    assert found is None if finding is None else found is not None and found.startswith(finding)


def test_a_pause_of_the_collector_is_not_the_inputs() -> None:
    def pause(_phase: str, _info: object) -> None:
        end = time.thread_time() + MAX_SECONDS
        while time.thread_time() < end:
            pass

    gc.callbacks.append(pause)
    try:
        # More than twice as many new objects as any Python lets pass before its youngest collection.
        found = judge(Case("test", b"", lambda _: len([[] for _ in range(10_000)])), 1, 2)
    finally:
        gc.callbacks.remove(pause)
    assert found is None
    assert gc.isenabled()
