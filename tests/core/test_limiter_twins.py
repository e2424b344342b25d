"""Both limiters in lockstep where no judge has a say: at the bound on keys, with buckets that begin with little."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
from conftest import Proof
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import SECOND

from doorward import _pure
from doorward.errors import Limited

KEYS = st.sampled_from([f"key {key}" for key in range(8)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.lists(st.tuples(KEYS, st.integers(0, 3), st.booleans()), max_size=4)),
        st.tuples(st.just("wait"), st.integers(0, 2 * SECOND)),
        st.tuples(st.just("settle"), st.integers(0, 9)),
        st.tuples(st.just("refund"), st.integers(0, 9)),
        st.tuples(st.just("restart"), st.integers(0, SECOND)),
    ),
    max_size=40,
)


@pytest.mark.skipif(find_spec("doorward._rust") is None, reason="the native core is not built: run `make build`")
def test_they_answer_the_same_at_the_bound(proof: Proof) -> None:
    @settings(max_examples=proof("histories", small=150, large=10_000))
    @given(
        max_keys=st.integers(1, 6), overflow=st.booleans(), initial=st.sampled_from([None, None, 0, 1, 3]), steps=STEPS
    )
    def same(max_keys: int, overflow: bool, initial: int | None, steps: list[tuple[str, Any]]) -> None:
        from doorward import _rust

        limits = {"max_keys": max_keys, "overflow": overflow, "initial": initial}
        answers = [list(told(core, limits, steps)) for core in (_rust, _pure)]
        assert answers[0] == answers[1]

    same()


def told(core: Any, limits: dict[str, Any], steps: list[tuple[str, Any]]) -> Any:
    """What one limiter answers; in one domain, as domains meet in the overflow by a secret."""
    limiter, tick, grants = core.Limiter(**limits), 0, []
    for step, what in steps:
        if step == "wait":
            tick += what
        elif step == "admit":
            charges = [core.Charge(key, "3/second", cost=cost, shared=shared) for key, cost, shared in what]
            try:
                grant = limiter.admit(domain="d", charges=charges, tick=tick)
            except Limited as limited:
                yield limited.retry_after, limited.violated, limited.budget
            else:
                grants.append(grant)
                yield grant.remaining
        elif step == "restart":
            snapshot, grants = limiter.snapshot(tick=tick), []
            limiter = core.Limiter(**limits)
            limiter.restore(snapshot, tick=tick, elapsed=what)
        elif grants:
            grant = grants.pop(what % len(grants))
            limiter.settle(grant, what, tick=tick) if step == "settle" else limiter.refund(grant)
        yield len(limiter), limiter.overflowed
