"""While Redis does not answer: the share of this process, and what is owed for it."""

from __future__ import annotations

import pytest

from doorward import Charge
from doorward.errors import Limited
from doorward.limits.fallback import MAX_DEBTS, Debts, LocalShare
from doorward.limits.redis_keys import Plan, Plans

SECOND = 1_000_000_000


def plan(*charges: Charge, domain: str = "acme") -> Plan:
    return Plans("doorward", apart=False).of(domain, charges)


def admitted(share: LocalShare, plan: Plan, tick: int) -> int:
    """Of a hundred calls at once."""
    return sum(_is_admitted(share, plan, tick) for _ in range(100))


def _is_admitted(share: LocalShare, plan: Plan, tick: int) -> bool:
    try:
        share.admit(plan, tick=tick)
    except Limited:
        return False
    return True


@pytest.mark.parametrize(
    ("instances", "an_hour_later"), [(1, 60), (4, 15), (60, 1), (1_000, 1)], ids=lambda number: f"{number:,}"
)
def test_a_share_starts_with_one_token_and_fills_to_its_part(instances: int, an_hour_later: int) -> None:
    share, hourly = LocalShare(instances), plan(Charge("client", "60/minute"))
    assert admitted(share, hourly, 0) == 1
    assert admitted(share, hourly, 3_600 * SECOND) == an_hour_later


def test_every_fault_starts_with_one_token() -> None:
    share, hourly = LocalShare(1), plan(Charge("client", "60/minute"))
    admitted(share, hourly, 0)
    share.start_anew()
    assert admitted(share, hourly, 3_600 * SECOND) == 1


def test_a_debt_is_a_full_bucket_at_most() -> None:
    debts, call = Debts(), plan(Charge("client", "60/minute burst 5"), Charge("client", "9/day", cost=2))
    for _ in range(100):
        debts.add(call)
    assert [(bucket.burst, tokens) for bucket, tokens in debts.take()] == [(5, 5), (9, 9)]
    assert debts.take() == []


@pytest.mark.parametrize(("actual", "owed"), [(0, 0), (1, 2), (3, 6), (100, 60)])
def test_a_settled_call_is_owed_as_it_turned_out(actual: int, owed: int) -> None:
    debts, call = Debts(), plan(Charge("client", "60/minute", cost=4), Charge("client", "60/minute", cost=1))
    debts.add(call)
    debts.settle(call, actual)
    assert sum(tokens for _, tokens in debts.take()) == owed


def test_what_did_not_arrive_is_owed_again() -> None:
    debts, call = Debts(), plan(Charge("client", "60/minute", cost=7))
    debts.add(call)
    taken = debts.take()
    debts.add(call)
    debts.put_back(taken)
    assert [tokens for _, tokens in debts.take()] == [14]


def test_debts_are_bounded_and_say_so_when_some_are_lost() -> None:
    debts = Debts()
    for number in range(MAX_DEBTS):
        debts.add(plan(Charge("client", "60/minute"), domain=str(number)))
    assert debts.is_complete
    debts.add(plan(Charge("client", "60/minute"), domain="0"))
    assert debts.is_complete
    debts.add(plan(Charge("client", "60/minute"), domain="one more"))
    assert (len(debts), debts.is_complete) == (MAX_DEBTS, False)
    assert sum(tokens for _, tokens in debts.take()) == MAX_DEBTS + 1
    assert (len(debts), debts.is_complete) == (0, True)
