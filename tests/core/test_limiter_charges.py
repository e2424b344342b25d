"""All charges of a call as one object: checked once, kept together, and otherwise a sequence like any other."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest

from doorward.errors import Limited


@pytest.fixture
def limiter(core: ModuleType) -> Any:
    return core.Limiter()


def test_they_are_a_sequence_of_the_charges_they_were_made_of(core: ModuleType) -> None:
    given = [core.Charge(key, "5/minute") for key in "abc"]
    charges = core.Charges(given)
    assert isinstance(charges, Sequence)
    assert (len(charges), list(charges), charges[0], charges[-1]) == (3, given, given[0], given[2])
    assert charges[1:] == tuple(given[1:])
    assert list(reversed(charges)) == given[::-1]
    assert (given[1] in charges, charges.index(given[1]), charges.count(given[1])) == (True, 1, 1)
    assert core.Charge("a", "5/minute") not in charges
    assert list(core.Charges(charges)) == given
    with pytest.raises(IndexError):
        charges[3]
    given.clear()
    assert len(charges) == 3


def test_none_are_nothing(core: ModuleType, limiter: Any) -> None:
    assert not core.Charges(())
    assert limiter.admit(domain="d", charges=core.Charges([]), tick=0).remaining == ()


def test_they_spend_what_the_same_charges_spend_one_by_one(core: ModuleType, limiter: Any) -> None:
    single = [core.Charge("a", "9/minute"), core.Charge("b", "9/minute", shared=True), core.Charge("c", "9/minute")]
    charges = core.Charges(single)
    assert limiter.admit(domain="d", charges=charges, tick=0).remaining == (8, 8, 8)
    assert limiter.admit(domain="d", charges=single, tick=0).remaining == (7, 7, 7)
    assert limiter.admit(domain="e", charges=charges, tick=0).remaining == (8, 6, 8)
    limiter.admit(domain="d", charges=[core.Charge("b", "9/minute", shared=True, cost=6)], tick=0)
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=charges, tick=0)
    assert (refused.value.violated, refused.value.remaining) == (("b",), 0)


def test_where_they_lay_in_another_limiter_or_before_a_sweep_misleads_nobody(core: ModuleType, limiter: Any) -> None:
    other, second = core.Limiter(), 1_000_000_000
    calls = [core.Charges([core.Charge(f"{call} {key}", "1/second") for key in "abcdef"]) for call in range(50)]
    for step in range(500):
        for each, at in ((limiter, step * 7 % 50), (other, step * 3 % 50)):
            assert each.admit(domain="d", charges=calls[at], tick=step * second // 25).remaining == (0,) * 6
            with pytest.raises(Limited):
                each.admit(domain="d", charges=calls[at], tick=step * second // 25)


def test_charges_of_one_bucket_are_one(core: ModuleType, limiter: Any) -> None:
    three = core.Charge("k", "5/minute", cost=3)
    with pytest.raises(Limited):
        limiter.admit(domain="d", charges=core.Charges([three, three]), tick=0)
    two = core.Charge("k", "5/minute", cost=2)
    assert limiter.admit(domain="d", charges=core.Charges([three, two]), tick=0).remaining == (0, 0)


def test_a_grant_of_them_is_refunded_and_settled(core: ModuleType, limiter: Any) -> None:
    charges = core.Charges([core.Charge("k", "5/minute", cost=3), core.Charge("l", "9/minute", cost=3)])
    limiter.refund(limiter.admit(domain="d", charges=charges, tick=0))
    limiter.settle(limiter.admit(domain="d", charges=charges, tick=0), 1, tick=0)
    assert limiter.admit(domain="d", charges=charges, tick=0).remaining == (1, 5)


def test_what_no_call_can_have_is_refused_when_they_are_made(core: ModuleType) -> None:
    with pytest.raises(ValueError, match="one bucket cannot have two limits in one call: 5/minute and 6/minute"):
        core.Charges([core.Charge("k", "5/minute"), core.Charge("k", "6/minute")])
    with pytest.raises(ValueError, match="one call has at most 64 charges"):
        core.Charges([core.Charge("k", "5/minute", cost=0)] * 65)
    for wrong in (["k"], None, 5, core.Charge("k", "5/minute")):
        with pytest.raises(TypeError):
            core.Charges(wrong)


@pytest.mark.parametrize("count", [1, 8, 9, 64])
def test_few_and_many(core: ModuleType, limiter: Any, count: int) -> None:
    single = [core.Charge(f"k{key}", "5/minute") for key in range(count)]
    for left, charges in zip((4, 3, 2), (single, tuple(single), core.Charges(single)), strict=True):
        assert limiter.admit(domain="d", charges=charges, tick=0).remaining == (left,) * count
