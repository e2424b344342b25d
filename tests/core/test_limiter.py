"""One call and its budgets: all or nothing, merged, observed, shared, refunded."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from judge import SECOND, UNITS

from doorward.errors import Limited

INVALID = {
    "negative cost": ({"cost": -1}, {}),
    "cost beyond any limit": ({"cost": 10**9 + 1}, {}),
    "cost beyond 64 bits": ({"cost": 2**70}, {}),
    "endless key": ({"key": "k" * 16_385}, {}),
    "key that is no text": ({"key": "\ud800"}, {}),
    "negative tick": ({}, {"tick": -1}),
    "tick beyond any clock": ({}, {"tick": 2**63}),
    "tick beyond 64 bits": ({}, {"tick": 2**70}),
    "no instance": ({"instances": 0}, {}),
    "negative instances": ({"instances": -1}, {}),
    "instances beyond any": ({"instances": 10_001}, {}),
    "instances beyond 64 bits": ({"instances": 2**70}, {}),
    "endless domain": ({}, {"domain": "d" * 16_385}),
}

WRONG_TYPE = {
    "cost": ({"cost": 1.0}, {}),
    "key": ({"key": b"k"}, {}),
    "limit": ({"limit": 5}, {}),
    "observe": ({"observe": 1}, {}),
    "instances": ({"instances": 2.0}, {}),
    "tick": ({}, {"tick": 1.0}),
    "domain": ({}, {"domain": None}),
    "charges": ({}, {"charges": ["k"]}),
    "no charges": ({}, {"charges": None}),
}


@pytest.fixture
def limiter(core: ModuleType) -> Any:
    return core.Limiter()


def test_the_tokens_left_come_in_the_order_of_the_charges(core: ModuleType, limiter: Any) -> None:
    charges = [core.Charge("b", "5/minute", cost=2), core.Charge("a", "9/minute"), core.Charge("c", "4/day", cost=0)]
    assert limiter.admit(domain="d", charges=charges, tick=0).remaining == (3, 8, 4)


def test_nothing_charged_is_admitted(limiter: Any) -> None:
    assert limiter.admit(domain="d", charges=(), tick=0).remaining == ()


def test_a_refusal_spends_nothing_and_names_every_budget_over_its_limit(core: ModuleType, limiter: Any) -> None:
    wide, narrow = core.Charge("wide", "100/minute"), core.Charge("narrow", "1/minute")
    slow = core.Charge("slow", "1/hour")
    limiter.admit(domain="d", charges=(narrow, slow), tick=0)
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=(wide, narrow, slow), tick=0)
    assert refused.value.violated == ("narrow", "slow")
    assert (refused.value.budget, refused.value.retry_after) == ("slow", 3_600.0)
    assert limiter.admit(domain="d", charges=(wide,), tick=0).remaining == (99,)


def test_what_never_fits_is_worse_than_any_wait(core: ModuleType, limiter: Any) -> None:
    daily = core.Charge("daily", "1/day")
    limiter.admit(domain="d", charges=(daily,), tick=0)
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=(daily, core.Charge("big", "5/second", cost=6)), tick=0)
    assert (refused.value.code, refused.value.budget) == ("cost_exceeds_limit", "big")
    assert (refused.value.retry_after, refused.value.violated) == (None, ("daily", "big"))


@pytest.mark.parametrize(("cost", "code"), [(3, "rate_limited"), (6, "cost_exceeds_limit")])
def test_a_refusal_tells_what_is_left_of_the_worst_budget(core: ModuleType, limiter: Any, cost: int, code: str) -> None:
    limiter.admit(domain="d", charges=(core.Charge("k", "5/minute", cost=3),), tick=0)
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=(core.Charge("k", "5/minute", cost=cost),), tick=0)
    assert (refused.value.code, refused.value.remaining) == (code, 2)


def test_a_bucket_is_a_domain_a_key_and_a_unit(core: ModuleType, limiter: Any) -> None:
    for domain in ("d", "e"):
        for key in ("k", "l"):
            for limit in ("1/second", "1/minute", "1/hour", "1/day"):
                limiter.admit(domain=domain, charges=(core.Charge(key, limit),), tick=0)
    assert len(limiter) == 16


def test_charges_of_one_bucket_are_one(core: ModuleType, limiter: Any) -> None:
    three = core.Charge("k", "5/minute", cost=3)
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=(three, three), tick=0)
    assert (refused.value.code, refused.value.violated) == ("cost_exceeds_limit", ("k",))
    two = core.Charge("k", "5/minute burst 5", cost=2)
    assert limiter.admit(domain="d", charges=(three, two), tick=0).remaining == (0, 0)


def test_two_limits_for_one_bucket_in_one_call_are_a_mistake(core: ModuleType, limiter: Any) -> None:
    charges = (core.Charge("k", "5/minute"), core.Charge("k", "6/minute"))
    with pytest.raises(ValueError, match="one bucket cannot have two limits in one call: 5/minute and 6/minute"):
        limiter.admit(domain="d", charges=charges, tick=0)
    assert len(limiter) == 0


def test_a_cost_of_nothing_looks_and_leaves_no_trace(core: ModuleType, limiter: Any) -> None:
    look = core.Charge("k", "5/minute", cost=0)
    assert limiter.admit(domain="d", charges=(look,), tick=0).remaining == (5,)
    assert len(limiter) == 0
    limiter.admit(domain="d", charges=(core.Charge("k", "5/minute", cost=5),), tick=0)
    assert limiter.admit(domain="d", charges=(look,), tick=0).remaining == (0,)


def test_an_observed_budget_only_tells(core: ModuleType, limiter: Any) -> None:
    enforced, observed = core.Charge("k", "5/minute"), core.Charge("k", "2/minute", observe=True)
    grants = [limiter.admit(domain="d", charges=(observed, enforced), tick=0) for _ in range(4)]
    assert [grant.would_deny for grant in grants] == [(), (), ("k",), ("k",)]
    assert [grant.remaining for grant in grants] == [(1, 4), (0, 3), (0, 2), (0, 1)]
    huge = core.Charge("k", "2/minute", cost=9, observe=True)
    assert limiter.admit(domain="d", charges=(huge, enforced), tick=0).would_deny == ("k",)
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=(observed, enforced), tick=0)
    assert refused.value.violated == ("k",)


def test_a_shared_budget_is_one_for_all_domains(core: ModuleType, limiter: Any) -> None:
    shared, own = core.Charge("k", "2/minute", shared=True), core.Charge("k", "9/minute")
    for domain in ("d", "e"):
        limiter.admit(domain=domain, charges=(own, shared), tick=0)
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="f", charges=(own, shared), tick=0)
    assert refused.value.violated == ("k",)
    assert limiter.admit(domain="d", charges=(own,), tick=0).remaining == (7,)
    assert len(limiter) == 3


def test_a_refund_gives_back_once(core: ModuleType, limiter: Any) -> None:
    charges = (core.Charge("k", "5/minute", cost=2), core.Charge("s", "5/minute", cost=3, shared=True))
    grant = limiter.admit(domain="d", charges=charges, tick=0)
    limiter.admit(domain="d", charges=(charges[0],), tick=0)
    limiter.refund(grant)
    limiter.refund(grant)
    look = [core.Charge("k", "5/minute", cost=0), core.Charge("s", "5/minute", cost=0, shared=True)]
    assert limiter.admit(domain="d", charges=look, tick=0).remaining == (3, 5)


def test_a_refund_never_overfills(core: ModuleType, limiter: Any) -> None:
    charge = core.Charge("k", "5/minute", cost=5)
    grant = limiter.admit(domain="d", charges=(charge,), tick=0)
    limiter.refund(grant)
    later = UNITS["hour"]
    assert limiter.admit(domain="d", charges=(charge,), tick=later).remaining == (0,)
    with pytest.raises(Limited):
        limiter.admit(domain="d", charges=(core.Charge("k", "5/minute"),), tick=later)


def test_another_limiters_grant_is_not_refunded(core: ModuleType, limiter: Any) -> None:
    charge = core.Charge("k", "5/minute")
    grant = core.Limiter().admit(domain="d", charges=(charge,), tick=0)
    with pytest.raises(ValueError, match="the grant is another limiter's"):
        limiter.refund(grant)


RELOADS = {
    "raised": ("10/minute", "100/minute", 94),
    "lowered": ("100/minute", "10/minute", 4),
    "lowered below what was spent": ("10/minute", "5/minute", 0),
    "a smaller burst": ("10/minute", "10/minute burst 7", 1),
    "a larger burst": ("10/minute burst 7", "10/minute", 4),
    "strict": ("10/minute", "20/minute strict", 4),
    "no longer strict": ("20/minute strict", "10/minute", 4),
    "nothing": ("10/minute", "0/minute", 0),
}


@pytest.mark.parametrize(("before", "after", "left"), RELOADS.values(), ids=RELOADS)
def test_a_changed_limit_keeps_what_was_spent(
    core: ModuleType, limiter: Any, before: str, after: str, left: int
) -> None:
    limiter.admit(domain="d", charges=(core.Charge("k", before, cost=6),), tick=SECOND)
    look = core.Charge("k", after, cost=0)
    assert limiter.admit(domain="d", charges=(look,), tick=SECOND).remaining == (left,)


@pytest.mark.parametrize("between", ["0/minute", "0/minute strict"])
def test_a_limit_of_nothing_and_back_keeps_it_too(core: ModuleType, limiter: Any, between: str) -> None:
    limiter.admit(domain="d", charges=(core.Charge("k", "10/minute", cost=6),), tick=0)
    with pytest.raises(Limited):
        limiter.admit(domain="d", charges=(core.Charge("k", between),), tick=0)
    look = core.Charge("k", "10/minute", cost=0)
    assert limiter.admit(domain="d", charges=(look,), tick=6 * SECOND).remaining == (5,)


def test_more_and_fewer_instances_keep_it_too(core: ModuleType, limiter: Any) -> None:
    def left(instances: int, cost: int = 0) -> int:
        charge = core.Charge("k", "60/minute", cost=cost, instances=instances)
        return int(limiter.admit(domain="d", charges=(charge,), tick=0).remaining[0])

    assert [left(1, cost=10), left(2), left(4), left(60), left(2), left(1)] == [50, 20, 5, 0, 29, 59]


@pytest.mark.parametrize(("limit", "cost"), [("100/minute", 91), ("2/minute", 1), ("10/minute burst 3", 2)])
def test_a_wait_under_a_changed_limit_is_exact_too(core: ModuleType, limiter: Any, limit: str, cost: int) -> None:
    limiter.admit(domain="d", charges=(core.Charge("k", "10/minute", cost=10),), tick=0)
    charge = core.Charge("k", limit, cost=cost)
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=(charge,), tick=0)
    assert refused.value.retry_after is not None
    at = round(refused.value.retry_after * SECOND)
    with pytest.raises(Limited):
        limiter.admit(domain="d", charges=(charge,), tick=at - 1)
    assert limiter.admit(domain="d", charges=(charge,), tick=at).remaining == (0,)


@pytest.mark.parametrize(("charge", "call"), INVALID.values(), ids=INVALID)
def test_what_cannot_be_right_is_a_value_error(
    core: ModuleType, limiter: Any, charge: dict[str, Any], call: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        attempt(core, limiter, charge, call)


@pytest.mark.parametrize(("charge", "call"), WRONG_TYPE.values(), ids=WRONG_TYPE)
def test_what_is_of_the_wrong_type_is_a_type_error(
    core: ModuleType, limiter: Any, charge: dict[str, Any], call: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        attempt(core, limiter, charge, call)


@pytest.mark.parametrize(
    "limits",
    [{"max_keys": keys} for keys in (0, -1, 10**8 + 1, 2**70)] + [{"initial": n} for n in (-1, 10**9 + 1, 2**70)],
    ids=str,
)
def test_what_a_limiter_holds_is_bounded(core: ModuleType, limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"."):
        core.Limiter(**limits)


@pytest.mark.parametrize("limits", [{"max_keys": 1.0}, {"initial": 1.0}, {"overflow": 1}], ids=str)
def test_what_a_limiter_is_told_has_a_type(core: ModuleType, limits: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        core.Limiter(**limits)


def test_a_call_has_a_bounded_number_of_charges(core: ModuleType, limiter: Any) -> None:
    charges = [core.Charge(f"k{i}", "1/minute") for i in range(65)]
    with pytest.raises(ValueError, match="one call has at most 64 charges"):
        limiter.admit(domain="d", charges=charges, tick=0)
    assert len(limiter.admit(domain="d", charges=charges[:64], tick=0).remaining) == 64


def attempt(core: ModuleType, limiter: Any, charge: dict[str, Any], call: dict[str, Any]) -> None:
    made = core.Charge(**{"key": "k", "limit": "5/minute", **charge})
    limiter.admit(**{"domain": "d", "charges": (made,), "tick": 0, **call})


# --- a share of a limit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "instances", "burst", "seconds"),
    [
        ("60/minute", 1, 60, 1.0),
        ("60/minute", 4, 15, 4.0),
        ("60/minute", 7, 8, 7.0),
        ("60/minute burst 2", 4, 1, 4.0),
        ("60/minute strict", 3, 10, 6.0),
        ("1/minute", 10_000, 1, 600_000.0),
    ],
)
def test_an_instance_has_its_share(
    core: ModuleType, limiter: Any, limit: str, instances: int, burst: int, seconds: float
) -> None:
    charge = core.Charge("k", limit, cost=burst, instances=instances)
    assert charge.instances == instances
    assert limiter.admit(domain="d", charges=(charge,), tick=0).remaining == (0,)
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=(core.Charge("k", limit, instances=instances),), tick=0)
    assert refused.value.retry_after == seconds


@pytest.mark.parametrize("instances", [1, 3])
def test_a_share_of_nothing_is_nothing(core: ModuleType, limiter: Any, instances: int) -> None:
    with pytest.raises(Limited) as refused:
        limiter.admit(domain="d", charges=(core.Charge("k", "0/minute", instances=instances),), tick=0)
    assert refused.value.retry_after is None


@pytest.mark.parametrize("instances", [2, 3, 7, 10])
def test_strict_holds_for_all_instances_together(core: ModuleType, instances: int) -> None:
    """In any window, if each has at least a token."""
    limit, charge = 20, core.Charge("k", "20/minute strict", instances=instances)
    admitted = []
    for limiter in [core.Limiter() for _ in range(instances)]:
        for tick in range(0, 4 * 60 * SECOND, SECOND // 3):
            try:
                limiter.admit(domain="d", charges=(charge,), tick=tick)
            except Limited:
                continue
            admitted.append(tick)
    admitted.sort()
    assert all(sum(start <= at <= start + 60 * SECOND for at in admitted) <= limit for start in admitted)
    assert len(admitted) >= 3 * limit // 2
