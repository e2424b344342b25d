"""What is held of buckets in Redis: taken all or not at all, by one thread, for exactly these charges."""

from __future__ import annotations

import gc
import threading
import weakref
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_000.0


class Plan:
    """Something that can be watched."""


def holding(core: ModuleType, tokens: int, *, left: int = 0, until: float = NOW + 1, lease: object = None) -> Any:
    held = core.Holding()
    held.tokens, held.left, held.until, held.lease = tokens, left, until, lease
    return held


def charges_of(core: ModuleType, count: int) -> Any:
    return tuple(core.Charge(f"key {number}", "9/minute") for number in range(count))


def kept(core: ModuleType, *held: tuple[Any, int], order: list[int] | None = None, plan: object = None) -> Any:
    """Holdings that serve these, and the charges that find them."""
    holdings = core.Holdings()
    holdings.claim()
    order = list(range(len(held))) if order is None else order
    charges = charges_of(core, len(order))
    holdings.keep("acme", charges, plan, held, order)
    return holdings, charges


def test_nothing_is_held_at_first(core: ModuleType) -> None:
    held = core.Holding()
    assert (held.tokens, held.left, held.until, held.lease) == (0, 0, 0.0, None)
    assert not held.has(0, 0.0)
    assert core.Holdings().take("acme", charges_of(core, 1), NOW) is None


def test_what_is_taken_is_gone(core: ModuleType) -> None:
    lease, plan = object(), Plan()
    held = holding(core, 5, left=90, lease=lease)
    holdings, charges = kept(core, (held, 2), plan=plan)
    grants = [holdings.take("acme", charges, NOW) for _ in range(3)]
    assert [grant and grant.remaining for grant in grants] == [(93,), (91,), None]
    assert held.tokens == 1
    assert (grants[0].would_deny, grants[0].plan, grants[0].close()) == ((), plan, (lease,))


def test_all_or_nothing(core: ModuleType) -> None:
    many, few = holding(core, 9), holding(core, 1)
    holdings, charges = kept(core, (many, 1), (few, 1))
    assert holdings.take("acme", charges, NOW).remaining == (8, 0)
    assert holdings.take("acme", charges, NOW) is None
    assert (many.tokens, few.tokens) == (8, 0)


@pytest.mark.parametrize(("now", "taken"), [(NOW + 0.999, True), (NOW + 1, False), (float("nan"), False)])
def test_a_lease_ends(now: float, taken: bool, core: ModuleType) -> None:
    holdings, charges = kept(core, (holding(core, 9), 1))
    assert (holdings.take("acme", charges, now) is not None) is taken


def test_two_charges_of_one_bucket_are_told_the_same(core: ModuleType) -> None:
    holdings, charges = kept(core, (holding(core, 9), 2), (holding(core, 5), 1), order=[1, 0, 0])
    assert holdings.take("acme", charges, NOW).remaining == (4, 7, 7)


def test_only_the_same_domain_and_the_very_same_charges_find_them(core: ModuleType) -> None:
    class Text(str):
        __slots__ = ()

    holdings, charges = kept(core, (holding(core, 9), 1))
    assert holdings.take("".join(["ac", "me"]), charges, NOW) is not None
    for domain, other in (("bolt", charges), ("acme", list(charges)), (Text("acme"), charges), (None, charges)):
        assert holdings.take(domain, other, NOW) is None
    assert holdings.take("acme", charges_of(core, 1), NOW) is None
    assert holdings.take("acme", None, NOW) is None


def test_charges_that_are_kept_keep_their_identity(core: ModuleType) -> None:
    holdings, charges = kept(core, (holding(core, 9), 1))
    address = id(charges)
    del charges
    gc.collect()
    assert address not in {id(charges_of(core, 1)) for _ in range(1_000)}
    assert holdings.serves()


def test_what_is_kept_last_counts(core: ModuleType) -> None:
    first, second = holding(core, 9), holding(core, 9)
    holdings, charges = kept(core, (first, 1))
    holdings.keep("acme", charges, None, [(second, 4)], [0])
    assert holdings.take("acme", charges, NOW).remaining == (5,)
    assert (first.tokens, second.tokens) == (9, 5)


def test_one_thread_spends(core: ModuleType) -> None:
    holdings, charges = kept(core, (holding(core, 9), 1))
    seen: list[Any] = []

    def elsewhere() -> None:
        seen.extend([holdings.serves(), holdings.take("acme", charges, NOW)])

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [False, None]
    assert holdings.serves()


def test_cleared_it_is_nobodys_and_empty(core: ModuleType) -> None:
    plan = Plan()
    watch = weakref.ref(plan)
    holdings, charges = kept(core, (holding(core, 9), 1), plan=plan)
    holdings.clear()
    assert holdings.take("acme", charges, NOW) is None
    holdings.claim()
    assert holdings.take("acme", charges, NOW) is None
    del plan
    gc.collect()
    assert watch() is None


def test_it_is_bounded(core: ModuleType) -> None:
    holdings, charges = kept(core, (holding(core, 9), 1))
    for number in range(10_001):
        holdings.keep(f"domain {number}", charges, None, [], [])
    assert holdings.take("acme", charges, NOW) is None
    assert holdings.take("domain 10000", charges, NOW) is not None


def test_an_admission_tells_what_it_was_given_and_closes_once(core: ModuleType) -> None:
    plan, source = Plan(), object()
    grant = core.RemoteGrant(plan, (3, 4), ("client",), source)
    assert (grant.plan, grant.remaining, grant.would_deny) == (plan, (3, 4), ("client",))
    assert repr(grant) == "RemoteGrant(remaining=(3, 4), would_deny=('client',))"
    assert [grant.close(), grant.close()] == [source, None]
    assert core.RemoteGrant(plan, ()).close() is None
    assert core.RemoteGrant(plan, ()).would_deny == ()


def test_one_that_was_taken_closes_once(core: ModuleType) -> None:
    holdings, charges = kept(core, (holding(core, 9, lease="lease"), 1), (holding(core, 9), 1))
    grant = holdings.take("acme", charges, NOW)
    assert repr(grant) == "RemoteGrant(remaining=(8, 8), would_deny=())"
    assert [grant.close(), grant.close()] == [("lease", None), None]


@given(
    held=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=4),
    calls=st.integers(0, 6),
)
def test_no_token_is_spent_twice(held: list[tuple[int, int, int]], calls: int, core: ModuleType) -> None:
    holders = [holding(core, tokens, left=left) for tokens, _, left in held]
    holdings, charges = kept(core, *zip(holders, [cost for _, cost, _ in held], strict=True))
    expected = min([calls, *(tokens // cost for tokens, cost, _ in held if cost)])
    grants = [holdings.take("acme", charges, NOW) for _ in range(calls)]
    assert [grant is not None for grant in grants] == [True] * expected + [False] * (calls - expected)
    for one, (tokens, cost, left) in zip(holders, held, strict=True):
        assert (one.tokens, one.left) == (tokens - expected * cost, left)
